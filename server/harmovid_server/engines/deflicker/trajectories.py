"""The model over time: separates flicker from the shot's own changes.

Fades and steps are subtracted first (`own_changes`). The rest of every coefficient of the measured light is modelled as
the sum of flicker (independent from frame to frame), a random walk (clouds, iris, the picture's own content) and a
steady drift (sunset). Their sizes are estimated per window by maximum likelihood among `WALKS` x `DRIFTS`, with a prior
for the walks of natural shots: a few frames of strong flicker can look like a walk by chance, and that error costs
most. A few outlier frames (flashes, dropped exposures) do not move the others.

`covariances(T)` returns, for each pair of ratios to the flicker's size, the inverse of the covariance of `T` frames;
the flicker in a measured trajectory `x` is then `inverse @ x` (Gaussian regression).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import List, Optional, Tuple

import numpy as np

from harmovid_server.engines.deflicker.colour_terms import Array64

WALKS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
DRIFTS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1)
"""Standard deviation per frame of the random walk, and of the change of drift, relative to the flicker's."""
LEVEL = 30.0
"""Prior standard deviation of the trajectory's level, relative to the flicker's size."""
START_DRIFT = 5.0
"""Prior standard deviation of the drift at the start, relative to its change per frame."""
PRIOR_WEIGHT = 3.0
SMALLEST_STOPS = 1e-4

Part = Tuple[int, int]
"""A coefficient: index of its (orthonormal) term, index of its output (0 brightness, 1 and 2 colour)."""

GROUPS: Tuple[Tuple[Tuple[Part, ...], float], ...] = (
    (((0, 0),), 0.1),
    (((0, 1), (0, 2)), 0.02),
    (tuple((k, 0) for k in range(1, 10)), 0.0045),
    (tuple((k, o) for k in range(1, 10) for o in (1, 2)), 0.003),
)
"""Groups of coefficients with the same ratios, each with the walk per frame of natural shots relative to the residual
of their links: if matches fit badly (a dancer who turns in the light), the shot's own light changes more, too. The
groups are gain, colour, contrast, and all others. The sizes are a compromise over many draws of flicker: small ones are
exact on steady shots, but take the shot's own exposure for flicker; half and twice those of the gain are as good."""
NATURAL_DRIFT = 0.2
"""The natural change of drift per frame, as a share of the natural walk."""
LARGEST_COST = 15.0
"""Limit of either prior's cost in log likelihood: what the frames show clearly (a steady fade) counts, however rare."""
SMALLEST_WALK_STOPS = 1e-4
OWN_TERMS = 4
"""Fades and steps change gain, colour and contrast, which are this many first terms."""
OUTLIER, ROBUST_ROUNDS = 3.0, 6
"""A frame that is this many times further from the slow change than usual gets a low weight."""
RUN_FRAMES = 7
"""So many values that rise (or fall) in a row are not chance: in white-noise flicker one run in 2,500 is that long."""
STILL_STOPS = 0.002
"""Steps up to this size are ignored as measurement error."""
STAYS = 0.2
"""A fade starts and ends at the levels around it, within this share of its size; a sawtooth does not."""
AROUND_FRAMES, FEWEST_AROUND = 8, 3
"""Number of frames before and after a change that give its levels, and the minimum."""
WIDTHS = (0, 1, 2, 3, 4, 8, 12, 16, 24, 32, 40, 48)
"""Durations of a step that are tried, in frames: lights that go on, iris pulls, and fades that flicker."""
SMOOTHED_FROM = 8
"""A change that lasts at least so many frames is smoothed, so that it does not include flicker."""
STEP_SIGMAS, SMALLEST_STEP_STOPS = 4.0, 0.05
"""A step must be this many times larger than the flicker around it, and at least this large."""
NOISE_STOPS = 0.004
MOST_STEPS = 8
SIMILAR = 0.85
"""Of the steps at least this close to the largest, the one with the smallest residual is chosen."""


@dataclass(frozen=True)
class Model:
    """The model of trajectories over time.

    Attributes:
        flicker: its size in stops, `(10, 3)`.
        inverse: `(4, T, T)` per group, the inverse covariance of a trajectory whose flicker has size 1.
    """

    flicker: Array64
    inverse: Array64

    def inverse_of(self, term: int, output: int) -> Array64:
        """Return the `(T, T)` inverse covariance for a coefficient."""
        one: Array64 = self.inverse[_group(term, output)]
        return one


def _group(term: int, output: int) -> int:
    return (0 if term == 0 else 2) + (output > 0)


@lru_cache(maxsize=8)
def covariances(count: int) -> Tuple[Array64, Array64]:
    """Return `(walks, drifts, count, count)` inverse covariances, and `(walks, drifts)` log determinants."""
    at = np.arange(count, dtype=np.float64)
    low, high = np.minimum(at[:, None], at), np.maximum(at[:, None], at)
    walk, drift = low, low * low * (3 * high - low) / 6
    drift = drift + START_DRIFT**2 * np.outer(at - at.mean(), at - at.mean())
    size = np.array(WALKS)[:, None, None, None] ** 2 * walk + np.array(DRIFTS)[:, None, None] ** 2 * drift
    whole = size + np.eye(count) + LEVEL**2
    inverse = np.linalg.inv(whole)
    inverse = (inverse + inverse.swapaxes(-1, -2)) / 2
    return inverse, np.linalg.slogdet(whole)[1]


def expected(count: int) -> Model:
    """Return a model with little damping, for the first rounds with `count` frames."""
    flicker = np.full((10, 3), 0.04)
    flicker[0], flicker[1] = (0.3, 0.1, 0.1), (0.1, 0.05, 0.05)
    return Model(flicker, np.repeat(covariances(count)[0][3, 2][None], len(GROUPS), axis=0))


def likeliest(found: Array64, radius_frames: float, residual_stops: float) -> Model:
    """Return the model of measured trajectories `(T, 10, 3)`: the mean over all ratios, weighted by their likelihood.

    Args:
        found: coefficients over orthonormal terms, in stops, outputs brightness and two colours.
        radius_frames: changes slower than about this are the shot's own; 0 estimates the walk.
        residual_stops: residual of a typical link.
    """
    count = len(found)
    walks = _allowed(radius_frames)
    # A user's radius says what is slow; a drift would be a second answer.
    inverse, logdet = (each[walks, : 1 if radius_frames > 0 else None] for each in covariances(count))
    flicker, mixed = np.zeros((10, 3)), np.zeros((len(GROUPS), count, count))
    for group, (parts, natural) in enumerate(GROUPS):
        walk = max(natural * residual_stops, SMALLEST_WALK_STOPS)
        x = np.stack([found[:, k, o] for k, o in parts], axis=1)
        power = np.einsum("abtp,tp->abp", inverse @ x, x) / max(count - 1, 1)
        size = np.sqrt(power + SMALLEST_STOPS**2)
        cost = (count - 1) * np.log(size).sum(-1) + 0.5 * len(parts) * logdet
        cost += _prior(np.sqrt((size**2).mean(-1)), walks, walk)
        share = np.exp(cost.min() - cost)
        share /= share.sum()
        mixed[group] = np.tensordot(share, inverse, 2)
        for (k, o), one in zip(parts, np.tensordot(share, size, 2)):
            flicker[k, o] = one
    # Both colour outputs get one size, so that they share a matrix.
    flicker[:, 1:] = np.sqrt((flicker[:, 1:] ** 2).mean(axis=1, keepdims=True))
    return Model(flicker, mixed)


def _allowed(radius_frames: float) -> List[int]:
    if radius_frames <= 0:
        return list(range(len(WALKS)))
    # A walk of ratio q is smoothed with exponential windows of 1 / q frames to either side.
    return [int(np.abs(np.log(np.maximum(WALKS, 1e-3)) + np.log(radius_frames)).argmin())]


def _prior(size: Array64, walks: List[int], natural_walk: float) -> Array64:
    ratios = np.maximum(np.array(WALKS)[walks], 0.005)[:, None]
    cost = _rarity(ratios * size / natural_walk)
    drifts = np.array(DRIFTS)[1 : size.shape[1]] * size[:, 1:] / (NATURAL_DRIFT * natural_walk)
    cost[:, 1:] += _rarity(drifts)
    return cost


def _rarity(ratio: Array64) -> Array64:
    cost: Array64 = np.minimum(0.5 * PRIOR_WEIGHT * np.log(ratio) ** 2, LARGEST_COST)
    return cost


def flicker_of(found: Array64, radius_frames: float, residual_stops: float) -> Array64:
    """Return the flicker in measured trajectories `(T, 10, 3)`: what is neither a slow change, a fade nor a step.

    Args:
        found, radius_frames, residual_stops: as of `likeliest`.
    """
    own = np.zeros_like(found)
    for k, o in np.ndindex(OWN_TERMS, found.shape[2]):
        own[:, k, o] = own_changes(found[:, k, o])
    rest = found - own
    model = likeliest(rest, radius_frames, residual_stops)
    flicker = np.empty_like(rest)
    for group, inverse in enumerate(model.inverse):
        slow = np.linalg.inv(inverse) - np.eye(len(rest))
        for k, o in GROUPS[group][0]:
            flicker[:, k, o] = _robust_flicker(rest[:, k, o], slow)
    return flicker


def _robust_flicker(trajectory: Array64, slow: Array64) -> Array64:
    """Return the flicker of one trajectory `(T,)`; the slow change is robust against a few outlier frames.

    Args:
        trajectory: in stops.
        slow: `(T, T)` covariance of the slow change, for flicker of size 1.
    """
    variance, flicker = np.ones(len(trajectory)), trajectory
    for _ in range(ROBUST_ROUNDS):
        flicker = variance * np.linalg.solve(slow + np.diag(variance), trajectory)
        common = max(1.5 * float(np.median(np.abs(flicker))), SMALLEST_STOPS)
        variance = 1 + (flicker / (OUTLIER * common)) ** 2
    return flicker


def own_changes(trajectory: Array64) -> Array64:
    """Return the fades and steps of a trajectory `(T,)` in stops, from 0 at its first frame."""
    own = _fades(trajectory)
    for _ in range(MOST_STEPS):
        step = _largest_step(trajectory - own)
        if step is None:
            break
        own = own + step
    return own - own[0] if len(own) else own


def _fades(trajectory: Array64) -> Array64:
    own = np.zeros(len(trajectory))
    for first, last in _runs(trajectory):
        size = trajectory[last] - trajectory[first]
        before = trajectory[max(0, first - AROUND_FRAMES) : first]
        after = trajectory[last + 1 : last + 1 + AROUND_FRAMES]
        ends = [
            abs(np.median(levels) - value) < STAYS * abs(size)
            for levels, value in ((before, trajectory[first]), (after, trajectory[last]))
            if len(levels) >= FEWEST_AROUND
        ]
        # A short shot that is nothing but a run has no level beside it: part of a fade, without handles.
        if all(ends) and (ends or last - first + 1 >= min(2 * RUN_FRAMES, len(trajectory))):
            own[first : last + 1] += trajectory[first : last + 1] - trajectory[first]
            own[last + 1 :] += size
    return own


def _runs(trajectory: Array64) -> List[Tuple[int, int]]:
    """Return the first and last frame of each monotonic run."""
    steps = np.diff(trajectory)
    signs = np.where(np.abs(steps) > STILL_STOPS, np.sign(steps), 0)
    runs, start = [], 0
    for i in range(1, len(signs) + 1):
        if i == len(signs) or signs[i] != signs[start]:
            if signs[start] and i - start >= RUN_FRAMES - 1:
                runs.append((start, i))
            start = i
    return runs


def _largest_step(trajectory: Array64) -> Optional[Array64]:
    """Return the change between two levels that is largest relative to the flicker around it, or None."""
    count = len(trajectory)
    if np.ptp(trajectory) < SMALLEST_STEP_STOPS or count < 2 * FEWEST_AROUND:
        return None
    before, before_noise = _levels(trajectory[::-1])
    before, before_noise = before[::-1], before_noise[::-1]  # of the frames up to and including each
    after, after_noise = _levels(trajectory)  # of the frames from each on
    # A few frames can be similar by chance, so the flicker of the whole shot counts, too.
    common = max(NOISE_STOPS, float(np.median(np.abs(np.diff(trajectory)))))
    candidates = []
    for width in (width for width in WIDTHS if count - width >= 2 * FEWEST_AROUND):
        first = np.arange(FEWEST_AROUND, count - width - FEWEST_AROUND + 1)
        low, high = before[first - 1], after[first + width]
        noise = np.maximum(np.maximum(before_noise[first - 1], after_noise[first + width]), common)
        size = np.abs(high - low)
        clear = (size > STEP_SIGMAS * noise) & (size > SMALLEST_STEP_STOPS)
        candidates += [(float(size[i]), int(first[i]), width) for i in np.flatnonzero(clear)]
    if not candidates:
        return None
    least = SIMILAR * max(size for size, _, _ in candidates)
    steps = [
        _step(trajectory, first, width, float(before[first - 1]), float(after[first + width]))
        for size, first, width in candidates
        if size >= least
    ]
    return min(steps, key=lambda step: _left(trajectory, step))


def _levels(trajectory: Array64) -> Tuple[Array64, Array64]:
    """Return the median of the frames from each frame on, and their deviation from it."""
    padded = np.concatenate([trajectory, np.full(AROUND_FRAMES - 1, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, AROUND_FRAMES)
    level = np.nanmedian(windows, axis=1)
    noise: Array64 = 1.5 * np.nanmedian(np.abs(windows - level[:, None]), axis=1)
    return level, noise


def _step(trajectory: Array64, first: int, width: int, low: float, high: float) -> Array64:
    """Return the change from one level to another that begins at frame `first` and lasts `width` frames."""
    step = np.zeros(len(trajectory))
    step[first + width :] = high - low
    way = trajectory[first : first + width]
    if width >= SMOOTHED_FROM:
        # A parabola through both ends, so that the change does not include flicker.
        at = np.arange(1, width + 1) / (width + 1)
        line, bow = low + (high - low) * at, at * (1 - at)
        way = line + bow * float(bow @ (way - line)) / float(bow @ bow)
    step[first : first + width] = np.clip(way, min(low, high), max(low, high)) - low
    return step


def _left(trajectory: Array64, step: Array64) -> float:
    """Return the roughness of a trajectory without the step, plus a small cost per frame of the step."""
    moving = np.count_nonzero(np.diff(step))
    return float(np.abs(np.diff(trajectory - step)).sum()) + NOISE_STOPS * moving
