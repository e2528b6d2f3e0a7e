"""What a session keeps of a frame without its picture, and the corrections that a window gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
from harmovid.pixels.field import MID_GREY, NULL, Curve, Grid, LightingField

from harmovid_server.engines.base import Answer
from harmovid_server.engines.deflicker.colour_terms import Array64, terms, to_curve_terms
from harmovid_server.engines.deflicker.motion import PairSamples


@dataclass
class TrackedFrame:
    """A pushed frame: number, range of log2 colours, display window, and its matches to earlier frames, by gap.

    Attributes:
        level: mean of the measured region in stops above middle grey per channel.
        middle: median of its brightness, in stops above middle grey.
        small: whether a small part of the picture is measured.
        lost: whether little of the frame before could be tracked into it, so that quantiles are used as well.
        aspect: width over height.
        samples: by gap, the matches with the frame that many frames before.
        quantiles: of its brightness, `(q, 3)`; None if too little is measured.
    """

    number: int
    low: float
    high: float
    box: Tuple[int, int, int, int]
    after_cut: bool
    level: Tuple[float, float, float]
    middle: float
    small: bool = False
    lost: bool = False
    aspect: float = 1.0
    samples: Dict[int, PairSamples] = field(default_factory=dict)
    quantiles: Optional[Array64] = None


@dataclass(frozen=True)
class Correction:
    """A window's corrections of some frames, in stops.

    Attributes:
        curves: `(n, 10, 3)` over `colour_terms.terms`.
        maps: one gain map per kind of local flicker (bands, patches), `(n, rows, columns, 3)`.
        trajectories: `(n, 2, 10, 3)`, whole and slow, if a level is held.
        shift: the segment's level in stops, subtracted from colours before `curves` is evaluated.
    """

    curves: Array64
    maps: Mapping[str, Array64]
    trajectories: Optional[Array64] = None
    shift: float = 0.0

    def part(self, first: int, last: int) -> Correction:
        """Return the frames from index `first` to `last`, exclusive."""
        return replace(
            self,
            curves=self.curves[first:last],
            maps={kind: one[first:last] for kind, one in self.maps.items()},
            trajectories=None if self.trajectories is None else self.trajectories[first:last],
        )

    def crossfaded(self, overlap: Correction) -> Correction:
        """Return this block, crossfaded with the earlier window's corrections of its first frames, to avoid a step."""
        trajectories = self.trajectories
        if trajectories is not None and overlap.trajectories is not None:
            trajectories = _crossfade(trajectories, overlap.trajectories)
        return replace(
            self,
            curves=_crossfade(self.curves, overlap.curves),
            maps={kind: _crossfade(one, overlap.maps[kind]) for kind, one in self.maps.items()},
            trajectories=trajectories,
        )


def _crossfade(now: Array64, before: Array64) -> Array64:
    count = min(len(now), len(before))
    faded = now.copy()
    for i in range(count):
        share = (i + 1) / (count + 1)
        faded[i] = share * now[i] + (1 - share) * before[i]
    return faded


def answer(
    frame: TrackedFrame, found: Correction, index: int, report: Mapping[str, Any], trim_stops: float
) -> Answer:
    """Return a frame's lighting field and report.

    Args:
        frame: the frame.
        found: the corrections of some frames.
        index: the frame's index in `found`.
        report: facts of the decision.
        trim_stops: the user's own correction, added.
    """
    curve = found.curves[index].copy()
    curve[0] += trim_stops
    parts: List[Any] = []
    if curve.any():
        anchor = MID_GREY * 2.0**found.shift
        low, high = frame.low - found.shift, frame.high - found.shift
        parts.append(Curve((to_curve_terms @ curve).T, anchor, low, high))
    x0, y0, x1, y1 = (float(edge) for edge in frame.box)
    for one in found.maps.values():
        if one[index].any():
            # The local part is the same for dark and bright pixels, so the grid has two equal layers over luma.
            stops = np.repeat(one[index][:, :, None, :], 2, axis=2).astype(np.float32)
            parts.append(Grid(stops, (x0, y0, x1, y1), -1.0, 1.0))
    return Answer(
        frame.number,
        LightingField(tuple(parts)) if parts else NULL,
        _facts(frame, curve, found.shift, report),
    )


def _facts(frame: TrackedFrame, curve: Array64, shift: float, report: Mapping[str, Any]) -> Mapping[str, Any]:
    change = np.zeros(3)
    if frame.quantiles is not None:
        change = (terms(frame.quantiles - shift) @ curve).mean(axis=0)
    facts = {
        **report,
        "frame_stops": round(float(change.mean()), 4),
        "measured": [round(value, 4) for value in frame.level],
        "corrected": [round(value + float(more), 4) for value, more in zip(frame.level, change)],
    }
    return {**facts, "cut": True} if frame.after_cut else facts
