"""Sharpness of a composite's seam: measured on the view's luma along the foreground's border (the paper's Table 4).

    laplacian, tenengrad = seam(frames, masks)

Masks are `(T, H, W)` float32 in 0..1, frames `(T, H, W, 3)` float32 scene-linear.
"""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np
from harmovid_training.metrics.degrade import LUMA, Array
from harmovid_training.metrics.quality import view

WIDTH_PX = 3
"""The border reaches this far to both sides of the mask's edge."""


def seam(frames: Array, masks: Array) -> Tuple[float, float]:
    """Return the variance of the Laplacian and the mean squared Sobel gradient (Tenengrad) on the border, for a view in
    0..255."""
    kernel = np.ones((2 * WIDTH_PX + 1, 2 * WIDTH_PX + 1), np.uint8)
    laplacians, gradients = [], []
    for frame, mask in zip(frames, masks):
        solid = (mask > 0.5).astype(np.uint8)
        border = (cv2.dilate(solid, kernel) - cv2.erode(solid, kernel)) > 0
        shown = np.asarray(view(frame) @ LUMA * np.float32(255), np.float32)
        laplacians.append(cv2.Laplacian(shown, cv2.CV_32F)[border])
        across, down = cv2.Sobel(shown, cv2.CV_32F, 1, 0), cv2.Sobel(shown, cv2.CV_32F, 0, 1)
        gradients.append((across**2 + down**2)[border])
    seen = np.concatenate(laplacians)
    if not seen.size:
        return 0.0, 0.0
    return float(seen.var(dtype=np.float64)), float(np.concatenate(gradients).mean(dtype=np.float64))
