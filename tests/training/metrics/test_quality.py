"""The quality measures: known values for known differences."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_training.metrics import quality


def clip(count: int = 8) -> np.ndarray:
    """Return `(count, 24, 32, 3)` scene-linear noise around mid grey."""
    rng = np.random.default_rng(6)
    return rng.lognormal(-1.7, 0.8, (count, 24, 32, 3)).astype(np.float32)


def test_view_is_srgb_below_the_shoulder_and_never_clips_hard() -> None:
    """The view has sRGB's published value at 0.5 (0.7354), rises all the way and stays below 1."""
    shown = quality.view(np.float32([0.0, 0.5, 0.8, 2.0, 100.0]))
    assert shown[1] == pytest.approx(0.7354, abs=1e-4)
    assert np.all(np.diff(shown) > 0)
    assert shown[-1] < 1


def test_psnr_of_a_known_error() -> None:
    """An exact match reads as the ceiling; a masked-out error does not count."""
    other = clip().copy()
    other[:, :12] *= 1.5
    mask = np.zeros(clip().shape[:3], np.float32)
    mask[:, 12:] = 1
    assert quality.psnr(clip(), clip()) == quality.PSNR_CEILING_DB
    assert quality.psnr(other, clip(), mask) == quality.PSNR_CEILING_DB
    assert quality.psnr(other, clip()) < 35


def test_psnr_g_forgives_one_look_but_no_flicker() -> None:
    """After the one colour transform a constant look costs little; a look that changes per frame still does."""
    look = (clip() * np.float32([1.3, 1.0, 0.8])) ** np.float32(1.05)
    flicker = clip() * np.exp2(np.random.default_rng(0).normal(0, 0.3, (8, 1, 1, 1))).astype(np.float32)
    assert quality.psnr_g(look, clip()) > 55
    assert quality.psnr_g(look, clip()) > quality.psnr(look, clip()) + 20
    assert quality.psnr_g(flicker, clip()) < 35


def test_stops_rmse_of_half_a_stop() -> None:
    """A clip half a stop up is half a stop off."""
    assert quality.stops_rmse(clip() * np.float32(2**0.5), clip()) == pytest.approx(0.5, abs=1e-3)


def test_detail_ratio_drops_with_blur() -> None:
    """Blur halves the Laplacian energy and more; an unchanged clip keeps all."""
    soft = (clip() + np.roll(clip(), 1, 1) + np.roll(clip(), 1, 2)) / 3
    assert quality.detail_ratio(clip(), clip()) == pytest.approx(1.0)
    assert quality.detail_ratio(soft, clip()) < 0.5


def test_a_judge_says_what_the_functions_say() -> None:
    """All numbers at once are those of the functions one by one; the view's RMSE belongs to its PSNR."""
    other = clip() * np.float32(1.3)
    scores = quality.Judge(clip()).scores(other)
    assert scores["psnr"] == quality.psnr(other, clip())
    assert scores["psnr_g"] == quality.psnr_g(other, clip())
    assert scores["stops"] == pytest.approx(quality.stops_rmse(other, clip()), rel=1e-5)
    assert scores["psnr"] == pytest.approx(-20 * np.log10(scores["rmse"]))
