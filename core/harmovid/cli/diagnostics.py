"""`harmovid deflicker --diagnostics DIR`: what the deflicker found and did, as a page and as data.

    prepare(folder)                                        # before the job, so that an error comes early
    names = write(folder, job, outcome)

`curves.csv` and `curves.json` are for tools, `curves.svg` and `index.html` for a browser. If the pixel libraries are
installed, PNG previews of a few frames show the change in stops. Files of an earlier run are replaced.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Callable, Dict, List, Sequence

from harmovid.cli.curves import CORRECTED, FAILED, UNKNOWN, FrameCurve, csv_text, curves_of, json_text
from harmovid.cli.curves_svg import svg_text
from harmovid.cli.previews import Preview, write_previews
from harmovid.cli.report import Outcome, save_text
from harmovid.errors import OutputError
from harmovid.frames import FrameRange
from harmovid.job_files import JobFiles

STYLE = (
    "body{font-family:sans-serif;margin:2em;max-width:1040px;color:#222}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}svg{max-width:100%;height:auto}"
    "figure{display:inline-block;margin:0 1em 1em 0}img{max-width:480px}figcaption{font-size:.85em;max-width:480px}"
)


def prepare(folder: str) -> None:
    """Make the folder now, so that a job of hours does not fail to write its diagnostics at the end.

    Raises:
        OutputError: it cannot be made, or something else has its name.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made: {error.strerror}.",
            fix="Name another folder for --diagnostics.",
        ) from error


def write(folder: str, job: JobFiles, outcome: Outcome) -> List[str]:
    """Write all files of the diagnostics; return their names.

    Args:
        folder: made by `prepare`.
        job: its frames are the rows.
        outcome: the results. Frames of an earlier run have no report and are listed as unknown.

    Raises:
        OutputError: a file cannot be written.
    """
    rows = curves_of(job.frames, outcome.frames, outcome.failures)
    previews, remark = write_previews(folder, job, rows)
    picture = svg_text(rows)
    files = {
        "curves.csv": csv_text(rows),
        "curves.json": json_text(rows),
        "curves.svg": picture,
        "index.html": page_text(job.spec.label, rows, picture, previews, remark),
    }
    for name, text in files.items():
        save_text(Path(folder) / name, text)
    return [*files, *(preview.name for preview in previews)]


def page_text(
    label: str, rows: Sequence[FrameCurve], picture: str, previews: Sequence[Preview], remark: str
) -> str:
    """Return the page: the plot, why frames were left alone, what was found, and previews.

    Args:
        label: the job's.
        rows: its frames.
        picture: the plot, SVG.
        previews: files in the same folder.
        remark: why there are no (more) previews; may be empty.
    """
    corrected = FrameRange(row.frame for row in rows if row.decision == CORRECTED)
    cuts = FrameRange(row.frame for row in rows if row.cut)
    facts = [f"{len(rows)} frames, {len(corrected)} corrected"]
    if cuts:
        facts.append(f"scene cuts before {'frame' if len(cuts) == 1 else 'frames'} {cuts}")
    data = '<a href="curves.csv">curves.csv</a>, <a href="curves.json">curves.json</a>'
    parts = [
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(label)}</title>'
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(label)}</h1><p>{escape('; '.join(facts))}. The numbers: {data}.</p>",
        picture,
        "<h2>Left alone, and why</h2>",
        _refusals(rows),
        "<h2>What was found</h2>",
        _grouped(rows, "cause", lambda row: row.mode),
        "<h2>Where it was changed</h2>",
        *(_figure(preview) for preview in previews),
        f"<p>{escape(remark)}</p>" if remark else "",
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _refusals(rows: Sequence[FrameCurve]) -> str:
    def said(row: FrameCurve) -> str:
        if row.decision == CORRECTED:
            return ""
        if row.decision == UNKNOWN:
            return (
                row.reason or "nothing is known: an earlier run's result, or an engine that gives no account"
            )
        return f"{'failed: ' if row.decision == FAILED else ''}{row.reason or 'no reason given'}"

    return _grouped(rows, "why", said)


def _grouped(rows: Sequence[FrameCurve], head: str, said: Callable[[FrameCurve], str]) -> str:
    """Return a table of texts, each with the frames that it is about; empty texts are left out."""
    groups: Dict[str, List[int]] = {}
    for row in rows:
        if said(row):
            groups.setdefault(said(row), []).append(row.frame)
    if not groups:
        return "<p>Nothing.</p>"
    lines = [f"<table><tr><th>{escape(head)}</th><th>frames</th></tr>"]
    for text, frames in groups.items():
        lines.append(f"<tr><td>{escape(text)}</td><td>{escape(str(FrameRange(frames)))}</td></tr>")
    return "\n".join([*lines, "</table>"])


def _figure(preview: Preview) -> str:
    words = escape(preview.caption)
    image = f'<img src="{escape(preview.name)}" alt="{words}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"
