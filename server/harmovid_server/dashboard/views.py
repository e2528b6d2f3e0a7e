"""From the server's answers to the content of a page: ages, shares, possible actions, curves.

Everything here is text and numbers; templates escape them.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from harmovid.cli.command_line import words
from harmovid.cli.curves import FrameCurve, curves_of
from harmovid.cli.curves_svg import svg_text
from harmovid.client import FrameStatus, JobStatus
from harmovid.errors import HarmoVidError, from_wire
from harmovid.job import ACTIVE_STATES, EngineInfo

SHORT_ID = 8
FRAMES_PER_PAGE = 120
"""Frames with two previews each on one page."""

HIDDEN = ("engine", "runtime")
"""Parts of a frame's report that have a place of their own on its page."""


@dataclass(frozen=True)
class JobRow:
    """A job as the lists show it."""

    id: str
    short: str
    who: str
    label: str
    engine: str
    state: str
    done: int
    failed: int
    total: int
    percent: int
    age: str
    message: str
    active: bool
    position: int
    connected: bool
    missing: int


def job_row(status: JobStatus) -> JobRow:
    """Return a job's row."""
    now = status.progress
    over = now.delivered + now.failed
    return JobRow(
        id=now.job_id,
        short=now.job_id[:SHORT_ID],
        who=status.user,
        label=status.label,
        engine=status.engine,
        state=f"{now.state} #{now.queue_position}" if now.queue_position else now.state,
        done=now.delivered,
        failed=now.failed,
        total=now.total,
        percent=100 * over // now.total if now.total else 0,
        age=age(status.age_s),
        message=now.message,
        active=now.state in ACTIVE_STATES,
        position=now.queue_position,
        # An older server does not say; then the client is taken to be connected, or the job would end by itself.
        connected=now.state in ACTIVE_STATES and status.connected is not False,
        missing=now.total - now.delivered,
    )


def command(status: JobStatus, engines: Iterable[EngineInfo]) -> str:
    """Return the command that makes a job's missing frames, as text for a shell; "" where it is not known."""
    engine = next((one for one in engines if one.name == status.engine), None)
    if status.spec is None or engine is None:
        return ""
    return shlex.join(words(status.spec, engine))


def age(seconds: float) -> str:
    """Return a time in the largest unit that leaves a number of two digits or so."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def curves(frames: Iterable[FrameStatus]) -> List[FrameCurve]:
    """Return the curves of a deflickered shot; empty if no report has levels."""
    known = list(frames)
    reports = {one.frame: one.report for one in known if one.report}
    failures: Dict[int, HarmoVidError] = {one.frame: from_wire(one.error) for one in known if one.error}
    rows = curves_of([one.frame for one in known], reports, failures)
    return rows if any(row.measured or row.corrected for row in rows) else []


def curves_svg(rows: Sequence[FrameCurve]) -> str:
    """Return the plot of the curves as SVG, all text in it escaped."""
    return svg_text(rows)


def runtime(told: Mapping[str, Any]) -> str:
    """Return in one line what an engine runs on."""
    if not told:
        return ""
    text = f"{told.get('device', '?')}: {told.get('runtime', '?')}, {told.get('precision', '?')}"
    return text + (f" ({told['reason']})" if told.get("reason") else "")


def report_rows(report: Mapping[str, Any]) -> List[tuple[str, str]]:
    """Return a frame's report as rows: what the engine said first, then what the codec counted."""
    rows = []
    engine = report.get("engine")
    for part in (engine if isinstance(engine, dict) else {}, report):
        rows += [(str(name), _short(value)) for name, value in part.items() if name not in HIDDEN]
    said = report.get("runtime")
    return [*rows, ("runtime", runtime(said))] if isinstance(said, dict) else rows


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_short(one) for one in value[:16]) + (", ..." if len(value) > 16 else "")
    return str(value)[:400]


@dataclass(frozen=True)
class Page:
    """One page of a job's frames, and where its neighbours begin; -1 where there is none."""

    frames: List[FrameStatus]
    first: int
    before: int
    after: int
    count: int


def page(frames: Sequence[FrameStatus], first: int) -> Page:
    """Return the frames from index `first` on, as many as one page shows."""
    first = max(0, min(first, max(len(frames) - 1, 0)))
    shown = list(frames[first : first + FRAMES_PER_PAGE])
    after = first + FRAMES_PER_PAGE
    return Page(
        shown, first, max(first - FRAMES_PER_PAGE, 0) if first else -1, after if after < len(frames) else -1,
        len(frames),
    )  # fmt: skip
