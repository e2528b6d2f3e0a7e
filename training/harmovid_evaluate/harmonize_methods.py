"""Classical methods to match a foreground to its plate, as baselines, and upper bounds for global changes ("oracles").

A method takes the composite and the foreground's mask and returns the composite with its foreground changed. Statistics
are of the whole clip and not of single frames, as a shot has one look. Clips are `(T, H, W, 3)` float32 scene-linear,
masks `(T, H, W)` in 0..1.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid_training.metrics.degrade import MID_GREY, Array, to_stops
from harmovid_training.metrics.quality import view

Method = Callable[[Array, Array], Array]
Oracle = Callable[[Array, Array, Array], Array]
Float64 = npt.NDArray[np.float64]

LARGEST_SAMPLE = 60_000
LEVELS = 256
RATIO_LIMIT = 3.0
GENTLE = 0.3
FILL_SIGMAS_PX = (2.0, 8.0, 32.0)
"""How far colours of the plate are spread behind the foreground, in pixels of the small picture."""


def _pixels(values: Array, weight: Array) -> Float64:
    """Return an even subset of the pixels where `weight` is above 0.5, `(n, 3)`."""
    chosen = values[weight > 0.5]
    return chosen[:: max(1, len(chosen) // LARGEST_SAMPLE)].astype(np.float64)


def _mixed(composite: Array, changed: npt.NDArray[Any], mask: Array) -> Array:
    result: Array = np.where(
        mask[..., None] > 0, composite + (changed - composite) * mask[..., None], composite
    )
    return result.astype(np.float32)


def _log_statistics(composite: Array, mask: Array, share: float, deviation: bool) -> Array:
    y = to_stops(composite)
    fg, bg = _pixels(y, mask), _pixels(y, 1 - mask)
    if not len(fg) or not len(bg):
        return composite
    ratio = bg.std(0) / np.maximum(fg.std(0), 1e-3) if deviation else np.ones(3)
    ratio = np.clip(ratio, 1 / RATIO_LIMIT, RATIO_LIMIT)
    stops = (y - fg.mean(0)) * ratio + bg.mean(0) - y
    return _mixed(composite, composite * np.exp2(share * stops), mask)


def log_mean(composite: Array, mask: Array) -> Array:
    """Move the foreground's mean to the background's, per channel, in log light."""
    return _log_statistics(composite, mask, 1.0, False)


def log_mean_gently(composite: Array, mask: Array) -> Array:
    """The same, three tenths of the way."""
    return _log_statistics(composite, mask, GENTLE, False)


def reinhard_log(composite: Array, mask: Array) -> Array:
    """Mean and deviation per channel in log light (Reinhard et al. 2001 without its rotation)."""
    return _log_statistics(composite, mask, 1.0, True)


def reinhard_lab(composite: Array, mask: Array) -> Array:
    """Mean and deviation in CIELAB of the view (Reinhard et al., "Color Transfer between Images", 2001)."""
    lab: Array = np.stack([cv2.cvtColor(view(frame), cv2.COLOR_RGB2LAB) for frame in composite]).astype(
        np.float32
    )
    fg, bg = _pixels(lab, mask), _pixels(lab, 1 - mask)
    if not len(fg) or not len(bg):
        return composite
    ratio = np.clip(bg.std(0) / np.maximum(fg.std(0), 1e-3), 1 / RATIO_LIMIT, RATIO_LIMIT)
    moved = ((lab - fg.mean(0)) * ratio + bg.mean(0)).astype(np.float32)
    shown = np.stack([cv2.cvtColor(frame, cv2.COLOR_LAB2RGB) for frame in moved])
    return _mixed(composite, _linear(np.clip(shown, 0, 1)), mask)


def histogram(composite: Array, mask: Array) -> Array:
    """Match the histogram of every channel."""
    y = to_stops(composite)
    fg, bg = _pixels(y, mask), _pixels(y, 1 - mask)
    if not len(fg) or not len(bg):
        return composite
    at = np.linspace(0, 1, LEVELS)
    moved = np.empty_like(y)
    for c in range(3):
        source = np.maximum.accumulate(np.quantile(fg[:, c], at) + np.arange(LEVELS) * 1e-7)
        moved[..., c] = np.interp(y[..., c], source, np.quantile(bg[:, c], at))
    return _mixed(composite, MID_GREY * np.exp2(moved), mask)


def monge_kantorovich(composite: Array, mask: Array) -> Array:
    """The linear Monge-Kantorovitch map in log light (Pitie and Kokaram 2007)."""
    y = to_stops(composite)
    fg, bg = _pixels(y, mask), _pixels(y, 1 - mask)
    if len(fg) < 8 or len(bg) < 8:
        return composite
    source = np.cov(fg.T) + 1e-4 * np.eye(3)
    root = _root(source)
    inverse = np.linalg.inv(root)
    move = inverse @ _root(root @ (np.cov(bg.T) + 1e-4 * np.eye(3)) @ root) @ inverse
    moved = (y - fg.mean(0)) @ move.T + bg.mean(0)
    return _mixed(composite, MID_GREY * np.exp2(np.clip(moved, -16, 8)), mask)


def _root(matrix: Float64) -> Float64:
    values, vectors = np.linalg.eigh(matrix)
    root: Float64 = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _linear(shown: Array) -> Array:
    """Return the linear values of view values: the inverse of `quality.view` below its shoulder, clipped above."""
    low = shown / 12.92
    high = ((np.maximum(shown, 0.04045) + 0.055) / 1.055) ** 2.4
    linear: Array = np.where(shown <= 0.04045, low, high).astype(np.float32)
    return linear


def oracle_gain(composite: Array, mask: Array, truth: Array) -> Array:
    """The gain per channel that brings the foreground closest to the truth: the limit for exposure and balance."""
    weight = (mask * view(truth).mean(-1))[..., None]
    change = to_stops(truth) - to_stops(composite)
    stops = (change * weight).sum((0, 1, 2), dtype=np.float64) / max(
        float(weight.sum(dtype=np.float64)), 1e-9
    )
    return _mixed(composite, composite * np.exp2(stops).astype(np.float32), mask)


def oracle_affine(composite: Array, mask: Array, truth: Array) -> Array:
    """The 3 x 4 map of log light that brings the foreground closest to the truth, by least squares."""
    y = to_stops(composite)
    fg, wanted = _pixels(y, mask), _pixels(to_stops(truth), mask)
    if len(fg) < 8:
        return composite
    terms = np.concatenate([fg, np.ones((len(fg), 1))], axis=1)
    weight = np.exp2(np.clip(wanted.mean(1, keepdims=True), -6, 0) / 3)
    solved = np.linalg.lstsq(terms * weight, wanted * weight, rcond=None)[0]
    moved = y @ solved[:3] + solved[3]
    return _mixed(composite, MID_GREY * np.exp2(np.clip(moved, -16, 8)), mask)


CLASSICAL: Dict[str, Method] = {
    "log mean": log_mean,
    "log mean x 0.3": log_mean_gently,
    "Reinhard log": reinhard_log,
    "Reinhard Lab": reinhard_lab,
    "histogram": histogram,
    "MKL": monge_kantorovich,
}
ORACLES: Dict[str, Oracle] = {"oracle gain": oracle_gain, "oracle 3x4": oracle_affine}


def pair(composite: Array, mask: Array, size: Tuple[int, int]) -> Tuple[Array, Array, Array]:
    """Return plate, foreground and matte of one frame as an engine gets them, `size` (width, height).

    The plate must not contain the true foreground, so that area is filled from its surroundings, like a clean plate.
    """
    away = (mask < 0.01).astype(np.float32)
    shown, weight, matte, foreground = (
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
        for plane in (composite * away[..., None], away, mask, composite)
    )
    filled, total = shown, weight
    for sigma in FILL_SIGMAS_PX:
        spread, reach = (cv2.GaussianBlur(plane, (0, 0), sigma) for plane in (shown, weight))
        share = np.clip(1 - total, 0, 1)
        filled, total = filled + spread * share[..., None], total + reach * share
    plate: Array = (filled / np.maximum(total, 1e-6)[..., None]).astype(np.float32)
    return plate, foreground, matte
