"""What a deflickered shot's frames say of themselves, as rows: CSV, JSON, and what plot and page are made of.

    rows = curves_of(frames, reports, failures)
    csv_text(rows); json_text(rows)

Reports come from a server: every value is checked here, and what is missing or of a wrong kind stays empty.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from harmovid.errors import HarmoVidError

Triple = Tuple[float, float, float]

CORRECTED, NOTHING, FAILED, UNKNOWN = "corrected", "nothing", "failed", "unknown"
"""Decisions: the engine's two, a frame without result, and a result of which nothing is known (an earlier run's)."""

NUMBERS = ("global_stops", "local_stops", "band_stops", "trust")
"""Numbers of an engine's report that are told where they are there."""

CHANNELS = "rgb"


@dataclass(frozen=True)
class FrameCurve:
    """One frame of the course.

    Attributes:
        decision: one of the constants above, or another word that an engine says.
        reason: why nothing was done, or why it failed.
        mode: which causes of flicker were found, and why.
        cut: it is the first frame after a scene cut.
        measured, corrected: mean stops above middle grey of the measured region, per channel, before and after.
        numbers: those of `NUMBERS` that are known.
    """

    frame: int
    decision: str = UNKNOWN
    reason: str = ""
    mode: str = ""
    cut: bool = False
    measured: Optional[Triple] = None
    corrected: Optional[Triple] = None
    numbers: Dict[str, float] = field(default_factory=dict)

    @property
    def change(self) -> float:
        """By how many stops the frame was changed at most, over channels; 0 where that is not known."""
        if self.measured is None or self.corrected is None:
            return 0.0
        return max(abs(after - before) for before, after in zip(self.measured, self.corrected))


def curves_of(
    frames: Iterable[int], reports: Mapping[int, Mapping[str, Any]], failures: Mapping[int, HarmoVidError]
) -> List[FrameCurve]:
    """Return a row per frame, in the order given.

    Args:
        frames: all frames of the job.
        reports: a result's report by frame; the engine's own words stand under "engine".
        failures: why frames have no result.
    """
    return [_row(frame, reports.get(frame), failures.get(frame)) for frame in frames]


def _row(frame: int, report: Optional[Mapping[str, Any]], error: Optional[HarmoVidError]) -> FrameCurve:
    if error is not None:
        return FrameCurve(frame, FAILED, reason=error.message)
    said = None if report is None else report.get("engine")
    if not isinstance(said, dict):
        return FrameCurve(frame)
    numbers = {name: said[name] for name in NUMBERS if _is_number(said.get(name))}
    return FrameCurve(
        frame,
        decision=_text(said.get("decision")) or UNKNOWN,
        reason=_text(said.get("reason")),
        mode=_text(said.get("mode")),
        cut=said.get("cut") is True,
        measured=_triple(said.get("measured")),
        corrected=_triple(said.get("corrected")),
        numbers={name: float(value) for name, value in numbers.items()},
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _triple(value: Any) -> Optional[Triple]:
    if not isinstance(value, (list, tuple)) or len(value) != len(CHANNELS) or not all(map(_is_number, value)):
        return None
    return float(value[0]), float(value[1]), float(value[2])


def csv_text(rows: Iterable[FrameCurve]) -> str:
    """Return the rows as CSV (RFC 4180) with a header; what is not known is empty, stops have five digits."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = [f"{what}_{channel}" for what in ("measured", "corrected") for channel in CHANNELS]
    writer.writerow(["frame", "decision", "cut", *names, *NUMBERS, "mode", "reason"])
    for row in rows:
        levels = [*_cells(row.measured), *_cells(row.corrected)]
        numbers = [_cell(row.numbers.get(name)) for name in NUMBERS]
        writer.writerow([row.frame, row.decision, int(row.cut), *levels, *numbers, row.mode, row.reason])
    return text.getvalue()


def _cells(levels: Optional[Triple]) -> List[str]:
    return [_cell(level) for level in levels or (None, None, None)]


def _cell(number: Optional[float]) -> str:
    return "" if number is None else f"{number:.5f}"


def json_text(rows: Iterable[FrameCurve]) -> str:
    """Return the rows as a JSON object; what is not known is null."""
    data = {"version": 1, "unit": "stops above middle grey (0.18)", "frames": [asdict(row) for row in rows]}
    return json.dumps(data, indent=1) + "\n"
