"""How close a result comes to the truth: PSNR in view space, the same after a fair gauge, stops, detail, roughness.

Clips are `(T, H, W, 3)` float32 scene-linear, masks `(T, H, W)` float32 in 0..1 (None: the whole frame). "View
space" is the sRGB curve (IEC 61966-2-1) of a softly clipped linear value, so that highlights count as they are seen.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
import numpy.typing as npt

from harmovid_training.evaluate.degrade import to_stops

Array = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SHOULDER_START = 0.8
"""Linear value from which the view rolls off towards 1 instead of clipping there."""
PSNR_CEILING_DB = 99.0
"""What an exact match reads as."""


def view(linear: Array) -> Array:
    """Return the display value in 0..1: soft shoulder above `SHOULDER_START`, then the sRGB curve."""
    room = 1 - SHOULDER_START
    over = np.maximum(linear - SHOULDER_START, 0)
    soft = np.clip(np.minimum(linear, SHOULDER_START) + room * over / (over + room), 0, 1)
    low = 12.92 * soft
    high = 1.055 * np.maximum(soft, 0.0031308) ** (1 / 2.4) - 0.055
    shown: Array = np.where(soft <= 0.0031308, low, high).astype(np.float32)
    return shown


def psnr(result: Array, truth: Array, mask: Optional[Array] = None) -> float:
    """Return the PSNR of the view in dB, over all masked pixels of the clip together."""
    return _decibel(_mean((view(result) - view(truth)) ** 2, mask))


def psnr_g(result: Array, truth: Array, mask: Optional[Array] = None) -> float:
    """Return the PSNR after the one colour transform of the whole clip that brings `result` closest to `truth`.

    A deflicker cannot know the steady look that was there before: it can only be steady. The transform is a
    quadratic with cross terms in log2 light (three by ten coefficients for the clip), fitted by least squares.
    """
    # The fit is in stops and the score in view space: on a near-perfect result it may lose a little.
    return max(psnr(result, truth, mask), psnr(_gauged(result, truth, mask), truth, mask))


def stops_rmse(result: Array, truth: Array, mask: Optional[Array] = None) -> float:
    """Return the RMSE of log2 linear light, each pixel weighted by its brightness in the view.

    Unweighted stops would be ruled by the noise of pixels so dark that nobody sees them.
    """
    weight = view(truth).mean(-1) * (1.0 if mask is None else mask)
    return float(np.sqrt(_mean((to_stops(result) - to_stops(truth)) ** 2, weight)))


def roughness_stops(clip: Array, mask: Optional[Array] = None) -> float:
    """Return the RMS second difference over time of the frames' mean log2 light: what the eye sees as flicker."""
    weight = np.ones(clip.shape[:3], np.float32) if mask is None else mask
    total = weight.sum((1, 2)).astype(np.float64)
    trace = (to_stops(clip) * weight[..., None]).sum((1, 2), dtype=np.float64) / np.maximum(total, 1e-6)[
        :, None
    ]
    second = np.diff(trace, n=2, axis=0)
    return float(np.sqrt((second**2).mean())) if second.size else 0.0


def detail_ratio(result: Array, source: Array) -> float:
    """Return the Laplacian energy of the view of `result` over that of `source`: 1.0 when no detail was lost."""
    return _laplacian_energy(view(result)) / max(_laplacian_energy(view(source)), 1e-12)


def _laplacian_energy(shown: Array) -> float:
    centre = shown[:, 1:-1, 1:-1]
    around = shown[:, :-2, 1:-1] + shown[:, 2:, 1:-1] + shown[:, 1:-1, :-2] + shown[:, 1:-1, 2:]
    return float(np.mean((4 * centre - around) ** 2, dtype=np.float64))


def _gauged(result: Array, truth: Array, mask: Optional[Array]) -> Array:
    source, target = to_stops(result), to_stops(truth)
    weight = view(truth).mean(-1) ** 2 if mask is None else view(truth).mean(-1) ** 2 * mask
    stride = max(1, int(np.sqrt(source[..., 0].size / 200_000)))
    pick = (slice(None), slice(None, None, stride), slice(None, None, stride))
    basis = _quadratic(source[pick].reshape(-1, 3))
    scale = np.sqrt(weight[pick].reshape(-1, 1).astype(np.float64))
    change = (target - source)[pick].reshape(-1, 3)
    coeffs = np.linalg.lstsq(basis * scale, change * scale, rcond=1e-8)[0]
    out = np.empty_like(result)
    for index, frame in enumerate(source):
        stops = _quadratic(frame.reshape(-1, 3)) @ coeffs
        out[index] = result[index] * np.exp2(np.clip(stops, -16, 16)).reshape(frame.shape)
    return out


def _quadratic(y: Array) -> Float64:
    r, g, b = y.astype(np.float64).T
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r], axis=-1)


def _mean(values: Array, mask: Optional[Array]) -> float:
    if mask is None:
        return float(values.mean(dtype=np.float64))
    total = float(mask.sum(dtype=np.float64)) * values.shape[-1]
    return float((values * mask[..., None]).sum(dtype=np.float64) / max(total, 1e-9))


def _decibel(mean_square: float) -> float:
    return min(PSNR_CEILING_DB, -10 * float(np.log10(max(mean_square, 1e-12))))
