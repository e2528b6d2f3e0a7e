"""What a session keeps of a frame without its picture, the corrections that a window gives, and both in a checkpoint.

`pack_*` return named arrays, `unpack_*` restore the same from them without loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple, cast

import numpy as np
from harmovid.pixels.field import MID_GREY, NULL, Curve, Grid, LightingField

from harmovid_server.engines.base import Answer, State
from harmovid_server.engines.deflicker.colour_terms import Array64, terms, to_curve_terms
from harmovid_server.engines.deflicker.features import FrameFeatures
from harmovid_server.engines.deflicker.motion import GAPS, Flow, PairSamples

_PLANES = ("logs", "plain", "weight", "slope")


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


def _array(state: State, name: str) -> Any:
    return cast("np.ndarray[Any, np.dtype[Any]]", state[name])


def pack_frame(name: str, frame: TrackedFrame) -> Dict[str, Any]:
    """Return the entries of a state that hold a frame under `name`."""
    facts = [frame.number, frame.low, frame.high, *frame.box, frame.after_cut, *frame.level, frame.middle,
             frame.small, frame.lost, frame.aspect]  # fmt: skip
    state: Dict[str, Any] = {f"{name}.facts": np.array(facts, np.float64)}
    if frame.quantiles is not None:
        state[f"{name}.quantiles"] = frame.quantiles
    for gap, samples in frame.samples.items():
        logs = [samples.later, samples.earlier, samples.weight[:, None]]
        state[f"{name}.logs.{gap}"] = np.concatenate(logs, axis=1)
        state[f"{name}.places.{gap}"] = np.concatenate([samples.later_at, samples.earlier_at], axis=1)
        state[f"{name}.trust.{gap}"] = samples.trust
    return state


def unpack_frame(name: str, state: State) -> Optional[TrackedFrame]:
    """Return the frame that `pack_frame` stored under `name`, or None if there is none."""
    if f"{name}.facts" not in state:
        return None
    facts = [float(value) for value in _array(state, f"{name}.facts")]
    box = (int(facts[3]), int(facts[4]), int(facts[5]), int(facts[6]))
    frame = TrackedFrame(
        int(facts[0]), facts[1], facts[2], box, bool(facts[7]), (facts[8], facts[9], facts[10]), facts[11],
        bool(facts[12]), bool(facts[13]), facts[14],
    )  # fmt: skip
    frame.quantiles = cast(Optional[Array64], state.get(f"{name}.quantiles"))
    for gap in GAPS:
        if f"{name}.logs.{gap}" in state:
            logs, at = _array(state, f"{name}.logs.{gap}"), _array(state, f"{name}.places.{gap}")
            trust = float(cast(float, state[f"{name}.trust.{gap}"]))
            frame.samples[gap] = PairSamples(
                logs[:, :3], logs[:, 3:6], at[:, :2], at[:, 2:], logs[:, 6], trust
            )
    return frame


def unpack_frames(name: str, state: State) -> List[TrackedFrame]:
    """Return the frames that were packed under `name.0`, `name.1`, ..."""
    frames: List[TrackedFrame] = []
    while (frame := unpack_frame(f"{name}.{len(frames)}", state)) is not None:
        frames.append(frame)
    return frames


def pack_correction(name: str, found: Correction) -> Dict[str, Any]:
    """Return the entries of a state that hold a correction under `name`."""
    state: Dict[str, Any] = {f"{name}.curves": found.curves, f"{name}.shift": found.shift}
    state.update({f"{name}.map.{kind}": one for kind, one in found.maps.items()})
    if found.trajectories is not None:
        state[f"{name}.trajectories"] = found.trajectories
    return state


def unpack_correction(name: str, state: State) -> Optional[Correction]:
    """Return the correction that `pack_correction` stored under `name`, or None if there is none."""
    if f"{name}.curves" not in state:
        return None
    start = f"{name}.map."
    maps = {key[len(start) :]: cast(Array64, one) for key, one in state.items() if key.startswith(start)}
    trajectories = cast(Optional[Array64], state.get(f"{name}.trajectories"))
    shift = float(cast(float, state[f"{name}.shift"]))
    return Correction(cast(Array64, state[f"{name}.curves"]), maps, trajectories, shift)


def pack_features(name: str, features: FrameFeatures) -> Dict[str, Any]:
    """Return the entries of a state that hold a frame's features under `name`."""
    return {
        f"{name}.facts": np.array([features.number, *features.box], np.int64),
        f"{name}.levels": np.array([features.level, features.spread]),
        **{f"{name}.{kind}": getattr(features, kind) for kind in _PLANES},
    }


def unpack_features(name: str, state: State) -> Optional[FrameFeatures]:
    """Return the features that `pack_features` stored under `name`, or None if there are none."""
    if f"{name}.facts" not in state:
        return None
    number, x0, y0, x1, y1 = (int(value) for value in _array(state, f"{name}.facts"))
    level, spread = (float(value) for value in _array(state, f"{name}.levels"))
    logs, plain, weight, slope = (_array(state, f"{name}.{kind}") for kind in _PLANES)
    return FrameFeatures(number, logs, plain, weight, slope, (x0, y0, x1, y1), level, spread)


def pack_flows(name: str, flows: Dict[int, Flow]) -> Dict[str, Any]:
    """Return the entries of a state that hold one frame's `flows` by gap under `name`."""
    return {f"{name}.{gap}": np.stack([flow.forth, flow.back]) for gap, flow in flows.items()}


def unpack_flows(name: str, state: State) -> Dict[int, Flow]:
    """Return the flows that `pack_flows` stored under `name`; an empty dict if there are none."""
    found = {gap: _array(state, f"{name}.{gap}") for gap in GAPS if f"{name}.{gap}" in state}
    return {gap: Flow(forth, back) for gap, (forth, back) in found.items()}
