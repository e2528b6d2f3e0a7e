"""From rows to the report's data: means per set and method, as plain values, as Markdown and on the terminal.

    report = summarise(evaluation)
    text = markdown(report)

`report` is what `results.json` holds and what the page is made of. A mean is over the clips that the method has; where
these are not all, the table says how many.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from harmovid_evaluate.entrants import AS_IS, ORIGINAL
from harmovid_evaluate.evaluation import Evaluation, Row
from harmovid_evaluate.measures import Measure
from harmovid_evaluate.outside import not_given

FORMAT = 1
Report = Dict[str, Any]


def summarise(evaluation: Evaluation) -> Report:
    """Return the whole report as plain values; see the module."""
    sets = []
    for each in evaluation.sets:
        rows = [row for row in evaluation.rows if row.set == each.name]
        clips = _in_order([row.clip for row in rows])
        methods = _in_order([row.method for row in rows])
        sets.append(
            {
                "name": each.name, "title": each.title, "about": each.about, "task": each.task, "clips": clips,
                "made": evaluation.makers.describe(each.name),
                "rows": [_row([row for row in rows if row.method == method], method) for method in methods],
            }
        )  # fmt: skip
    return {
        "format": FORMAT,
        "settings": {
            "lines": evaluation.lines,
            "most_frames": evaluation.count,
            "seed": evaluation.makers.seed,
        },
        "measures": [_measure(each) for each in evaluation.measures],
        "sets": sets,
        "left_out": [*evaluation.extras.missing, *not_given([each.name for each in evaluation.entrants])],
        "notes": list(evaluation.notes),
        "failed": [vars(step) for step in evaluation.failures],
    }


def _measure(each: Measure) -> Dict[str, Any]:
    return {
        "key": each.key, "title": each.title, "unit": each.unit, "higher": each.higher, "digits": each.digits,
        "group": each.group, "identity": each.identity,
    }  # fmt: skip


def _in_order(names: Sequence[str]) -> List[str]:
    return list(dict.fromkeys(names))


def _row(rows: Sequence[Row], method: str) -> Dict[str, Any]:
    keys = _in_order([key for row in rows for key in row.scores])
    means = {key: float(np.mean([row.scores[key] for row in rows if key in row.scores])) for key in keys}
    return {
        "method": method,
        "mean": means,
        "clips": {row.clip: row.scores for row in rows},
        "seconds": float(np.sum([row.seconds for row in rows])),
    }


def columns(report: Report, one_set: Report) -> List[Report]:
    """Return the measures that at least one row of a set has."""
    return [each for each in report["measures"] if any(each["key"] in row["mean"] for row in one_set["rows"])]


def best(one_set: Report, measure: Report) -> Optional[float]:
    """Return the best mean of a measure among methods; the original does not compete."""
    values = [
        row["mean"][measure["key"]]
        for row in one_set["rows"]
        if measure["key"] in row["mean"] and row["method"] != ORIGINAL
    ]
    if not values or (len(values) == 1 and one_set["rows"][0]["method"] == AS_IS):
        return None
    return max(values) if measure["higher"] else min(values)


def shown_value(value: Optional[float], measure: Report) -> str:
    """Return a number as the table shows it."""
    return "" if value is None else f"{value:.{measure['digits']}f}"


def heading(measure: Report) -> str:
    """Return a column's heading: title, unit, which way is better."""
    unit = f", {measure['unit']}" if measure["unit"] else ""
    return f"{measure['title']}{unit} {'↑' if measure['higher'] else '↓'}"


def row_name(row: Report, one_set: Report) -> str:
    """Return a method's name, with the number of its clips where that is not all."""
    there, everything = len(row["clips"]), len(one_set["clips"])
    return row["method"] + (f" ({there} of {everything} clips)" if there < everything else "")


def groups(measures: Sequence[Report]) -> List[Tuple[str, List[Report]]]:
    """Return the measures by their groups, in order."""
    names = _in_order([each["group"] for each in measures])
    return [(name, [each for each in measures if each["group"] == name]) for name in names]


def markdown(report: Report) -> str:
    """Return the report as Markdown: a table per set and group of measures, then what was left out."""
    lines = ["# Evaluation", ""]
    for one_set in report["sets"]:
        lines += [f"## {one_set['title']}", "", one_set["about"], ""]
        if not one_set["rows"]:
            lines += ["No clip could be made into this set.", ""]
        else:
            lines += [f"{len(one_set['clips'])} clips: {', '.join(one_set['clips'])}.", ""]
        for name, measures in groups(columns(report, one_set)):
            lines += _markdown_table(one_set, measures, name)
    for title, key in (("Left out", "left_out"), ("Notes", "notes")):
        if report[key]:
            lines += [f"## {title}", "", *[f"- {line}" for line in report[key]], ""]
    return "\n".join(lines)


def _markdown_table(one_set: Report, measures: Sequence[Report], name: str) -> List[str]:
    heads = [heading(each) for each in measures]
    lines = [f"| {name} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for row in one_set["rows"]:
        cells = []
        for measure in measures:
            value = row["mean"].get(measure["key"])
            text = shown_value(value, measure)
            is_best = value is not None and value == best(one_set, measure) and row["method"] != ORIGINAL
            cells.append(f"**{text}**" if is_best else text)
        title = row_name(row, one_set)
        title = f"*{title}*" if row["method"] == ORIGINAL else title
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return [*lines, ""]
