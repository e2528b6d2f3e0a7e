"""Matched samples of frames whose light is known: what the deflicker's fits are tested on, without pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from harmovid_server.engines.deflicker.colour_terms import terms
from harmovid_server.engines.deflicker.corrections import TrackedFrame
from harmovid_server.engines.deflicker.motion import Link, PairSamples

GAPS = (1, 2, 4)
Seen = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
"""What frame `t` shows of colours `(n, 3)` at places `(n, 2)`, in log2."""


def scene(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return log2 colours `(n, 3)` of a scene, over five stops and several hues, and their places `(n, 2)`."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(-4, 1, (count, 1))
    return light + rng.normal(0, 0.4, (count, 3)), rng.uniform(0, 1, (count, 2)).astype(np.float32)


def through(curves: np.ndarray) -> Seen:
    """Return frames in which the light of frame `t` is changed by the coefficients `curves[t]` `(10, 3)`."""
    return lambda t, colours, _places: colours + terms(colours) @ curves[t]


def links_of(
    count: int, seen: Seen, noise_stops: float = 0.0, gaps: Sequence[int] = GAPS, seed: int = 0
) -> list[Link]:
    """Return the links of a still shot of `count` frames."""
    colours, at = scene(seed=seed)
    rng = np.random.default_rng(seed + 1)
    frames = [seen(t, colours, at) + noise_stops * rng.normal(0, 1, colours.shape) for t in range(count)]
    weight = np.full(len(at), 1 / 0.04**2)
    return [
        Link(t, t - gap, PairSamples(frames[t].copy(), frames[t - gap].copy(), at, at, weight, 1.0))
        for gap in gaps
        for t in range(gap, count)
    ]


def window_of(count: int, links: Sequence[Link]) -> list[TrackedFrame]:
    """Return the frames of a window that were matched by these links."""
    frames = [
        TrackedFrame(1001 + t, -8.0, 4.0, (0, 0, 64, 48), t == 0, (-1.5, -1.5, -1.5), -1.5)
        for t in range(count)
    ]
    for link in links:
        frames[link.later].samples[link.later - link.earlier] = link.samples
    return frames


def flickering(count: int, stops: Sequence[float], seed: int = 3) -> np.ndarray:
    """Return white flicker as coefficients `(count, 10, 3)`: of the first terms, by the size of each in stops.

    The mean over the shot is none, so that a fit which knows no level can be compared.
    """
    rng = np.random.default_rng(seed)
    curves = np.zeros((count, 10, 3))
    for term, size in enumerate(stops):
        curves[:, term] = size * rng.normal(0, 1, (count, 1)) + size / 3 * rng.normal(0, 1, (count, 3))
    return curves - curves.mean(axis=0)
