"""Structure and motion: SSIM, and how much a clip changes along the motion of the truth.

Both are measured in view space: clips are views (`quality.view`), `(T, H, W, 3)` float32 in 0..1; masks are
`(T, H, W)` float32 in 0..1 (None: the whole frame).
"""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from harmovid_training.metrics.degrade import LUMA, Array

SSIM_SIGMA_PX = 1.5
SSIM_WINDOW_PX = 11
SSIM_K1, SSIM_K2 = 0.01, 0.03
"""Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment" (IEEE TIP 13, 2004), section III.C."""

AGREE_PX = 1.0
"""Bound of the forward-backward check; pixels above it are occluded in one of the two frames."""


def ssim(result: Array, truth: Array, mask: Optional[Array] = None) -> float:
    """Return the mean structural similarity of the luma of two views, at most 1."""
    total = weight = 0.0
    for t in range(len(truth)):
        similar = _similarity(result[t] @ LUMA, truth[t] @ LUMA)
        share = np.ones_like(similar) if mask is None else mask[t]
        total += float((similar * share).sum(dtype=np.float64))
        weight += float(share.sum(dtype=np.float64))
    return total / max(weight, 1e-9)


def _similarity(a: Array, b: Array) -> Array:
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    mean_a, mean_b = _blur(a), _blur(b)
    spread_a, spread_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    shared = _blur(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + c1) * (2 * shared + c2)
    return np.asarray(top / ((mean_a**2 + mean_b**2 + c1) * (spread_a + spread_b + c2)), np.float32)


def _blur(plane: npt.NDArray[Any]) -> Array:
    size = (SSIM_WINDOW_PX, SSIM_WINDOW_PX)
    return np.asarray(
        cv2.GaussianBlur(plane, size, SSIM_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101), np.float32
    )


class Motion:
    """The truth's motion from each frame to the one before, and where it can be trusted.

    Args:
        truth: the clean clip's view; its DIS optical flow is taken in both directions.
    """

    def __init__(self, truth: Array) -> None:
        grey = [np.clip(frame @ LUMA * 255, 0, 255).astype(np.uint8) for frame in truth]
        self._steps: List[Tuple[Array, Array]] = [step(now, before) for before, now in zip(grey, grey[1:])]

    def warped_error(self, clip: Array, mask: Optional[Array] = None) -> float:
        """Return the RMS difference between each frame of a view and the frame before, warped onto it.

        Lai et al., "Learning blind video temporal consistency" (ECCV 2018), section 4.2, with the flow of the truth;
        occluded pixels are left out.
        """
        total = weight = 0.0
        for t, (places, seen) in enumerate(self._steps, start=1):
            before = moved(clip[t - 1], places)
            share = seen if mask is None else seen * mask[t]
            total += float((((clip[t] - before) ** 2).mean(-1) * share).sum(dtype=np.float64))
            weight += float(share.sum(dtype=np.float64))
        return float(np.sqrt(total / max(weight, 1e-9)))


def step(
    now: npt.NDArray[np.uint8], before: npt.NDArray[np.uint8], agree_px: float = AGREE_PX
) -> Tuple[Array, Array]:
    """Return where in `before` each pixel of `now` was, `(H, W, 2)`, and `(H, W)` 1 where that can be trusted.

    Args:
        agree_px: largest distance, in pixels, between a pixel and its position after forward and backward flow.
    """
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = dis.calc(now, before, None), dis.calc(before, now, None)
    height, width = now.shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    places = grid + there
    returned = there + moved(back, places)
    inside = (places >= 0).all(-1) & (places[..., 0] <= width - 1) & (places[..., 1] <= height - 1)
    seen = inside & (np.hypot(returned[..., 0], returned[..., 1]) < agree_px)
    return places, seen.astype(np.float32)


def moved(picture: Array, places: Array) -> Array:
    """Return the picture sampled at places `(H, W, 2)`, bilinear; places outside read the nearest edge pixel."""
    columns, rows = np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])
    seen = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.float32)
