"""Pseudo alpha from binary masks: a smooth decay across the foreground's border (the paper's V with superscript alpha).

    alpha = pseudo_alpha(mask, width_px=6)

The paper says only that it "smoothly decays the foreground boundaries". Here alpha is a smooth step across the border,
one half on the border itself: it falls from 1 to 0 over `width_px` pixels, half of them inside. So the matte neither
grows nor shrinks. Where a mask is off by a pixel or two, the composite mixes foreground and background, and the network
learns from the real clips to repair that.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

Float32 = npt.NDArray[np.float32]

WIDTH_SHARE = 1 / 60
"""Default width of the decay as a share of the picture's height: 8 pixels at 480 lines."""


def pseudo_alpha(mask: Float32, width_px: float | None = None) -> Float32:
    """Return a soft matte `(T, H, W)` float32 of a binary mask.

    Args:
        mask: `(T, H, W)`, foreground above 0.5.
        width_px: over how many pixels it falls from 1 to 0; None takes `WIDTH_SHARE` of the height.

    Raises:
        InputError: the width is 0 or less, or the mask is not `(T, H, W)`.
    """
    if mask.ndim != 3:
        raise InputError(f"a mask of {mask.shape} is no clip (T, H, W).")
    width = mask.shape[1] * WIDTH_SHARE if width_px is None else width_px
    if width <= 0:
        raise InputError(f"a border {width} pixels wide cannot decay.", fix="Give a width above 0.")
    return np.stack([_step(signed_distance(frame > 0.5) / width + 0.5) for frame in mask])


def signed_distance(inside: npt.NDArray[Any]) -> Float32:
    """Return the distance of each pixel's centre to the border in pixels `(H, W)`, positive inside; a large value where
    the mask has no border."""
    plane = inside.astype(np.uint8)
    inner = cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outer = cv2.distanceTransform(1 - plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # A distance transform measures to the next pixel's centre; the border lies half a pixel before it.
    return np.where(inside, inner - 0.5, 0.5 - outer).astype(np.float32)


def _step(x: npt.NDArray[Any]) -> Float32:
    t = np.clip(x, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
