"""What a session keeps as named arrays, and back: what a checkpoint holds of it. Exact both ways."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, cast

import numpy as np

from harmovid_server.engines.base import State
from harmovid_server.engines.deflicker.basis import Array64
from harmovid_server.engines.deflicker.links import Change
from harmovid_server.engines.deflicker.looks import Looks
from harmovid_server.engines.deflicker.match import Pairs
from harmovid_server.engines.deflicker.motion import Flow
from harmovid_server.engines.deflicker.seen import Found, Seen

_PLANES = ("logs", "plain", "weight", "slope")


def _array(state: State, name: str) -> Any:
    return cast("np.ndarray[Any, np.dtype[Any]]", state[name])


def pack_seen(name: str, seen: Seen) -> Dict[str, Any]:
    """Return the entries of a state that hold a frame's `seen` under `name`."""
    facts = [seen.number, seen.low, seen.high, *seen.box, seen.after_cut, *seen.level, seen.small]
    state: Dict[str, Any] = {f"{name}.facts": np.array(facts, np.float64)}
    if seen.quantiles is not None:
        state[f"{name}.quantiles"] = seen.quantiles
    for gap, change in seen.changes.items():
        state[f"{name}.change.{gap}"] = np.stack([change.here, change.there, change.across])
        state[f"{name}.variance.{gap}"] = change.variance
    for gap, pairs in seen.pairs.items():
        state[f"{name}.logs.{gap}"] = np.concatenate([pairs.here, pairs.there, pairs.weight[:, None]], axis=1)
        state[f"{name}.places.{gap}"] = np.concatenate([pairs.at, pairs.at_there], axis=1)
        state[f"{name}.trust.{gap}"] = pairs.trust
    return state


def unpack_seen(name: str, state: State, gaps: tuple[int, ...]) -> Optional[Seen]:
    """Return the frame that `pack_seen` put under `name`, or None where there is none."""
    if f"{name}.facts" not in state:
        return None
    facts = [float(value) for value in _array(state, f"{name}.facts")]
    box = (int(facts[3]), int(facts[4]), int(facts[5]), int(facts[6]))
    level = (facts[8], facts[9], facts[10])
    seen = Seen(int(facts[0]), facts[1], facts[2], box, bool(facts[7]), level, bool(facts[11]))
    if f"{name}.quantiles" in state:
        seen.quantiles = cast(Array64, state[f"{name}.quantiles"])
    for gap in (0, *gaps):
        if f"{name}.change.{gap}" in state:
            here, there, across = _array(state, f"{name}.change.{gap}")
            seen.changes[gap] = Change(
                here, there, across, float(cast(float, state[f"{name}.variance.{gap}"]))
            )
        if f"{name}.logs.{gap}" in state:
            logs, at = _array(state, f"{name}.logs.{gap}"), _array(state, f"{name}.places.{gap}")
            trust = float(cast(float, state[f"{name}.trust.{gap}"]))
            seen.pairs[gap] = Pairs(logs[:, :3], logs[:, 3:6], at[:, :2], at[:, 2:], logs[:, 6], trust)
    return seen


def unpack_all_seen(name: str, state: State, gaps: tuple[int, ...]) -> List[Seen]:
    """Return the frames that were packed under `name.0`, `name.1`, ..."""
    frames: List[Seen] = []
    while (seen := unpack_seen(f"{name}.{len(frames)}", state, gaps)) is not None:
        frames.append(seen)
    return frames


def pack_found(name: str, found: Found) -> Dict[str, Any]:
    """Return the entries of a state that hold what a window says under `name`."""
    state: Dict[str, Any] = {f"{name}.curves": found.curves}
    state.update({f"{name}.map.{kind}": one for kind, one in found.maps.items()})
    if found.courses is not None:
        state[f"{name}.courses"] = found.courses
    return state


def unpack_found(name: str, state: State) -> Optional[Found]:
    """Return what `pack_found` put under `name`, or None where there is nothing."""
    if f"{name}.curves" not in state:
        return None
    start = f"{name}.map."
    maps = {key[len(start) :]: cast(Array64, one) for key, one in state.items() if key.startswith(start)}
    courses = cast(Optional[Array64], state.get(f"{name}.courses"))
    return Found(cast(Array64, state[f"{name}.curves"]), maps, courses)


def pack_looks(name: str, looks: Looks) -> Dict[str, Any]:
    """Return the entries of a state that hold a frame's `looks` under `name`."""
    return {
        f"{name}.facts": np.array([looks.number, *looks.box], np.int64),
        **{f"{name}.{kind}": getattr(looks, kind) for kind in _PLANES},
    }


def unpack_looks(name: str, state: State) -> Optional[Looks]:
    """Return the looks that `pack_looks` put under `name`, or None where there are none."""
    if f"{name}.facts" not in state:
        return None
    number, *box = (int(value) for value in _array(state, f"{name}.facts"))
    logs, plain, weight, slope = (_array(state, f"{name}.{kind}") for kind in _PLANES)
    return Looks(number, logs, plain, weight, slope, (box[0], box[1], box[2], box[3]))


def pack_flows(name: str, flows: Dict[int, Flow]) -> Dict[str, Any]:
    """Return the entries of a state that hold one frame's `flows` by gap under `name`."""
    return {f"{name}.{gap}": np.stack([flow.forth, flow.back]) for gap, flow in flows.items()}


def unpack_flows(name: str, state: State, gaps: tuple[int, ...]) -> Dict[int, Flow]:
    """Return the flows that `pack_flows` put under `name`; none where there are none."""
    found = {gap: _array(state, f"{name}.{gap}") for gap in gaps if f"{name}.{gap}" in state}
    return {gap: Flow(forth, back) for gap, (forth, back) in found.items()}
