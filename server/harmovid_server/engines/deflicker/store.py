"""A session's matched pairs and pictures as named arrays, and back: what a checkpoint holds of them."""

from __future__ import annotations

from typing import Any, Dict, Optional, cast

import numpy as np

from harmovid_server.engines.base import State
from harmovid_server.engines.deflicker.match import Looks, Pairs


def pack_pairs(name: str, pairs: Pairs) -> Dict[str, Any]:
    """Return the entries of a state that hold `pairs` under `name`; exact."""
    return {
        f"{name}.logs": np.concatenate([pairs.here, pairs.there, pairs.weight[:, None]], axis=1),
        f"{name}.places": np.concatenate([pairs.at, pairs.at_there], axis=1),
        f"{name}.facts": np.array([pairs.trust, pairs.likeness]),
    }


def unpack_pairs(name: str, state: State) -> Optional[Pairs]:
    """Return the pairs that `pack_pairs` put under `name`, or None where there are none."""
    if f"{name}.logs" not in state:
        return None
    logs = cast("np.ndarray[Any, np.dtype[np.float64]]", state[f"{name}.logs"])
    places = cast("np.ndarray[Any, np.dtype[np.float32]]", state[f"{name}.places"])
    trust, likeness = (
        float(v) for v in cast("np.ndarray[Any, np.dtype[np.float64]]", state[f"{name}.facts"])
    )
    return Pairs(logs[:, :3], logs[:, 3:6], places[:, :2], places[:, 2:], logs[:, 6], trust, likeness)


def pack_looks(name: str, looks: Looks) -> Dict[str, Any]:
    """Return the entries of a state that hold a frame's `looks` under `name`; exact."""
    return {
        f"{name}.facts": np.array([looks.number, *looks.box], np.int64),
        f"{name}.logs": looks.logs,
        f"{name}.plain": looks.plain,
        f"{name}.weight": looks.weight,
    }


def unpack_looks(name: str, state: State) -> Optional[Looks]:
    """Return the looks that `pack_looks` put under `name`, or None where there are none."""
    if f"{name}.facts" not in state:
        return None
    number, *box = (
        int(value) for value in cast("np.ndarray[Any, np.dtype[np.int64]]", state[f"{name}.facts"])
    )
    arrays = (cast("np.ndarray[Any, Any]", state[f"{name}.{kind}"]) for kind in ("logs", "plain", "weight"))
    logs, plain, weight = arrays
    return Looks(number, logs, plain, weight, (box[0], box[1], box[2], box[3]))
