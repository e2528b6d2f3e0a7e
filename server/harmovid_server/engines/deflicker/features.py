"""What is kept of a frame for matching: its light, and a picture without flicker.

features = extract_features(frame)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, cast

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import LUMA, MID_GREY, Float32, Float64

from harmovid_server.engines.base import ProxyFrame

Bytes = npt.NDArray[np.uint8]

_LUMA: Float32 = np.array(LUMA, np.float32)
DARKEST = 2.0**-40
"""Linear light at or below this counts as no light."""
LOW_STOPS, HIGH_STOPS = -5.5, 6.5
"""Light is clipped to this range around the frame's level: below is noise, above are lamps."""
FLAT_STOPS = 0.01
"""A frame whose log2 luma varies by less than this is flat."""
CONTRAST_SIGMA_PX = 6.0
QUANTILES = np.linspace(0.03, 0.97, 24)
QUANTILE_PIXELS = 4000
"""Approximate number of pixels for quantiles."""


@dataclass(frozen=True)
class FrameFeatures:
    """What is kept of one frame for matching.

    Attributes:
        number: the frame's number.
        logs: `(h, w, 3)` float32, log2 of scene-linear over middle grey, clipped around `level`.
        plain: `(h, w)` uint8, luma without exposure and local contrast.
        weight: `(h, w)` float32, 0..1, where light can be measured.
        slope: `(h, w)` float32, squared gradient of log2 luma per pixel.
        box: the display window in plate pixels.
        level: median of log2 luma where light is measured.
        spread: variation of log2 luma there, in stops; below 0 if there is no light at all.
    """

    number: int
    logs: Float32
    plain: Bytes
    weight: Float32
    slope: Float32
    box: Tuple[int, int, int, int]
    level: float
    spread: float

    @property
    def luma(self) -> Float32:
        """Brightness `(h, w)` of `logs`."""
        return self.logs @ _LUMA

    @property
    def is_dark(self) -> bool:
        """Whether there is no light in the measured region."""
        return self.spread < 0

    @property
    def is_flat(self) -> bool:
        """Whether the frame is a single colour: a plain card, or no picture."""
        return self.spread < FLAT_STOPS


def extract_features(frame: ProxyFrame) -> FrameFeatures:
    """Reduce a proxy frame to what matching needs. A mask, if given, limits where light is measured."""
    image = frame.images["plate"].astype(np.float32)
    weight = frame.mattes["coverage"].astype(np.float32)
    for name in ("measure_mask", "mask"):
        if name in frame.mattes:
            weight = weight * frame.mattes[name]
            break
    level, spread = _level(image, weight)
    darkest = np.float32(max(MID_GREY * 2.0 ** (level + LOW_STOPS), DARKEST))
    logs = np.log2(np.maximum(image, darkest) / np.float32(MID_GREY))
    np.minimum(logs, np.float32(level + HIGH_STOPS), out=logs)
    luma = logs @ _LUMA
    return FrameFeatures(frame.number, logs, plain_of(luma), weight, _slope(luma), frame.box, level, spread)


def _level(image: Float32, weight: Float32) -> Tuple[float, float]:
    """Return the median of log2 luma where light is measured, and its variation (-1 without light)."""
    luma = _measured(image, weight) @ _LUMA
    lit = luma[luma > DARKEST]
    if len(lit) < max(1, len(luma) // 100):
        return 0.0, -1.0
    low, middle, high = np.quantile(np.log2(lit / np.float32(MID_GREY)), (0.01, 0.5, 0.99))
    return float(middle), float(high - low)


def _measured(colours: Float32, weight: Float32) -> Float32:
    """Return about `QUANTILE_PIXELS` colours `(n, 3)` of the measured region."""
    skip = max(1, int(np.sqrt(np.count_nonzero(weight > 0.5) / QUANTILE_PIXELS)))
    return colours[::skip, ::skip][weight[::skip, ::skip] > 0.5]


def _slope(luma: Float32) -> Float32:
    """Return the squared gradient of `(h, w)` log2 luma."""
    across, down = (cv2.Sobel(luma, cv2.CV_32F, *axes, scale=1 / 8) for axes in ((1, 0), (0, 1)))
    return cast(Float32, across**2 + down**2)


def blurred(plane: Float32, sigma_px: float = CONTRAST_SIGMA_PX) -> Float32:
    """Return a plane `(h, w)` averaged over the size of details that count as contrast."""
    return cast(Float32, cv2.GaussianBlur(plane, (0, 0), sigma_px))


def plain_of(luma: Float32) -> Bytes:
    """Return log2 luma `(h, w)` without exposure and local contrast."""
    detail = luma - blurred(luma)
    power = np.sqrt(blurred(detail * detail, 2 * CONTRAST_SIGMA_PX))
    # The constant keeps noise in flat areas from being amplified.
    return (128 + 48 * detail / (power + 0.08)).clip(0, 255).astype(np.uint8)


def quantiles(features: FrameFeatures) -> Optional[Float64]:
    """Return the `(q, 3)` quantiles of the measured region per channel, or None if it is too small."""
    inside = _measured(features.logs, features.weight)
    if len(inside) < 4 * len(QUANTILES):
        return None
    return np.quantile(inside.astype(np.float64), QUANTILES, axis=0)
