"""Intended changes of light: fades, dissolves, and lasting steps.

own = own_changes(trajectory)       # (T,) changes to keep, subtracted before flicker and slow change are separated

A model of slow change would bend at the ends of a fade and round off a step. Both are detected by what flicker does not
do: it does not rise for many frames in a row to a lasting level, and its level before and after is the same.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np

from harmovid_server.engines.deflicker.colour_terms import Array64

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
        if all(ends) and (ends or last - first + 1 >= 2 * RUN_FRAMES):
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
