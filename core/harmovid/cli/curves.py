"""The reports of a deflickered shot as one row per frame: as CSV, as JSON, and for the plot and the page.

    rows = curves_of(frames, reports, failures)
    csv_text(rows); json_text(rows)

Reports come from a server: every value is checked here; missing values and values of a wrong type stay empty.
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
"""Decisions: the engine's two, a frame without a result, and a result of an earlier run, whose report is not known."""

NUMBERS = ("global_stops", "local_stops", "band_stops", "trust")
"""Numbers of an engine's report that are included if present."""

CHANNELS = "rgb"


@dataclass(frozen=True)
class FrameCurve:
    """One row: the report of one frame.

    Attributes:
        decision: one of the constants above, or another word from the engine's report.
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
        """The largest change over the channels, in stops; 0 if unknown."""
        if self.measured is None or self.corrected is None:
            return 0.0
        return max(abs(after - before) for before, after in zip(self.measured, self.corrected))


def curves_of(
    frames: Iterable[int], reports: Mapping[int, Mapping[str, Any]], failures: Mapping[int, HarmoVidError]
) -> List[FrameCurve]:
    """Return a row per frame, in the order given.

    Args:
        frames: all frames of the job.
        reports: by frame, the report of its result; the engine's part is under "engine".
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
    """Return the rows as CSV (RFC 4180) with a header; unknown values are empty, stops have five digits."""
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
    """Return the rows as a JSON object; unknown values are null."""
    data = {"version": 1, "unit": "stops above middle grey (0.18)", "frames": [asdict(row) for row in rows]}
    return json.dumps(data, indent=1) + "\n"
