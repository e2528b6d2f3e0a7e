"""Small frames with constant channels, and plans to measure and finish them by."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
from harmovid.pixels import exr
from harmovid_server.codec.plan import Plan

BOX = (0, 0, 8, 4)


def plan(**changes: Any) -> Plan:
    """Return a plate's plan with two proxy lines."""
    values: Dict[str, Any] = {
        "layers": ("plate",), "target": "plate", "wants_matte": False, "mattes": ("matte", "mask", "measure_mask"),
        "lines": 2, "premultiplied": True,
        "mode": "fg", "strength": 1.0, "field_layers": False,
    }  # fmt: skip
    return Plan(**{**values, **changes})


def frame(
    window: tuple = BOX, display: tuple = BOX, attributes: dict | None = None, **channels: Any
) -> exr.ExrFrame:
    """Return a frame with constant channels."""
    shape = (window[3] - window[1], window[2] - window[0])
    planes = {
        name: value if isinstance(value, np.ndarray) else np.full(shape, value, np.float16)
        for name, value in channels.items()
    }
    return exr.make_frame(exr.PartHeader.make(window, display, attributes=attributes), planes)
