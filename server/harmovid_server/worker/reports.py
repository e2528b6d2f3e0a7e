"""Reports: what a frame's result says about its making, as plain values that may travel on the wire."""

from __future__ import annotations

import math
from typing import Any, Mapping

import numpy as np

MAX_TEXT = 200
MAX_ITEMS = 64
MAX_DEPTH = 4


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return `value` as none, booleans, finite numbers, text, short lists and maps by text.

    Engines put what they like into their reports; what does not fit is told as text, or cut.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth and isinstance(value, Mapping):
        return {str(k)[:MAX_TEXT]: plain(v, depth - 1) for k, v in list(value.items())[:MAX_ITEMS]}
    if depth and isinstance(value, (list, tuple)):
        return [plain(item, depth - 1) for item in value[:MAX_ITEMS]]
    return str(value)[:MAX_TEXT]
