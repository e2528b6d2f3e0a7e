"""Dataclasses, lists and mappings as the flat entries of a session's state, and back, without loss.

state = packed("frames", frames)        # {"frames.0.number": 1001, "frames.0.samples.1.weight": array, ...}
frames = unpacked(List[TrackedFrame], "frames", state)
"""

from __future__ import annotations

from dataclasses import is_dataclass
from typing import Any, Dict, Mapping, Union, get_args, get_origin, get_type_hints

from harmovid_server.engines.base import State


def packed(name: str, value: Any) -> Dict[str, Any]:
    """Return the entries that hold `value` under `name`: its numbers, text and arrays by their place in it."""
    if is_dataclass(value):
        value = vars(value)
    elif isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {name: value}
    # An empty one needs an entry too: it may be an element of a list.
    parts = [packed(f"{name}.{key}", inner) for key, inner in value.items()] or [{name: None}]
    return {key: one for part in parts for key, one in part.items()}


def unpacked(kind: Any, name: str, state: State) -> Any:
    """Return what `packed` stored under `name`.

    Args:
        kind: its type: a dataclass, `List`, `Tuple`, `Dict`, `Mapping` or `Optional` of such, or any other type, whose
            values are entries themselves.
        name: as given to `packed`.
        state: may hold other entries.
    """
    origin, inside = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{key: unpacked(hint, f"{name}.{key}", state) for key, hint in hints.items()})
    if origin is Union:
        return None if state.get(name, "") is None else unpacked(inside[0], name, state)
    if origin is tuple:
        return tuple(unpacked(each, f"{name}.{i}", state) for i, each in enumerate(inside))
    if origin not in (list, dict, get_origin(Mapping[str, int])):
        return state[name]
    start = f"{name}."
    keys = dict.fromkeys(key[len(start) :].split(".")[0] for key in state if key.startswith(start))
    if origin is list:
        return [unpacked(inside[0], f"{name}.{i}", state) for i in range(len(keys))]
    return {inside[0](key): unpacked(inside[1], start + key, state) for key in keys}
