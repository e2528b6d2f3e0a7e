"""Conversion of a session's data to named arrays for a checkpoint, and back, without loss."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, cast

import numpy as np

from harmovid_server.engines.base import State
from harmovid_server.engines.deflicker.colour_terms import Array64
from harmovid_server.engines.deflicker.corrections import Correction, TrackedFrame
from harmovid_server.engines.deflicker.features import FrameFeatures
from harmovid_server.engines.deflicker.matching import PairSamples
from harmovid_server.engines.deflicker.motion import Flow

GAPS = (1, 2, 4, 8)
"""Each frame is matched with the frames this many before it."""

_PLANES = ("logs", "plain", "weight", "slope")


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
