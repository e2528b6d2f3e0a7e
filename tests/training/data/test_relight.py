"""Rendered truth: irradiance, views and plates against known light."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from harmovid_training.data.looks import apply_looks, draw_looks
from harmovid_training.data.panorama import light, light_directions, view
from harmovid_training.data.relight import EXPOSED, irradiance, render_pairs, subject_key, view_odds
from training.data.world import scenes, subjects


def facing(x: float, y: float, z: float) -> torch.Tensor:
    """Return one normal, `(1, 3, 1, 1)`."""
    return torch.tensor([x, y, z], dtype=torch.float32).reshape(1, 3, 1, 1)


def test_even_light_falls_evenly() -> None:
    """Under a sky of radiance 2 from everywhere, irradiance over pi is 2 whichever way a surface faces."""
    sky = torch.full((1, 16, 32, 3), 2.0)
    for normal in (facing(0, 1, 0), facing(0, 0, -1), facing(0.6, 0, -0.8)):
        np.testing.assert_allclose(irradiance(sky, normal).numpy().ravel(), 2.0, rtol=0.01)


def test_a_lamp_lights_the_side_it_is_on() -> None:
    """A lamp to the right lights what faces right by the cosine law, within second order's error, and not the left."""
    directions, solid = light_directions()
    lamp = torch.zeros(1, 16, 32, 3)
    spot = np.unravel_index(np.argmax(directions[..., 0]), directions.shape[:2])
    lamp[0, spot[0], spot[1]] = 100.0
    power = 100.0 * float(solid[spot]) / np.pi
    right, left, front = (
        float(irradiance(lamp, normal)[0, 0])
        for normal in (facing(1, 0, 0), facing(-1, 0, 0), facing(0, 0, -1))
    )

    assert abs(right - power) < 0.1 * power
    assert left < 0.1 * power
    assert abs(front) < 0.25 * power


def test_the_middle_of_a_panorama_lies_ahead() -> None:
    """A view at yaw 0 shows the panorama's middle column, a quarter turn to the right what lies right of it."""
    panorama = np.zeros((64, 128, 3), np.float32)
    panorama[:, 60:68, 0] = 1
    panorama[:, 92:100, 1] = 1

    ahead, right = (view(panorama, yaw, 0.0, 1.0, 24, 32)[12, 16] for yaw in (0.0, np.pi / 2))

    assert ahead[0] > 0.9
    assert right[1] > 0.9
    assert max(ahead[1], right[0]) < 0.1
    assert light(panorama)[8, 16, 0] == light(panorama)[..., 0].max()


def test_a_grey_card_tells_the_subjects_key() -> None:
    """In even light that exposes a grey card like the plates the key is 0; four times as bright it is 2 stops."""
    right = torch.full((2, 16, 32, 3), EXPOSED / 0.18)
    right[1] *= 4

    torch.testing.assert_close(subject_key(right), torch.tensor([0.0, 2.0]), atol=0.02, rtol=0)


def test_views_that_nobody_would_shoot_are_rare() -> None:
    """A view whose subject is lit three stops off is drawn a hundred times less often than one that fits."""
    made = scenes()
    made.lights[:] = EXPOSED / 0.18
    views = np.flatnonzero(made.light_of >= 0)
    made.gains[views[0]] = 8.0
    odds = view_odds(made, views)

    assert odds.sum() == pytest.approx(1.0)
    assert odds[0] < 0.01 * odds[1:].min()


def test_a_subject_in_the_right_light_is_the_truth() -> None:
    """Some clips need no correction; in all, the plate is untouched and the subject's light is above 0."""
    one = scenes()
    rows = np.flatnonzero(one.light_of >= 0)[np.arange(40) % 8]
    composite, truth, covered = render_pairs(
        one, subjects(), rows, np.array([0, 1]), np.random.default_rng(1), (48, 64)
    )
    right = (composite == truth).flatten(1).all(1)

    assert 0 < int(right.sum()) < 20
    assert float(truth[covered.expand_as(truth) > 0.99].min()) > 0


def test_looks_of_no_amount_change_no_bit() -> None:
    """Looks with amount 0 return the picture's bits; the others change it and stay finite and not negative."""
    pictures = torch.rand(60, 3, 8, 10) * 2
    looks = draw_looks(60, torch.Generator().manual_seed(3))
    relit = apply_looks(pictures, looks)
    still = looks.amount == 0

    assert 4 <= int(still.sum()) <= 25
    assert torch.equal(relit[still], pictures[still])
    assert (relit[~still] != pictures[~still]).flatten(1).any(1).all()
    assert torch.isfinite(relit).all()
    assert float(relit.min()) >= 0
