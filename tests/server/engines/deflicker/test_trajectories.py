"""The model of time: what of a measured change is flicker, and what is the shot's own: slow changes, fades, steps."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_server.engines.deflicker.trajectories import (
    DRIFTS,
    LEVEL,
    START_DRIFT,
    WALKS,
    covariances,
    flicker_of,
    likeliest,
    own_changes,
)

COUNT = 40
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


def trajectory(values: np.ndarray) -> np.ndarray:
    """Return trajectories `(T, 10, 3)` in which only the gain's brightness changes."""
    found = np.zeros((len(values), 10, 3))
    found[:, 0, 0] = values
    return found


def test_covariances_are_those_of_the_process() -> None:
    """The closed form is the covariance of a walk and a drift that are summed step by step."""
    walk, drift = 5, 4
    steps = np.tril(np.ones((COUNT, COUNT)), -1)  # the value before a frame, from all steps before it
    rates = steps @ np.tril(np.ones((COUNT, COUNT)), -1)
    at = np.arange(COUNT) - (COUNT - 1) / 2
    expected = np.eye(COUNT) + LEVEL**2 + WALKS[walk] ** 2 * steps @ steps.T
    smooth = rates @ rates.T
    inverse, logdet = covariances(COUNT)
    found = np.linalg.inv(inverse[walk, 0])

    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert logdet[walk, 0] == pytest.approx(np.linalg.slogdet(expected)[1])
    # The drift's closed form is of a continuous process; its sum over frames comes near for long times.
    drifting = np.linalg.inv(inverse[0, drift]) - np.eye(COUNT) - LEVEL**2
    drifting = drifting / DRIFTS[drift] ** 2 - START_DRIFT**2 * np.outer(at, at)
    assert drifting[-1, -1] == pytest.approx(smooth[-1, -1], rel=0.1)


def test_white_flicker_on_a_slow_change_is_told_apart() -> None:
    """Of 0.2 stops of flicker on a sunset of half a stop, most is found, and the sunset is left."""
    rng = np.random.default_rng(0)
    flicker, sunset = rng.normal(0, 0.2, COUNT), -0.5 * np.linspace(0, 1, COUNT) ** 2
    found = flicker_of(trajectory(flicker + sunset), 0, 0.01)[:, 0, 0]

    left = np.diff(flicker - found, n=2).std() / np.diff(flicker, n=2).std()
    assert left < 0.1
    assert np.abs(flicker_of(trajectory(sunset), 0, 0.01)).max() < 0.02


def test_one_flash_moves_no_other_frame() -> None:
    """A frame two stops up is its own flicker; the frames around it are within two hundredths."""
    values = np.zeros(17)
    values[8] = 2.0
    found = flicker_of(trajectory(values), 0, 0.01)[:, 0, 0]

    assert found[8] == pytest.approx(2.0, abs=0.02)
    assert np.abs(np.delete(found, 8)).max() < 0.02


def test_a_radius_says_what_is_slow() -> None:
    """With a radius the walk is not guessed: of a slow wave with flicker on it more is kept, the smaller it is."""
    rng = np.random.default_rng(4)
    wave = 0.2 * np.sin(np.arange(COUNT) * 2 * np.pi / COUNT)
    values = wave + rng.normal(0, 0.1, COUNT)
    kept = [
        wave @ (values - flicker_of(trajectory(values), radius, 0.01)[:, 0, 0]) for radius in (3, 12, 100)
    ]
    assert kept[0] > kept[1] > kept[2]


def test_sizes_are_measured() -> None:
    """The model's flicker is that of the trajectories; both colours share one size."""
    rng = np.random.default_rng(2)
    found = np.zeros((COUNT, 10, 3))
    found[:, 0] = rng.normal(0, (0.3, 0.05, 0.1), (COUNT, 3))
    model = likeliest(found, 0, 0.01)

    assert model.flicker[0, 0] == pytest.approx(0.3, rel=0.3)
    assert (
        model.flicker[0, 1] == model.flicker[0, 2] == pytest.approx(np.sqrt((0.05**2 + 0.1**2) / 2), rel=0.3)
    )
    np.testing.assert_array_equal(model.inverse_of(0, 1), model.inverse_of(0, 2))


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
