"""What a session keeps of a frame once its picture has gone, and what a window says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from harmovid.pixels.field import MID_GREY, NULL, Curve, Grid, LightingField

from harmovid_server.engines.base import Answer
from harmovid_server.engines.deflicker.basis import Array64, terms, to_curve_terms
from harmovid_server.engines.deflicker.links import Change
from harmovid_server.engines.deflicker.match import Pairs


@dataclass
class Seen:
    """A pushed frame: number, range of log2 colours, display window, and its links to earlier frames by gap; `small`
    where a small part of the picture is measured.

    `level` is the mean of the measured region in stops above middle grey per channel; gap 0 of `changes` is the link by
    quantiles to the frame before.
    """

    number: int
    low: float
    high: float
    box: Tuple[int, int, int, int]
    after_cut: bool
    level: Tuple[float, float, float]
    small: bool = False
    pairs: Dict[int, Pairs] = field(default_factory=dict)
    changes: Dict[int, Change] = field(default_factory=dict)
    quantiles: Optional[Array64] = None


@dataclass(frozen=True)
class Found:
    """What a window says of some frames, in stops: `curves` `(n, 10, 3)` over `basis.terms`, and one gain map
    per kind of place, `(n, rows, columns, 3)`. `courses` `(n, 2, 10, 3)`, whole and slow, where a level is held.
    """

    curves: Array64
    maps: Mapping[str, Array64]
    courses: Optional[Array64] = None

    def part(self, first: int, last: int) -> Found:
        """Return the frames from index `first` up to and without `last`."""
        maps = {kind: one[first:last] for kind, one in self.maps.items()}
        return Found(
            self.curves[first:last], maps, None if self.courses is None else self.courses[first:last]
        )

    def joined(self, foretold: Found) -> Found:
        """Return this block, led over from what the window before said of it: no step where blocks meet."""
        courses = self.courses
        if courses is not None and foretold.courses is not None:
            courses = _led_over(courses, foretold.courses)
        return Found(
            _led_over(self.curves, foretold.curves),
            {kind: _led_over(one, foretold.maps[kind]) for kind, one in self.maps.items()},
            courses,
        )


def _led_over(now: Array64, before: Array64) -> Array64:
    count = min(len(now), len(before))
    led = now.copy()
    for i in range(count):
        share = (i + 1) / (count + 1)
        led[i] = share * now[i] + (1 - share) * before[i]
    return led


def answer(seen: Seen, found: Found, index: int, report: Mapping[str, Any], trim_stops: float) -> Answer:
    """Return a frame's lighting field and report.

    Args:
        index: which frame of `found` it is.
        trim_stops: the user's own correction, on top.
    """
    curve = found.curves[index].copy()
    curve[0] += trim_stops
    parts: List[Any] = []
    if curve.any():
        parts.append(Curve((to_curve_terms @ curve).T, MID_GREY, seen.low, seen.high))
    x0, y0, x1, y1 = (float(edge) for edge in seen.box)
    for one in found.maps.values():
        if one[index].any():
            # The local part is the same for dark and bright pixels: two equal layers over any range of luma.
            stops = np.repeat(one[index][:, :, None, :], 2, axis=2).astype(np.float32)
            parts.append(Grid(stops, (x0, y0, x1, y1), -1.0, 1.0))
    return Answer(seen.number, LightingField(tuple(parts)) if parts else NULL, _facts(seen, curve, report))


def _facts(seen: Seen, curve: Array64, report: Mapping[str, Any]) -> Mapping[str, Any]:
    shift = np.zeros(3) if seen.quantiles is None else (terms(seen.quantiles) @ curve).mean(axis=0)
    facts = {
        **report,
        "frame_stops": round(float(shift.mean()), 4),
        "measured": [round(value, 4) for value in seen.level],
        "corrected": [round(value + float(more), 4) for value, more in zip(seen.level, shift)],
    }
    return {**facts, "cut": True} if seen.after_cut else facts
