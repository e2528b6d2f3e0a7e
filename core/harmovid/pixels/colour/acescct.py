"""The ACEScct curve: AMPAS S-2016-001, "ACEScct - A Quasi-Logarithmic Encoding of ACES Data" (2016), section
4.4.

Only the curve; the caller handles the standard's primaries (AP1). Linear 0.18 has code 0.4136, 222.86 has code 1.0,
65504 has code 1.468. Below 0.0078125 the curve is linear, so zero and negative values can be encoded and decoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

ACESCCT_LINEAR_BREAK = 0.0078125
ACESCCT_CODE_BREAK = 0.155251141552511
ACESCCT_SLOPE = 10.5402377416545
ACESCCT_OFFSET = 0.0729055341958355
ACESCCT_STOPS_ABOVE = 9.72
ACESCCT_STOPS_TOTAL = 17.52
"""Constants as printed in the standard."""


def acescct_encode(linear: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ACEScct code values of linear light, any shape, float32 or float64 as given; NaN stays NaN."""
    logarithm = np.log2(np.maximum(linear, ACESCCT_LINEAR_BREAK))
    curved = (logarithm + ACESCCT_STOPS_ABOVE) / ACESCCT_STOPS_TOTAL
    return np.where(linear <= ACESCCT_LINEAR_BREAK, ACESCCT_SLOPE * linear + ACESCCT_OFFSET, curved)


def acescct_decode(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return linear light of ACEScct code values, any shape, float32 or float64 as given.

    Unlike the standard's decoder, this does not clamp at 65504.
    """
    curved = np.exp2(np.maximum(code, ACESCCT_CODE_BREAK) * ACESCCT_STOPS_TOTAL - ACESCCT_STOPS_ABOVE)
    return np.where(code <= ACESCCT_CODE_BREAK, (code - ACESCCT_OFFSET) / ACESCCT_SLOPE, curved)
