"""The joint fit: one colour transform per frame so that everything followed through the shot stays the same.

Between frames t and s of every link, `terms(y) M_t` and `terms(z) M_s` shall agree, `y` and `z` being the same things'
log2 colours in both and `M` the whole map of a frame (identity plus correction). The sum over links is minimised by
Gauss-Newton steps whose Jacobian reads both frames' terms at the same colour: exact minimisation of the same sum would
gain by shrinking all contrast towards none. How corrections may run over time comes from `trend`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.deflicker import trend
from harmovid_server.engines.deflicker.basis import IDENTITY, TERMS, Array64, terms, visibility
from harmovid_server.engines.deflicker.links import Change

STEPS = 3
INVERSE_STEPS = 4
LINK_STOPS = 0.012
"""How far two neighbouring frames agree beyond their measured error: light on things that turn, reflections."""
EXACT, MOST_GRADIENTS, TINY = 1e-10, 60, 1e-300
"""Conjugate gradients end when the squared misfit has fallen to this share of its start, or after so many steps."""
RIDGE = 1e-4
"""Added to the mean squares of the terms, so that a grey or flat shot still has an orthonormal basis."""

OUTPUTS: Array64 = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0, -1, 1]])
"""Brightness and the two colour differences of a change of r, g, b."""
CHANNELS: Array64 = np.asarray(np.linalg.inv(OUTPUTS), np.float64)


@dataclass(frozen=True)
class Link:
    """Two frames of a window, by index, and the change of light between them; `later > earlier`."""

    later: int
    earlier: int
    change: Change


@dataclass(frozen=True)
class _System:
    """The links in an orthonormal basis: `(n, 10, 10)` products, weights, ends, and the frames' joint matrix."""

    here: Array64
    there: Array64
    across: Array64
    weight: Array64
    later: npt.NDArray[np.int64]
    earlier: npt.NDArray[np.int64]
    matrix: Array64
    identity: Array64


@dataclass(frozen=True)
class Courses:
    """How the light of a window runs, as maps over `basis.terms` in stops, `(count, 10, 3)` each, up to a constant.

    Attributes:
        whole: brings each frame to one and the same light.
        slow: the same without flicker: what is the shot's own.
        colours: `(n, 3)` log2 colours that are typical of the window.
    """

    whole: Array64
    slow: Array64
    colours: Array64

    def flicker(self) -> Array64:
        """Return the corrections that take out the flicker alone; zero where nothing flickers."""
        return before(self.slow, self.whole, self.colours)


def solve(links: List[Link], count: int, radius_frames: float, colours: Array64) -> Courses:
    """Return the courses of a window.

    Args:
        links: changes between the window's frames, in any order.
        count: frames in the window.
        radius_frames: 0 finds what is the shot's own change; else what is slower than about this is kept.
        colours: `(n, 3)` log2 colours that are typical of the window.
    """
    basis = _orthonormal(np.mean([link.change.here for link in links], axis=0))
    system = _system(links, count, basis)
    first = trend.expected(count)
    model = trend.likeliest(_courses(system, count, first), radius_frames)
    course = _courses(system, count, model)
    flicker = np.empty_like(course)
    for k in range(TERMS):
        for o in range(3):
            flicker[:, k, o] = model.inverse_of(k, o) @ course[:, k, o]
    whole, slow = (np.einsum("kj,tjo,co->tkc", basis, part, CHANNELS) for part in (course, course - flicker))
    return Courses(whole, slow, colours)


def before(slow: Array64, whole: Array64, colours: Array64) -> Array64:
    """Return the corrections `(count, 10, 3)` that, followed by the slow maps, make the whole ones.

    Changes of light follow each other, they do not add: where the shot's contrast has slowly fallen by a tenth, the
    measured course shows flicker a tenth smaller than it is.
    """
    design = terms(colours)
    basis = _orthonormal(design.T @ design / len(design))
    plain = whole - slow
    wanted, guess = colours + design @ whole, colours + design @ plain
    for _ in range(INVERSE_STEPS):
        shaped = terms(guess.reshape(-1, 3)).reshape(*guess.shape[:2], TERMS)
        guess = wanted - np.matmul(shaped, slow)
    even, seen = design @ basis, visibility(colours.mean(axis=1))[:, None]
    normal = (even * seen).T @ even + RIDGE * seen.sum() * np.eye(TERMS)
    more = guess - colours - design @ plain
    found: Array64 = plain + basis @ np.linalg.solve(normal, (even * seen).T @ more)
    return found


def _orthonormal(mean: Array64) -> Array64:
    """Return `(10, 10)`: columns combine the terms into ones of mean square 1, each free of those before it.

    Args:
        mean: of the products of the terms, `(10, 10)`.
    """
    basis: Array64 = np.linalg.inv(np.linalg.cholesky(mean + RIDGE * np.eye(TERMS))).T
    return basis


def _system(links: List[Link], count: int, basis: Array64) -> _System:
    here, there, across = (
        basis.T @ np.stack([getattr(link.change, name) for link in links]) @ basis
        for name in ("here", "there", "across")
    )
    later, earlier = (np.array([getattr(link, end) for link in links]) for end in ("later", "earlier"))
    variance = np.array([link.change.variance for link in links])
    weight = 1.0 / (variance + LINK_STOPS**2 * (later - earlier))
    matrix = np.zeros((count, count, TERMS, TERMS))
    block = (here + there) / 2 * weight[:, None, None]
    for rows, columns, sign in (
        (later, later, 1),
        (earlier, earlier, 1),
        (later, earlier, -1),
        (earlier, later, -1),
    ):
        np.add.at(matrix, (rows, columns), sign * block)
    identity = np.linalg.solve(basis, IDENTITY) @ OUTPUTS.T
    return _System(here, there, across, weight, later, earlier, matrix, identity)


def _courses(system: _System, count: int, model: trend.Model) -> Array64:
    """Return `(count, 10, 3)`: how the frames' maps run over the window, up to a constant."""
    light, colour = (_Posterior(system, model, output) for output in (0, 1))
    found = np.zeros((count, TERMS, 3))
    for _ in range(STEPS):
        pull = _pull(system, found + system.identity)
        for posterior, outputs in ((light, slice(0, 1)), (colour, slice(1, 3))):
            wanted = pull[:, :, outputs] - posterior.held(found[:, :, outputs])
            found[:, :, outputs] += posterior.solved(wanted)
    return found


class _Posterior:
    """Links plus prior of one output, as a system to be solved for any right side.

    The terms are orthonormal over the window, so each term's own `(T, T)` inverse is a preconditioner that leaves
    conjugate gradients little to do.
    """

    def __init__(self, system: _System, model: trend.Model, output: int) -> None:
        self._prior = np.stack(
            [model.inverse_of(k, output) / model.flicker[k, output] ** 2 for k in range(TERMS)]
        )
        count = len(system.matrix)
        self._links = np.ascontiguousarray(system.matrix.transpose(0, 2, 1, 3)).reshape(count * TERMS, -1)
        own = np.einsum("stkk->kst", system.matrix)
        self._inverse = np.linalg.inv(self._prior + own)

    def held(self, courses: Array64) -> Array64:
        """Return the prior's part of the matrix times courses `(T, 10, n)`."""
        held: Array64 = np.matmul(self._prior, courses.transpose(1, 0, 2)).transpose(1, 0, 2)
        return held

    def solved(self, right: Array64) -> Array64:
        """Return the courses `(T, 10, n)` that give this right side."""
        found, left = np.zeros_like(right), right.copy()
        even = self._evened(left)
        direction, power = even, (left * even).sum(axis=(0, 1))
        enough = EXACT * power
        for _ in range(MOST_GRADIENTS):
            if (power <= enough).all():
                break
            pushed = (self._links @ direction.reshape(len(self._links), -1)).reshape(right.shape)
            pushed += self.held(direction)
            step = power / np.maximum((direction * pushed).sum(axis=(0, 1)), TINY)
            found += step * direction
            left -= step * pushed
            even = self._evened(left)
            before, power = power, (left * even).sum(axis=(0, 1))
            direction = even + power / np.maximum(before, TINY) * direction
        return found

    def _evened(self, left: Array64) -> Array64:
        even: Array64 = np.matmul(self._inverse, left.transpose(1, 0, 2)).transpose(1, 0, 2)
        return even


def _pull(system: _System, maps: Array64) -> Array64:
    """Return `(count, 10, 3)`: which way the links pull each frame's map."""
    later, earlier = maps[system.later], maps[system.earlier]
    forth = system.across @ earlier - system.here @ later
    back = system.across.transpose(0, 2, 1) @ later - system.there @ earlier
    pull = (forth - back) / 2 * system.weight[:, None, None]
    total = np.zeros_like(maps)
    np.add.at(total, system.later, pull)
    np.add.at(total, system.earlier, -pull)
    return total
