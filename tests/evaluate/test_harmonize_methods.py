"""Looks, classical methods and oracles for harmonizing: methods never see the truth, and oracles come close to it."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_evaluate.boundary import seam
from harmovid_evaluate.clips import synthetic_clip
from harmovid_evaluate.harmonize_looks import LOOKS
from harmovid_evaluate.harmonize_methods import CLASSICAL, ORACLES, pair
from harmovid_training.metrics.quality import psnr

CLIP = synthetic_clip(4, 48)
TRUTH, MASK = CLIP.frames, np.asarray(CLIP.masks)


def wrong(stops: float) -> np.ndarray:
    """Return the clip with its foreground `stops` brighter."""
    mixed: np.ndarray = (TRUTH + (TRUTH * 2.0**stops - TRUTH) * MASK[..., None]).astype(np.float32)
    return mixed


@pytest.mark.parametrize("name", list(LOOKS))
def test_looks_are_seeded_and_finite(name: str) -> None:
    """The same seed gives the same look, another seed another; nothing is negative or not finite."""
    first, again, other = (LOOKS[name](TRUTH, np.random.default_rng(seed)) for seed in (3, 3, 4))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.isfinite(first).all()
    assert first.min() >= 0


@pytest.mark.parametrize("name", list(CLASSICAL))
def test_methods_leave_the_plate_alone(name: str) -> None:
    """Outside the mask every method returns the composite's bits, and inside something finite."""
    composite = wrong(1.0)
    result = CLASSICAL[name](composite, MASK)

    np.testing.assert_array_equal(result[MASK == 0], composite[MASK == 0])
    assert np.isfinite(result).all()


@pytest.mark.parametrize("name", list(ORACLES))
def test_oracles_find_a_plain_gain(name: str) -> None:
    """A foreground one stop too bright is brought at least 10 dB closer by both oracles."""
    composite = wrong(1.0)

    assert psnr(ORACLES[name](composite, MASK, TRUTH), TRUTH, MASK) > max(
        30.0, psnr(composite, TRUTH, MASK) + 10
    )


def test_the_plate_hides_the_truth() -> None:
    """The plate behind the foreground is the same whatever the foreground was, and is filled from around it."""
    size = (64, 36)
    plates = [pair(composite[0], MASK[0], size)[0] for composite in (wrong(0.0), wrong(3.0))]

    np.testing.assert_allclose(plates[0], plates[1], atol=1e-6)
    assert plates[0].min() > 0


def test_a_hard_seam_is_sharper() -> None:
    """A foreground three stops off has more edge energy on its border than one that fits."""
    fits, stands_out = seam(TRUTH, MASK), seam(wrong(3.0), MASK)

    assert stands_out[0] > fits[0]
    assert stands_out[1] > fits[1]
