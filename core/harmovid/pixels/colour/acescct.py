"""The ACEScct curve: AMPAS S-2016-001, "ACEScct - A Quasi-Logarithmic Encoding of ACES Data" (2016), section
4.4.

Only the curve; the standard's primaries (AP1) are the caller's business. Linear 0.18 is encoded to 0.4136,
1.0 is reached at 222.86, 65504 at 1.468; from 0.0078125 down it is a straight line, so zero and negative
values have codes and come back.
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
"""The standard's own digits."""


def acescct_encode(linear: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ACEScct code values of linear light, any shape, float32 or float64 as given; NaN stays NaN."""
    logarithm = np.log2(np.maximum(linear, ACESCCT_LINEAR_BREAK))
    curved = (logarithm + ACESCCT_STOPS_ABOVE) / ACESCCT_STOPS_TOTAL
    return np.where(linear <= ACESCCT_LINEAR_BREAK, ACESCCT_SLOPE * linear + ACESCCT_OFFSET, curved)


def acescct_decode(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return linear light of ACEScct code values, any shape, float32 or float64 as given.

    Unlike the standard's decoder, nothing is cut at 65504: what was encoded from beyond comes back.
    """
    curved = np.exp2(np.maximum(code, ACESCCT_CODE_BREAK) * ACESCCT_STOPS_TOTAL - ACESCCT_STOPS_ABOVE)
    return np.where(code <= ACESCCT_CODE_BREAK, (code - ACESCCT_OFFSET) / ACESCCT_SLOPE, curved)
