"""Fades, steps and sparse outliers in a trajectory of light: intended changes stay, flicker is found."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_server.engines.deflicker.own_changes import own_changes
from harmovid_server.engines.deflicker.trajectories import flicker_of

NOISE_STOPS = 0.001
RESIDUAL_STOPS = 0.02
STILL = np.zeros(20)

FADES = {
    "in over 8 frames, linear in light": np.r_[np.log2((np.arange(8) + 1) / 8), STILL],
    "in over 12 frames, display code": np.r_[2.2 * np.log2((np.arange(12) + 1) / 12), STILL],
    "out to black over 12 frames": np.r_[STILL, np.log2(1 - (np.arange(11) + 1) / 12)],
    "out over 48 frames, display code": np.r_[STILL, 2.2 * np.log2(1 - np.arange(47) / 48)],
    "to a darker shot over 16 frames": np.r_[
        STILL, np.log2(1 - 0.4 * np.arange(16) / 15), STILL + np.log2(0.6)
    ],
    "two stops over 60 frames": np.r_[STILL, np.linspace(0, -2, 61), STILL - 2],
}
STEPS = {
    "lights go on": np.r_[STILL, STILL + 1],
    "an iris pull of four frames": np.r_[STILL, 0.25, 0.5, 0.75, STILL + 1],
    "a small step": np.r_[STILL, STILL + 0.15],
}


def flicker_in(course: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the flicker `(T,)` that is found in a course of gain, measured with a little noise."""
    noisy = course + np.random.default_rng(seed).normal(0, NOISE_STOPS, len(course))
    found = np.zeros((len(course), 10, 3))
    found[:, 0, 0] = noisy - noisy.mean()
    return np.asarray(flicker_of(found, 0, RESIDUAL_STOPS)[:, 0, 0])


@pytest.mark.parametrize("name", [*FADES, *STEPS])
def test_what_is_meant_is_no_flicker(name: str) -> None:
    """Fades linear in light or in display code, and steps that stay, are changed by at most 0.02 stops in any frame."""
    assert np.abs(flicker_in({**FADES, **STEPS}[name])).max() < 0.02


def test_a_sawtooth_is_flicker() -> None:
    """A ramp of 0.4 stops that starts over every eight frames is found as a whole: it comes back, a fade does not."""
    saw = (np.arange(64) % 8) / 8 * 0.4
    found = flicker_in(saw)

    assert np.abs((found - saw) - np.median(found - saw)).max() < 0.03


@pytest.mark.parametrize("kind", ["one flash of two stops", "every eighth frame darker by 0.7 stops"])
def test_sparse_outliers_leave_the_good_frames_alone(kind: str) -> None:
    """The level is what most frames have: good frames move by at most 0.02 stops, bad ones come to the good ones."""
    outliers = np.zeros(17 if "flash" in kind else 48)
    outliers[8 if "flash" in kind else slice(3, None, 8)] = 2.0 if "flash" in kind else -0.7

    np.testing.assert_allclose(flicker_in(outliers), outliers, atol=0.02)


def test_white_flicker_is_taken_for_no_change_of_the_shot() -> None:
    """Of a hundred courses of white flicker, none is read as a fade or a step."""
    courses = (np.random.default_rng(seed).normal(0, 0.22, 32 + seed) for seed in range(100))

    assert not any(own_changes(course).any() for course in courses)


def test_a_step_under_flicker_stays() -> None:
    """A step of one stop under flicker of 0.1 stops is kept; the flicker around it is found to a half."""
    flicker = np.random.default_rng(4).normal(0, 0.1, 40)
    found = flicker_in(STEPS["lights go on"] + flicker)

    assert np.abs(found - flicker).std() < 0.5 * flicker.std()
    assert abs(found[:20].mean() - found[20:].mean()) < 0.15
