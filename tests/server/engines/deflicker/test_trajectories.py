"""The model of time: what of a measured change is flicker, and what is the shot's own."""

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
)

COUNT = 40


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
