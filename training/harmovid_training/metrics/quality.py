"""Distance of a result from the truth: PSNR in view space, the same after one colour transform, stops, and detail.

Clips are `(T, H, W, 3)` float32 scene-linear, masks `(T, H, W)` float32 in 0..1 (None: the whole frame). "View space"
is
the sRGB curve (IEC 61966-2-1) of a softly clipped linear value, so that errors in highlights count as much as a viewer
sees of them.

    judge = Judge(truth, mask)          # what depends on the truth alone is computed once
    judge.psnr(result), judge.psnr_g(result)
"""

from __future__ import annotations

from typing import Any, Dict, Optional

import numpy as np
import numpy.typing as npt

from harmovid_training.metrics.degrade import to_stops

Array = npt.NDArray[np.float32]

SHOULDER_START = 0.8
"""Linear value from which the view rolls off towards 1 instead of clipping there."""
PSNR_CEILING_DB = 99.0
"""PSNR of an exact match."""
GAUGE_SAMPLES = 200_000
"""Approximate number of pixels of a clip to which the transform of `psnr_g` is fitted."""
LARGEST_SHARE = 0.9995
"""Largest share of the shoulder that `unview` inverts: light of 400."""


def view(linear: Array) -> Array:
    """Return the display value in 0..1: soft shoulder above `SHOULDER_START`, then the sRGB curve."""
    room = 1 - SHOULDER_START
    over = np.maximum(linear - SHOULDER_START, 0)
    soft = np.clip(np.minimum(linear, SHOULDER_START) + room * over / (over + room), 0, 1)
    low = 12.92 * soft
    high = 1.055 * np.maximum(soft, 0.0031308) ** (1 / 2.4) - 0.055
    shown: Array = np.where(soft <= 0.0031308, low, high).astype(np.float32)
    return shown


def unview(shown: Array) -> Array:
    """Return the inverse of `view`; a display value of 1 comes back as a large finite value."""
    low = shown / 12.92
    high = ((np.maximum(shown, 0.04045) + 0.055) / 1.055) ** 2.4
    soft = np.where(shown <= 0.04045, low, high)
    room = 1 - SHOULDER_START
    over = np.clip(soft - SHOULDER_START, 0, room * LARGEST_SHARE)
    light: Array = np.where(soft > SHOULDER_START, SHOULDER_START + room * over / (room - over), soft).astype(
        np.float32
    )
    return light


class Judge:
    """The PSNR of results against one truth.

    Args:
        truth: the clean clip.
        mask: the weight of each pixel.
    """

    def __init__(self, truth: Array, mask: Optional[Array] = None) -> None:
        self._mask = mask
        self._shown, self._logs = view(truth), to_stops(truth)
        self._weight = self._shown.mean(-1) ** 2 * (1.0 if mask is None else mask)

    def psnr(self, result: Array) -> float:
        """Return the PSNR of the view in dB, over all masked pixels of the clip together."""
        return _decibel(self._mean_square(view(result)))

    def psnr_g(self, result: Array) -> float:
        """Return the PSNR after the one colour transform of the whole clip that brings `result` closest to truth.

        A deflicker cannot know the steady look of the original, so that look is not counted. The transform is a
        quadratic with cross terms in log2 light (three by ten coefficients for the clip), fitted by least squares.
        """
        return self.scores(result)["psnr_g"]

    def scores(self, result: Array, shown: Optional[Array] = None) -> Dict[str, float]:
        """Return `psnr`, `psnr_g` (dB), `rmse` (of the view, 0..1) and `stops` (as `stops_rmse`) at once.

        Args:
            result: as long and as large as the truth.
            shown: its `view`, if the caller has it.
        """
        square = self._mean_square(view(result) if shown is None else shown)
        logs = to_stops(result)
        plain = _decibel(square)
        # The fit minimises stops and the score is in view space: on a near-perfect result it may lower the score a bit.
        fair = max(plain, _decibel(self._mean_square(view(self._gauged(result, logs)))))
        weight = self._shown.mean(-1) * (1.0 if self._mask is None else self._mask)
        stops = float(np.sqrt(_mean((logs - self._logs) ** 2, weight)))
        return {"psnr": plain, "psnr_g": fair, "rmse": float(np.sqrt(square)), "stops": stops}

    def _mean_square(self, shown: Array) -> float:
        return _mean((shown - self._shown) ** 2, self._mask)

    def _gauged(self, result: Array, source: Array) -> Array:
        """Return the result, whose log2 light is `source`, after the transform; pixels of weight 0 are not changed."""
        stride = max(1, int(np.sqrt(source[..., 0].size / GAUGE_SAMPLES)))
        pick = (slice(None), slice(None, None, stride), slice(None, None, stride))
        basis = _quadratic(source[pick].reshape(-1, 3).astype(np.float64))
        scale = np.sqrt(self._weight[pick].reshape(-1, 1).astype(np.float64))
        change = (self._logs[pick] - source[pick]).reshape(-1, 3)
        coeffs = np.linalg.lstsq(basis * scale, change * scale, rcond=1e-8)[0]
        out = result.copy()
        for index, frame in enumerate(source):
            counts = np.ones(frame.shape[:2], bool) if self._mask is None else self._mask[index] > 0
            stops = _quadratic(frame[counts]) @ coeffs.astype(np.float32)
            out[index][counts] *= np.exp2(np.clip(stops, -16, 16))
        return out


def psnr(result: Array, truth: Array, mask: Optional[Array] = None) -> float:
    """Return `Judge.psnr`."""
    return Judge(truth, mask).psnr(result)


def psnr_g(result: Array, truth: Array, mask: Optional[Array] = None) -> float:
    """Return `Judge.psnr_g`."""
    return Judge(truth, mask).psnr_g(result)


def stops_rmse(result: Array, truth: Array, mask: Optional[Array] = None) -> float:
    """Return the RMSE of log2 linear light, each pixel weighted by its brightness in the view.

    Without weights, noise in pixels that are too dark to be seen would dominate.
    """
    weight = view(truth).mean(-1) * (1.0 if mask is None else mask)
    return float(np.sqrt(_mean((to_stops(result) - to_stops(truth)) ** 2, weight)))


def detail_ratio(result: Array, source: Array) -> float:
    """Return the Laplacian energy of the view of `result` over that of `source`: 1.0 when no detail was lost."""
    return laplacian_energy(view(result)) / max(laplacian_energy(view(source)), 1e-12)


def laplacian_energy(shown: Array) -> float:
    """Return the mean squared Laplacian of a view `(T, H, W, 3)`."""
    centre = shown[:, 1:-1, 1:-1]
    around = shown[:, :-2, 1:-1] + shown[:, 2:, 1:-1] + shown[:, 1:-1, :-2] + shown[:, 1:-1, 2:]
    return float(np.mean((4 * centre - around) ** 2, dtype=np.float64))


def _quadratic(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    r, g, b = y.T
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r], axis=-1)


def _mean(values: Array, mask: Optional[Array]) -> float:
    if mask is None:
        return float(values.mean(dtype=np.float64))
    total = float(mask.sum(dtype=np.float64)) * values.shape[-1]
    return float((values * mask[..., None]).sum(dtype=np.float64) / max(total, 1e-9))


def _decibel(mean_square: float) -> float:
    return min(PSNR_CEILING_DB, -10 * float(np.log10(max(mean_square, 1e-12))))
