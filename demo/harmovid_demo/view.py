"""The demo's view transform: scene-linear light to sRGB with a soft highlight roll-off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harmovid_demo.jit import Image

SHOULDER = 0.6  # linear up to here; above, values approach 1 exponentially
Bytes = npt.NDArray[np.uint8]


def view(picture: Image) -> Image:
    """Return display values in 0..1 for linear light `(..., 3)`: the shoulder, then sRGB (IEC 61966-2-1)."""
    light = np.maximum(np.nan_to_num(picture, nan=0.0), np.float32(0))
    room = np.float32(1.0 - SHOULDER)
    over = np.maximum(light - np.float32(SHOULDER), np.float32(0)) / room
    light = np.minimum(light, np.float32(SHOULDER)) + room * (1 - np.exp(-over))
    shown: Image = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
    return shown.astype(np.float32)


def to_bytes(picture: Image) -> Bytes:
    """Return `view` of a picture as 8 bit."""
    shown: Bytes = (view(picture) * 255 + 0.5).astype(np.uint8)
    return shown
