"""Deflicker baselines: no change, statistics smoothed over time, and ffmpeg's filters.

    for method in BASELINES:
        for setting in method.settings:
            result = setting.run(frames, mask)

Every method has a few settings; the benches take the best one for each clip and test, as a patient user would. The
statistical methods take masks, as the engine does; ffmpeg's filters do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Callable, Optional, Tuple

import numpy as np
import numpy.typing as npt
from harmovid_training.metrics.degrade import Array, to_stops

from harmovid_evaluate.ffmpeg import DEFLICKER, TMIDEQUALIZER, Filter, run_filter

Run = Callable[[Array, Optional[Array]], Array]
"""Frames `(T, H, W, 3)` scene-linear and a mask `(T, H, W)` or None in, frames out; only the masked may change."""
Float64 = npt.NDArray[np.float64]

SIGMAS_FRAMES = (5.0, 10.0, 20.0)
"""How far statistics are smoothed over time."""
LEVELS = 64
"""Quantiles of a midway curve."""
FEWEST_PIXELS = 16
"""A frame with fewer masked pixels has no statistics and is not changed."""


@dataclass(frozen=True)
class Setting:
    """One way to run a method."""

    label: str
    run: Run


@dataclass(frozen=True)
class Method:
    """A deflicker by name, with the settings that are tried."""

    name: str
    settings: Tuple[Setting, ...]


def noop(frames: Array, mask: Optional[Array]) -> Array:
    """Return the frames unchanged."""
    return frames


def mean_std(frames: Array, mask: Optional[Array], sigma_frames: float) -> Array:
    """Give every frame the average mean and deviation of its neighbours, per channel, in log2 light.

    Args:
        sigma_frames: of the Gaussian over time.
    """
    logs = to_stops(frames)
    weight = _weights(frames, mask)
    total = np.maximum(weight.sum((1, 2)), 1e-6)[:, None]
    mean = (logs * weight[..., None]).sum((1, 2)) / total
    spread = np.sqrt((((logs - mean[:, None, None]) ** 2) * weight[..., None]).sum((1, 2)) / total)
    smooth = _smoothing(len(frames), sigma_frames, weight)
    steady_mean, steady_spread = smooth @ mean, smooth @ spread
    ratio = np.clip(steady_spread / np.maximum(spread, 1e-3), 0.5, 2.0)
    wanted = (logs - mean[:, None, None]) * ratio[:, None, None] + steady_mean[:, None, None]
    return _relit(frames, wanted - logs, mask, weight)


def midway(frames: Array, mask: Optional[Array], sigma_frames: float) -> Array:
    """Give every frame the distribution midway between those of its neighbours, per channel (Delon 2004).

    The midway distribution's quantiles are the weighted means of the neighbours' quantiles, in log2 light.
    """
    logs = to_stops(frames)
    weight = _weights(frames, mask)
    shares = (np.arange(LEVELS) + 0.5) / LEVELS
    quantiles = np.zeros((len(frames), 3, LEVELS))
    for t, frame in enumerate(logs):
        inside = frame[weight[t] > 0.5]
        if len(inside) >= FEWEST_PIXELS:
            quantiles[t] = np.quantile(inside, shares, axis=0).T
    steady = np.tensordot(_smoothing(len(frames), sigma_frames, weight), quantiles, 1)
    change = np.zeros_like(logs)
    for t, channel in np.ndindex(len(frames), 3):
        own = quantiles[t, channel] + 1e-6 * np.arange(
            LEVELS
        )  # levels may repeat, but np.interp needs them to increase
        change[t, ..., channel] = np.interp(logs[t, ..., channel], own, steady[t, channel] - own)
    return _relit(frames, change, mask, weight)


def _weights(frames: Array, mask: Optional[Array]) -> Array:
    return np.ones(frames.shape[:3], np.float32) if mask is None else mask


def _smoothing(count: int, sigma_frames: float, weight: Array) -> Float64:
    """Return `(T, T)` rows of Gaussian weights; frames with an almost empty mask have weight 0."""
    index = np.arange(count)
    rows = np.exp(-0.5 * ((index[:, None] - index) / sigma_frames) ** 2)
    rows = rows * ((weight > 0.5).sum((1, 2)) >= FEWEST_PIXELS)
    smoothed: Float64 = rows / np.maximum(rows.sum(1, keepdims=True), 1e-12)
    return smoothed


def _relit(frames: Array, stops: npt.NDArray[np.floating], mask: Optional[Array], weight: Array) -> Array:
    """Return the frames with stops applied inside the mask; frames with an almost empty mask are not changed."""
    seen = ((weight > 0.5).sum((1, 2)) >= FEWEST_PIXELS)[:, None, None, None]
    share = seen * (1.0 if mask is None else mask[..., None])
    relit: Array = (frames * np.exp2(np.clip(stops, -8, 8) * share)).astype(np.float32)
    return relit


def _filtered(each: Filter, frames: Array, mask: Optional[Array]) -> Array:
    return run_filter(frames, each)


def _ffmpeg(name: str, filters: Tuple[Filter, ...]) -> Method:
    return Method(name, tuple(Setting(each.text, partial(_filtered, each)) for each in filters))


def _over_time(name: str, function: Callable[..., Array]) -> Method:
    settings = [
        Setting(f"sigma {sigma:g} frames", partial(function, sigma_frames=sigma)) for sigma in SIGMAS_FRAMES
    ]
    return Method(name, tuple(settings))


NOOP = Method("no-op", (Setting("", noop),))
FFMPEG = (_ffmpeg("ffmpeg deflicker", DEFLICKER), _ffmpeg("ffmpeg tmidequalizer", TMIDEQUALIZER))
STATISTICS = (_over_time("mean/std", mean_std), _over_time("midway", midway))
BASELINES: Tuple[Method, ...] = (NOOP, *FFMPEG, *STATISTICS)
"""What an engine is compared with, in the order of the table."""
