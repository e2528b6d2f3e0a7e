"""The results of a study: how often each method was chosen per question, with two 95 % intervals.

Wilson's interval assumes that all judgements are independent. Those of one participant are not, so the second interval
is
a bootstrap over participants: participants are drawn at random, each with all their answers. If the two differ, the
wider
one is the safer one.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any, Dict, List, Tuple

import numpy as np

from harmovid_evaluate.study.plan import QUESTIONS
from harmovid_evaluate.study.store import StudyContents

Z95 = 1.959963984540054
"""Normal quantile of a two-sided 95 % interval."""
DRAWS = 4000
SEED = 0

Summary = Dict[str, Any]


def wilson(chosen: int, shown: int) -> Tuple[float, float]:
    """Return Wilson's score interval of a share (Wilson 1927), 0 to 1 where nothing was shown."""
    if not shown:
        return 0.0, 1.0
    share, square = chosen / shown, Z95**2
    middle = (share + square / (2 * shown)) / (1 + square / shown)
    reach = Z95 / (1 + square / shown) * math.sqrt(share * (1 - share) / shown + square / (4 * shown**2))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def bootstrap(chosen: List[int], shown: List[int]) -> Tuple[float, float]:
    """Return the percentile interval of the share when participants are drawn anew.

    Args:
        chosen, shown: of each participant; without any the interval is 0 to 1.
    """
    if not sum(shown):
        return 0.0, 1.0
    rng = np.random.default_rng(SEED)
    picks = rng.integers(len(shown), size=(DRAWS, len(shown)))
    totals = np.asarray(shown)[picks].sum(1)
    shares = np.asarray(chosen)[picks].sum(1)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def summarise(held: StudyContents) -> Summary:
    """Return the summary as plain values: participants, judgements, and a row per method."""
    samples = {each.key: each for each in held.study.samples}
    methods = list(dict.fromkeys(name for each in held.study.samples for name in each.methods))
    people = sorted({answer.number for answer in held.answers})
    rows = []
    for method in methods:
        row: Dict[str, Any] = {"method": method}
        for question, _, _ in QUESTIONS:
            chosen, shown = dict.fromkeys(people, 0), dict.fromkeys(people, 0)
            for answer in held.answers:
                if answer.question == question and method in samples[answer.sample].methods:
                    shown[answer.number] += 1
                    chosen[answer.number] += method in answer.chosen
            total, hits = sum(shown.values()), sum(chosen.values())
            row[question] = {
                "chosen": hits, "shown": total, "share": hits / total if total else None,
                "wilson": wilson(hits, total),
                "bootstrap": bootstrap(list(chosen.values()), list(shown.values())),
            }  # fmt: skip
        rows.append(row)
    return {
        "participants": {"begun": held.begun, "finished": held.finished, "answered": len(people)},
        "judgements": len(held.answers),
        "rows": rows,
    }


def cell(found: Dict[str, Any]) -> str:
    """Return a share with its bootstrap interval, and counts: "72 % [61, 81], 43/60"."""
    if found["share"] is None:
        return "not judged"
    low, high = found["bootstrap"]
    share = f"{100 * found['share']:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{share}, {found['chosen']}/{found['shown']}"


def wilson_text(found: Dict[str, Any]) -> str:
    """Return Wilson's interval in per cent."""
    return "[{:.0f}, {:.0f}]".format(*(100 * end for end in found["wilson"]))


def head(summary: Summary) -> str:
    """Return who took part, in a sentence."""
    people = summary["participants"]
    return (
        f"{people['answered']} participants answered ({people['finished']} of them everything), "
        f"{summary['judgements']} judgements. Share of times a method was found acceptable, with the 95 % interval "
        "of a bootstrap over participants, and counts."
    )


def markdown(summary: Summary) -> str:
    """Return the summary as Markdown."""
    titles = [title for _, title, _ in QUESTIONS]
    lines = [
        "# Preference study",
        "",
        head(summary),
        "",
        f"| method | {' | '.join(titles)} |",
        "|---|---|---|---|",
    ]
    for row in summary["rows"]:
        cells = [f"{cell(row[key])} (Wilson {wilson_text(row[key])})" for key, _, _ in QUESTIONS]
        lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def section(summary: Summary) -> str:
    """Return the summary as a section of the evaluation's page."""
    heads = "".join(f'<th scope="col">{escape(title)}</th>' for _, title, _ in QUESTIONS)
    rows = []
    for row in summary["rows"]:
        cells = "".join(f"<td>{escape(cell(row[key]))}</td>" for key, _, _ in QUESTIONS)
        rows.append(f'<tr><th scope="row">{escape(row["method"])}</th>{cells}</tr>')
    return (
        f'<section id="study"><h2>Preference study</h2><p>{escape(head(summary))}</p><div class="scroll"><table><thead>'
        f'<tr><th scope="col">method</th>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></section>'
    )
