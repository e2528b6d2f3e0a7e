"""Film-like grain for scene-linear pictures: noise that grows with the root of the signal."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from harmovid_demo.jit import Image

READ = 0.0022  # deviation in black
SHOT = (
    0.00050,
    0.00042,
    0.00075,
)  # variance per unit of light, red, green, blue: blue is always the grainiest
SOFTNESS_PX = 0.55


def noise_field(height: int, width: int, *seed: int) -> Image:
    """Return `(height, width, 3)` of unit deviation, soft over about a pixel, the same for the same seeds."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((height, width, 3), dtype=np.float32)
    field: Any = cv2.GaussianBlur(white, (0, 0), SOFTNESS_PX)
    unit: Image = field / field.std()
    return unit


def add_grain(picture: Image, field: Image, alpha: Image | None = None) -> Image:
    """Return a scene-linear picture `(h, w, 3)` with grain; black may go a little below zero, as in real
    scans.

    A premultiplied picture comes with its `alpha` `(h, w)`, which then scales the grain as well.
    """
    cover = 1.0 if alpha is None else alpha[..., None]
    signal = np.maximum(picture, 0) / np.maximum(cover, 1e-4)
    deviation = np.sqrt(READ**2 + np.array(SHOT, np.float32) * signal)
    grained: Image = (picture + field * deviation * cover).astype(np.float32)
    return grained
