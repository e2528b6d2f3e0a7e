"""The page of an evaluation: one HTML file that holds everything it shows and fetches nothing.

    text = page_text(report, shown)

Tables with the best of each column marked, plots, and a player that wipes between any two versions of a clip, by
pointer, touch or keys. A content security policy in the page forbids every outside resource.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any, Dict, List, Sequence

from harmovid_evaluate import table
from harmovid_evaluate.entrants import ORIGINAL
from harmovid_evaluate.measures import FOREGROUND, TIME
from harmovid_evaluate.report.films import FRAMES_PER_SECOND, Film
from harmovid_evaluate.report.plots import all_plots
from harmovid_evaluate.table import Report

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src blob:"

MAIN_GROUPS = (FOREGROUND, TIME)
"""Groups of measures in a set's first table; the others are collapsed."""


@dataclass(frozen=True)
class Shown:
    """A clip on the page: its film, its number in the set, and its level plot."""

    set: str
    clip: str
    number: int
    film: Film
    level: str


def page_text(report: Report, shown: Sequence[Shown], study: str = "") -> str:
    """Return the page.

    Args:
        shown: the clips that the player has.
        study: the preference study's section, HTML; empty for none.
    """
    assets = files("harmovid_evaluate.report")
    style, script = ((assets / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    measured = [one_set for one_set in report["sets"] if one_set["rows"]]
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>HarmoVid evaluation</title><style>{style}</style></head><body>",
        _header(report, measured),
        "<main>",
        _player() if shown else "",
        study,
        *(_set_section(report, one_set, shown) for one_set in measured),
        _notes(report),
        "</main>",
        f'<script type="application/json" id="data">{_data(report, shown)}</script>' if shown else "",
        *(_film(index, each) for index, each in enumerate(shown)),
        f"<script>{script}</script>" if shown else "",
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _header(report: Report, measured: Sequence[Report]) -> str:
    links = [f'<a href="#set-{escape(each["name"])}">{escape(each["title"])}</a>' for each in measured]
    clips = {clip for each in measured for clip in each["clips"]}
    methods = {row["method"] for each in measured for row in each["rows"]} - {ORIGINAL}
    settings = report["settings"]
    facts = (
        f"{len(clips)} clips, {len(measured)} test sets, {len(methods)} methods; "
        f"{settings['lines']} lines, up to {settings['most_frames']} frames, seed {settings['seed']}"
    )
    return (
        f"<header><h1>HarmoVid evaluation</h1><p>{escape(facts)}</p>"
        f'<nav aria-label="Sections"><a href="#compare">Compare</a>{"".join(links)}<a href="#notes">Notes</a></nav>'
        "</header>"
    )


def _player() -> str:
    selects = "".join(
        f'<label>{title}<select id="{name}"></select></label>'
        for title, name in (("Test set", "set"), ("Clip", "clip"), ("Left", "left"), ("Right", "right"))
    )
    return (
        '<section id="compare"><h2>Compare</h2>'
        f'<div class="choices">{selects}</div>'
        '<div id="stage"><canvas id="picture" width="16" height="9"></canvas>'
        '<span class="tag" id="left-tag"></span><span class="tag" id="right-tag"></span>'
        '<div id="wipe" role="slider" tabindex="0" aria-label="Wipe between left and right" aria-valuemin="0" '
        'aria-valuemax="100" aria-valuenow="50"><i></i></div></div>'
        '<div class="controls"><button id="play" type="button" aria-pressed="false">Play</button>'
        '<button id="back" type="button" aria-label="One frame back">&#9664;</button>'
        '<button id="next" type="button" aria-label="One frame on">&#9654;</button>'
        '<input id="frame" type="range" min="0" value="0" step="1" aria-label="Frame"><output id="count"></output>'
        '<label class="inline">Speed<select id="speed"><option value="1">1</option><option value="0.5">1/2</option>'
        '<option value="0.25">1/4</option></select></label></div>'
        '<p class="hint">Drag the line, or <kbd>&larr;</kbd> <kbd>&rarr;</kbd> when it has the focus; '
        "<kbd>space</kbd> plays, <kbd>,</kbd> and <kbd>.</kbd> step. Shown are 8-bit views through a video codec; "
        "the numbers are of the EXR files.</p>"
        '<div id="facts"></div><noscript><p>The player needs JavaScript; tables and plots do not.</p></noscript>'
        '<video id="film" muted loop playsinline aria-hidden="true" tabindex="-1"></video></section>'
    )


def _set_section(report: Report, one_set: Report, shown: Sequence[Shown]) -> str:
    columns = table.columns(report, one_set)
    first = [each for each in columns if each["group"] in MAIN_GROUPS]
    rest = [each for each in columns if each["group"] not in MAIN_GROUPS]
    dots = "".join(f"<figure>{text}</figure>" for text in all_plots(one_set, columns).values())
    courses = "".join(
        f"<figure>{each.level}</figure>" for each in shown if each.set == one_set["name"] and each.level
    )
    courses = f"<h3>Over time</h3>{courses}" if one_set["task"] == "deflicker" and courses else ""
    return (
        f'<section id="set-{escape(one_set["name"])}"><h2>{escape(one_set["title"])}</h2>'
        f"<p>{escape(one_set['about'])}</p>{_table(one_set, first)}{courses}"
        f"<details><summary>Whole frame and seam</summary>{_table(one_set, rest)}</details>"
        f'<details><summary>Every clip, plotted</summary><div class="plots">{dots}</div></details></section>'
    )


def _table(one_set: Report, measures: Sequence[Report]) -> str:
    spans = "".join(
        f'<th scope="colgroup" colspan="{len(each)}">{escape(name)}</th>'
        for name, each in table.groups(measures)
    )
    heads = "".join(f'<th scope="col">{escape(table.heading(each))}</th>' for each in measures)
    rows = []
    for row in one_set["rows"]:
        cells = []
        for measure in measures:
            value = row["mean"].get(measure["key"])
            is_best = (
                value is not None and value == table.best(one_set, measure) and row["method"] != ORIGINAL
            )
            mark = ' class="best"' if is_best else ""
            cells.append(f"<td{mark}>{escape(table.shown_value(value, measure))}</td>")
        kind = ' class="original"' if row["method"] == ORIGINAL else ""
        title = escape(table.row_name(row, one_set))
        rows.append(f'<tr{kind}><th scope="row">{title}</th>{"".join(cells)}</tr>')
    return (
        f'<div class="scroll"><table><thead><tr class="groups"><td></td>{spans}</tr>'
        f'<tr><th scope="col">method</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _notes(report: Report) -> str:
    parts = []
    for title, key in (("Left out", "left_out"), ("Notes", "notes")):
        if report[key]:
            items = "".join(f"<li>{escape(line)}</li>" for line in report[key])
            parts.append(f"<h3>{title}</h3><ul>{items}</ul>")
    how = (
        "<p>Arrows say which way is better; the best mean of a column is marked, the original does not compete. "
        "Means are over clips. Foreground numbers are weighted by the matte. Definitions: docs/evaluate.md.</p>"
    )
    return f'<section id="notes"><h2>Notes</h2>{how}{"".join(parts)}</section>'


def _data(report: Report, shown: Sequence[Shown]) -> str:
    """Return what the player knows, as JSON that no markup can end."""
    titles = {one_set["name"]: one_set["title"] for one_set in report["sets"]}
    clips: List[Dict[str, Any]] = []
    for each in shown:
        one_set = next(found for found in report["sets"] if found["name"] == each.set)
        scores = {row["method"]: row["clips"].get(each.clip, {}) for row in one_set["rows"]}
        film = each.film
        clips.append(
            {
                "set": each.set, "clip": each.clip, "width": film.width, "height": film.height, "frames": film.frames,
                "versions": [
                    {"name": name, "at": film.place(index), "scores": scores.get(name, {})}
                    for index, name in enumerate(film.names)
                ],
            }
        )  # fmt: skip
    measures = [
        {"key": each["key"], "title": f"{each['title']} ({each['group']})", "digits": each["digits"],
         "unit": each["unit"], "higher": each["higher"]}
        for each in report["measures"]
    ]  # fmt: skip
    told = {"fps": FRAMES_PER_SECOND, "sets": titles, "clips": clips, "measures": measures}
    return json.dumps(told).replace("<", "\\u003c")


def _film(index: int, each: Shown) -> str:
    packed = base64.b64encode(each.film.path.read_bytes()).decode("ascii")
    return f'<script type="text/plain" id="film-{index}">{packed}</script>'
