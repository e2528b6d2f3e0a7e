"""Test protocols of the deflicker bench: what must not change (fades, steady clips, cuts), and local flicker.

Each takes the deflicker as a callable (`methods.Run`) and clean light, makes its input, and returns numbers in stops.
Nothing here depends on a particular deflicker.

    fade_error(run, clip.frames)      # {"mean_stops": ..., "worst_stops": ...}
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

import numpy as np
from harmovid_training.metrics.degrade import Array, bands, fade, to_stops
from harmovid_training.metrics.quality import detail_ratio, stops_rmse, view
from harmovid_training.metrics.traces import local_roughness_stops, roughness_stops, row_profile_stops

from harmovid_evaluate.along import FilmMotion
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.methods import Run

FADE_STOPS = -2.0
FADE_FRAMES = 60
STILL_FRAMES = 10
"""Number of frames before and after the fade."""

BANDS: Tuple[Tuple[float, float], ...] = ((1.3, 0.11), (2.7, 0.17), (6.1, -0.29))
"""Bands over the frame's height and their drift per frame in cycles: mains light on shutters of three speeds."""


def there_and_back(frames: Array, count: int) -> Array:
    """Return `count` frames by running the clip to its end, back, and so on: real motion of any length."""
    period = max(2 * (len(frames) - 1), 1)
    index = np.arange(count) % period
    return frames[np.minimum(index, period - index)]


def fade_error(run: Run, frames: Array, mask: Optional[Array] = None) -> Dict[str, float]:
    """Return how much of an intended fade is changed: RMS of the pixels, and the level of the worst frame."""
    count = FADE_FRAMES + 2 * STILL_FRAMES
    clean = there_and_back(frames, count)
    mask = None if mask is None else there_and_back(mask, count)
    faded = fade(clean, FADE_STOPS, STILL_FRAMES, STILL_FRAMES + FADE_FRAMES)
    result = run(faded, mask)
    level = [
        abs(_level_change(after, before, None if mask is None else mask[t]))
        for t, (after, before) in enumerate(zip(result, faded))
    ]
    return {"mean_stops": stops_rmse(result, faded, mask), "worst_stops": max(level)}


def _level_change(result: Array, source: Array, mask: Optional[Array]) -> float:
    weight = view(source).mean(-1) * (1.0 if mask is None else mask)
    change = (to_stops(result) - to_stops(source)).mean(-1)
    return float((change * weight).sum(dtype=np.float64) / max(float(weight.sum(dtype=np.float64)), 1e-9))


def false_change(run: Run, frames: Array, mask: Optional[Array] = None) -> Dict[str, float]:
    """Return how a clip without flicker is changed: the RMS change in stops, and the share of equal pixels."""
    result = run(frames, mask)
    same = float((result == frames).all(-1).mean())
    return {"stops": stops_rmse(result, frames, mask), "identical": same}


def cut_error(run: Run, first: Array, second: Array) -> Dict[str, float]:
    """Return how far two shots cut together are from the two run apart: the largest difference, in stops.

    Args:
        first, second: shots of one size, flickering or not.
    """
    joined = run(np.concatenate([first, second]), None)
    apart = np.concatenate([run(first, None), run(second, None)])
    return {"worst_stops": float(np.abs(to_stops(joined) - to_stops(apart)).max())}


def band_profile(run: Run, frames: Array, seed: int) -> Dict[str, Dict[str, float]]:
    """Return the row profile that drifting bands leave, before and after, RMS in stops, by bands per height."""
    found = {}
    for cycles, drift in BANDS:
        banded = bands(frames, np.random.default_rng(seed), cycles=cycles, drift=drift)
        result = run(banded, None)
        before, after = row_profile_stops(banded, frames), row_profile_stops(result, frames)
        found[f"{cycles:g}"] = {"before_stops": before, "after_stops": after}
    return found


def film_numbers(result: Array, film: Array, motion: Optional[FilmMotion] = None) -> Dict[str, float]:
    """Return what is known of a result without truth: roughness in stops, and the share of detail kept.

    Args:
        motion: the film's; with it, roughness along motion is among the numbers.
    """
    along = {} if motion is None else {"along_stops": motion.along_stops(result)}
    return {
        "local_stops": local_roughness_stops(result),
        **along,
        "global_stops": roughness_stops(result),
        "detail": detail_ratio(result, film),
    }


def fits(first: Clip, second: Clip) -> bool:
    """Return whether two clips are of one size, so that they can be cut together."""
    return first.frames.shape[1:] == second.frames.shape[1:]
