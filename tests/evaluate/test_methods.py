"""The deflicker baselines work as described, and ffmpeg's filters run at every setting."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_evaluate import ffmpeg, methods
from harmovid_evaluate.clips import synthetic_clip
from harmovid_training.metrics.degrade import exposure, to_stops
from harmovid_training.metrics.quality import view
from harmovid_training.metrics.traces import roughness_stops

needs_ffmpeg = pytest.mark.skipif(not ffmpeg.ffmpeg_available(), reason="imageio-ffmpeg is not installed")


@pytest.mark.parametrize("function", [methods.mean_std, methods.midway])
def test_statistics_take_gains_out_of_a_still(function) -> None:
    """On a still whose gain alternates the level becomes steady, and detail stays."""
    still = np.repeat(synthetic_clip(1, 48).frames, 30, axis=0)
    gains = np.where(np.arange(30) % 2, 1.2, 0.85)[:, None, None, None]
    calmed = function((still * gains).astype(np.float32), None, 8.0)
    assert roughness_stops(calmed) < 0.03 * roughness_stops((still * gains).astype(np.float32))
    assert np.corrcoef(to_stops(calmed[15]).ravel(), to_stops(still[15]).ravel())[0, 1] > 0.999


@pytest.mark.parametrize("function", [methods.mean_std, methods.midway])
def test_statistics_keep_to_the_mask(function) -> None:
    """Outside the mask every bit stays; frames with next to no mask stay whole."""
    clip = synthetic_clip(10, 48)
    assert clip.masks is not None
    mask = clip.masks.copy()
    mask[4] = 0
    flickering = exposure(clip.frames, np.random.default_rng(0))
    calmed = function(flickering, mask, 5.0)
    np.testing.assert_array_equal(calmed[mask == 0], flickering[mask == 0])
    assert (calmed[mask == 1] != flickering[mask == 1]).any()


def test_midway_of_two_is_the_mean_of_sorted_values() -> None:
    """Two frames of equal weight meet at the mean of their sorted logs: the definition, on values by hand."""
    values = np.exp2(np.linspace(-3, 1, 64 * 16)).astype(np.float32).reshape(1, 32, 32, 1)
    pair = np.concatenate([np.repeat(values, 3, -1), np.repeat(values[:, ::-1, ::-1] * 4, 3, -1)])
    met = methods.midway(pair, None, 1e6)
    ranks = np.sort(to_stops(met[0])[..., 0].ravel())
    expected = np.linspace(-3, 1, 64 * 16) - np.log2(0.18) + 1
    assert np.abs(ranks - expected)[20:-20].max() < 0.02


@needs_ffmpeg
def test_ffmpeg_round_trip_loses_nothing_to_see() -> None:
    """A filter that does nothing gives the clip back to within 16 bits of the view."""
    clip = synthetic_clip(4, 48).frames
    back = ffmpeg.run_filter(clip, ffmpeg.Filter("null", "gbrp16le"))
    assert np.abs(view(back) - view(clip)).max() < 2 / 65535


@needs_ffmpeg
@pytest.mark.parametrize(
    "each", [*ffmpeg.DEFLICKER[:4:3], *ffmpeg.TMIDEQUALIZER[::4]], ids=lambda each: each.text
)
def test_ffmpegs_filters_calm_a_flickering_still(each: ffmpeg.Filter) -> None:
    """At several settings of both a flickering still comes back steadier, with all its frames."""
    still = np.repeat(synthetic_clip(1, 48).frames, 24, axis=0)
    flickering = exposure(still, np.random.default_rng(0))
    assert roughness_stops(ffmpeg.run_filter(flickering, each)) < 0.9 * roughness_stops(flickering)


@needs_ffmpeg
def test_a_filter_that_does_not_exist_is_reported() -> None:
    """The error contains ffmpeg's own message."""
    with pytest.raises(RuntimeError, match="nosuch"):
        ffmpeg.run_filter(synthetic_clip(2, 32).frames, ffmpeg.Filter("nosuch", "gbrp16le"))
