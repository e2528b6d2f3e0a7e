"""The sRGB transfer curve: IEC 61966-2-1:1999, section 5.2, for display (contact sheets, video).

Linear 0..1 is encoded to 0..1. Negative values are mirrored, values above 1 follow the same formula; clip where a
display needs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SRGB_SLOPE = 12.92
SRGB_OFFSET = 0.055
SRGB_GAMMA = 2.4
SRGB_LINEAR_BREAK = 0.0031308
SRGB_CODE_BREAK = 0.04045
"""Constants as printed in the standard; because of its rounding the two pieces differ by 3e-8 at the break."""


def srgb_encode(linear: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return sRGB code values of linear light, any shape, float32 or float64 as given."""
    size = np.abs(linear)
    curved = (1.0 + SRGB_OFFSET) * np.maximum(size, SRGB_LINEAR_BREAK) ** (1.0 / SRGB_GAMMA) - SRGB_OFFSET
    return np.asarray(np.copysign(np.where(size <= SRGB_LINEAR_BREAK, SRGB_SLOPE * size, curved), linear))


def srgb_decode(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return linear light of sRGB code values, any shape, float32 or float64 as given."""
    size = np.abs(code)
    curved = ((np.maximum(size, SRGB_CODE_BREAK) + SRGB_OFFSET) / (1.0 + SRGB_OFFSET)) ** SRGB_GAMMA
    return np.asarray(np.copysign(np.where(size <= SRGB_CODE_BREAK, size / SRGB_SLOPE, curved), code))
