"""The test on matches that were left out: it believes curves, and not their imitation of local light."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid_server.engines.deflicker import held_out, joint_fit
from harmovid_server.engines.deflicker.joint_fit import Batch, Place
from harmovid_server.engines.deflicker.motion import Link, PairSamples
from server.engines.deflicker.samples import flickering, links_of, scene, through

COUNT = 10


def fitted(links: list[Link], order: int) -> np.ndarray:
    """Return the curves of the joint fit with so many terms."""
    fit = joint_fit.solve(Batch.of(links, {}, COUNT, Place.NOTHING, 1.5), 0.0, order)
    return fit.curves(fit.trajectories)


def share(links: list[Link]) -> float:
    """Return how far the quadratic terms are believed."""
    return held_out.quadratic_share(links, fitted, scene()[0])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_curves_that_depend_on_colour_are_believed(seed: int) -> None:
    """A quadratic change of colour holds in all parts of the picture, so the quadratic terms are kept."""
    curves = flickering(COUNT, (0.3, 0.05, 0.05, 0.05, 0.05, 0.03, 0.03), seed=seed)

    assert share(links_of(COUNT, through(curves), noise_stops=0.02, seed=seed)) == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_curves_that_imitate_local_light_are_not_believed(seed: int) -> None:
    """Spots of light on a dozen surfaces of one colour each: either half fits other quadratic terms to them."""
    rng = np.random.default_rng(seed)
    stops = rng.normal(0, 0.8, (COUNT, 3))
    spots = rng.uniform(0, 1, (3, 2))
    at = rng.uniform(0, 1, (400, 2)).astype(np.float32)
    row, column = (at * (3, 4)).astype(int).T
    surfaces = rng.uniform(-4, 1, (3, 4, 1)) + rng.normal(0, 0.4, (3, 4, 3))
    colours = surfaces[row, column] + rng.normal(0, 0.1, (400, 3))
    distance = ((at[:, None] - spots) ** 2).sum(axis=-1)
    light = np.exp(-0.5 * distance / 0.25**2) @ stops.T
    frames = [colours + light[:, t, None] + rng.normal(0, 0.02, colours.shape) for t in range(COUNT)]
    weight = np.ones(len(at))
    links = [
        Link(t, t - gap, PairSamples(frames[t], frames[t - gap], at, at, weight, 1.0))
        for gap in (1, 2)
        for t in range(gap, COUNT)
    ]

    assert share(links) == 0


def test_flicker_is_in_both_halves_and_errors_are_not() -> None:
    """A gain that flickers is found alike in both halves; errors that each quarter has for itself are alike by chance
    alone."""
    by_chance = []
    for seed in range(8):
        errors = np.random.default_rng(seed).normal(0, 0.05, (COUNT, 4))

        def lost(t: int, colours: np.ndarray, places: np.ndarray, errors: np.ndarray = errors) -> np.ndarray:
            right, below = (places > np.median(places, axis=0)).T
            return colours + errors[t][2 * right + below][:, None]

        flicker = links_of(COUNT, through(flickering(COUNT, (0.05,), seed=seed)))
        assert held_out.agreement(flicker, fitted, scene()[0]) > 0.9
        by_chance.append(held_out.agreement(links_of(COUNT, lost), fitted, scene()[0]))
    assert np.mean(by_chance) < 0.3


def test_every_match_is_in_one_half() -> None:
    """Halves are opposite quarters of each link's matches; a link with too few matches is left out of both."""
    links = links_of(3, lambda _t, colours, _places: colours)
    few = links[0].samples
    small = PairSamples(
        *(each[:20] for each in (few.later, few.earlier, few.later_at, few.earlier_at, few.weight)), 1.0
    )
    first, second = held_out.halves([*links, Link(1, 0, small)])

    assert len(first) == len(second) == len(links)
    for link, one, other in zip(links, first, second):
        both = np.concatenate([one.samples.later_at, other.samples.later_at])
        assert sorted(map(tuple, both)) == sorted(map(tuple, link.samples.later_at))
        right, below = (one.samples.later_at > np.median(link.samples.later_at, axis=0)).T
        assert (right ^ below).all()


def test_what_cannot_be_tested_is_believed() -> None:
    """Without links that have matches in both halves there is nothing against the curves."""
    assert share([]) == 1 == held_out.agreement([], fitted, scene()[0])
