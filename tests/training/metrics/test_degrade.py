"""Degradations: known truth, repeatable, and exactly where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_training.metrics.degrade import DEGRADATIONS, bands, fade


def clip(count: int = 12) -> np.ndarray:
    """Return `(count, 24, 32, 3)` scene-linear noise with values above 1."""
    rng = np.random.default_rng(1)
    return rng.lognormal(-1.5, 1.0, (count, 24, 32, 3)).astype(np.float32)


def left_half() -> np.ndarray:
    """Return a mask of the left half of `clip`."""
    mask = np.zeros((12, 24, 32), np.float32)
    mask[:, :, :16] = 1
    return mask


@pytest.mark.parametrize("name", sorted(DEGRADATIONS))
def test_same_seed_same_flicker(name: str) -> None:
    """A seed gives the same finite result every time, and another seed another one."""
    item = DEGRADATIONS[name]
    first, again, other = (item.apply(clip(), left_half(), seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()
    assert np.abs(first - other).max() > 0.01


@pytest.mark.parametrize("name", [name for name, item in DEGRADATIONS.items() if item.foreground])
def test_foreground_flicker_leaves_the_background_exact(name: str) -> None:
    """A foreground degradation changes nothing where the mask is 0."""
    changed = DEGRADATIONS[name].apply(clip(), left_half(), 3)
    np.testing.assert_array_equal(changed[:, :, 16:], clip()[:, :, 16:])
    assert np.abs(changed[:, :, :16] - clip()[:, :, :16]).max() > 0.01


def test_exposure_is_one_gain_per_frame_and_channel() -> None:
    """Exposure flicker divides out to a constant over each frame."""
    ratio = DEGRADATIONS["exposure"].apply(clip(), None, 2) / clip()
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-5)


def test_bands_drift_over_the_rows_and_average_out() -> None:
    """Rolling bands are the same along a row, and their stops average to nothing over whole cycles."""
    stops = np.log2(bands(clip(), np.random.default_rng(0), cycles=2.0) / clip())
    assert np.ptp(stops, axis=2).max() < 1e-4
    np.testing.assert_allclose(stops.mean(axis=(1, 2, 3)), 0, atol=0.02)


def test_fade_reaches_its_stops_and_stays() -> None:
    """A fade is 0 before its first frame, its full stops from its last frame on."""
    stops = np.log2(fade(clip(), -2.0, 3, 9) / clip()).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(stops[:4], 0, atol=1e-5)
    np.testing.assert_allclose(stops[9:], -2, atol=1e-5)
