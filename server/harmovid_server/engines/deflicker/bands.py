"""Rolling bands: one wave over the rows that drifts evenly, with its harmonics.

    wave = find_wave(links, curves, profiles)      # profiles: found by `local_gains` per row and frame
    profiles = wave.profiles(count, rows)          # the same from a few parameters for the whole window

What all rows of a pair of frames have in common belongs to the curves, so a fade is not mistaken for a wave.

Lamps on the mains with a rolling shutter (or an LED wall with a shutter angle) make bands of one spacing and one drift.
Free profiles have a parameter for every row of every frame and shrink uncertain ones towards 0. A wave has only
`2 * OVERTONES` parameters per channel, its spacing and its drift, estimated from all samples of all frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from harmovid_server.engines.deflicker.colour_terms import Array64
from harmovid_server.engines.deflicker.local_gains import Samples, joined, weighted_median
from harmovid_server.engines.deflicker.motion import Link

OVERTONES = 3
"""The fundamental and two harmonics, because the light of lamps is not a sine."""
CYCLES = np.arange(0.4, 24.0, 0.1)
"""Spacings that are tried, in bands per height of the picture."""
SLOWEST_DRIFT = 0.05
"""Cycles per frame: a slower wave could be a fade, and counts as the shot's own light."""
FINER = 4
"""Number of drifts tried per frame of the window."""
ROUNDS = 6
HOPELESS = 0.1
"""A wave that explains less than this after two rounds is dropped: real bands are found almost at once."""
EVERY = 3
SMALLEST_SCALE_STOPS = 0.02
RIDGE = 1e-3
LARGEST_STEP = np.array([0.1, 0.01])
"""Largest change of spacing and drift in one round."""


@dataclass(frozen=True)
class Wave:
    """Bands of a window.

    Attributes:
        cycles: bands over the height of the picture.
        drift: cycles that they move per frame.
        coeffs: `(2 * OVERTONES, 3)` stops over `_columns`.
        explained: share 0..1 of the samples' differences, minus what all rows have in common, that the wave explains.
    """

    cycles: float
    drift: float
    coeffs: Array64
    explained: float

    def profiles(self, count: int, rows: int) -> Array64:
        """Return the stops that remove the bands, `(count, rows, 1, 3)`."""
        frame, row = np.divmod(np.arange(count * rows), rows)
        columns, _ = _columns(self.cycles, self.drift, frame.astype(np.float64), (row + 0.5) / rows)
        stops: Array64 = (columns @ self.coeffs).reshape(count, rows, 1, 3)
        return stops


def find_wave(links: List[Link], curves: Array64, profiles: Array64) -> Wave:
    """Return the wave that explains the samples best; a wave of 0 stops if there is none.

    Args:
        links: matched pairs of frames, in any order.
        curves: `(count, 10, 3)` over `colour_terms.terms`, the window's corrections so far.
        profiles: `(count, rows, 1, 3)` free profiles, from which the search starts.
    """
    samples = joined(links, curves, EVERY)
    cycles, drift = _strongest(profiles[:, :, 0].mean(axis=-1))
    nothing = Wave(cycles, drift, np.zeros((2 * OVERTONES, 3)), 0.0)
    if not len(samples.trust):
        return nothing
    weight, best = samples.trust, nothing
    for round_ in range(ROUNDS):
        design, slopes = _design(cycles, drift, samples)
        design, wanted = (_minus_link_means(samples, each, weight) for each in (design, samples.wanted))
        coeffs = _solved(design, wanted, weight)
        left = wanted - design @ coeffs
        wave = Wave(cycles, drift, coeffs, _explained(wanted, left, samples.trust))
        if wave.explained > best.explained and abs(drift) >= SLOWEST_DRIFT:
            best = wave
        if round_ and best.explained < HOPELESS:
            break
        size = np.sqrt((left**2).mean(axis=1))
        scale = max(SMALLEST_SCALE_STOPS, 1.5 * weighted_median(size, samples.trust))
        weight = samples.trust / (1 + (size / scale) ** 2) ** 2
        moved = np.stack([(slope @ coeffs).mean(axis=1) for slope in slopes], axis=1)
        moved = _minus_link_means(samples, moved, weight)
        # Solved together with the columns: a change of phase does much of what spacing and drift do.
        step = _solved(np.concatenate([design, moved], axis=1), left.mean(axis=1, keepdims=True), weight)[
            -2:, 0
        ]
        cycles, drift = np.array([cycles, drift]) + np.clip(step, -LARGEST_STEP, LARGEST_STEP)
    return best


def _minus_link_means(samples: Samples, values: Array64, weight: Array64) -> Array64:
    """Return `(n, k)` values minus their weighted mean over each link."""
    starts = np.array(samples.starts)
    total = np.maximum(np.add.reduceat(weight, starts[:-1]), 1e-12)[:, None]
    means = np.add.reduceat(values * weight[:, None], starts[:-1]) / total
    less: Array64 = values - np.repeat(means, np.diff(starts), axis=0)
    return less


def _strongest(profiles: Array64) -> Tuple[float, float]:
    """Return spacing and drift of the strongest wave in profiles `(T, rows)`."""
    count, rows = profiles.shape
    at = (np.arange(rows) + 0.5) / rows
    over_rows = (profiles - profiles.mean(axis=1, keepdims=True)) @ np.exp(-2j * np.pi * np.outer(at, CYCLES))
    power = np.abs(np.fft.fft(over_rows, FINER * count, axis=0))
    # Bands that hardly move are not flicker; a peak is as wide as one step of the window.
    power[np.abs(np.fft.fftfreq(FINER * count)) < max(SLOWEST_DRIFT, 1 / count)] = 0
    drift, cycles = np.unravel_index(int(power.argmax()), power.shape)
    return float(CYCLES[cycles]), float(np.fft.fftfreq(FINER * count)[drift])


def _columns(cycles: float, drift: float, frame: Array64, row: Array64) -> Tuple[Array64, Array64]:
    """Return `(n, 2 * OVERTONES)` columns, and their derivatives by phase."""
    angle = 2 * np.pi * (cycles * row + drift * frame)
    first = np.cos(angle) + 1j * np.sin(angle)
    wave, waves, slopes = np.ones_like(first), [], []
    for h in range(1, OVERTONES + 1):
        wave = wave * first
        waves += [wave.real, wave.imag]
        slopes += [-2 * np.pi * h * wave.imag, 2 * np.pi * h * wave.real]
    return np.stack(waves, axis=1), np.stack(slopes, axis=1)


def _design(cycles: float, drift: float, samples: Samples) -> Tuple[Array64, Tuple[Array64, Array64]]:
    """Return the differences of the columns between both frames, and their derivatives by spacing and by drift."""
    later, earlier = (each.astype(np.float64) for each in (samples.later, samples.earlier))
    row, earlier_row = (each[:, 1].astype(np.float64) for each in (samples.at, samples.earlier_at))
    columns, slope = _columns(cycles, drift, later, row)
    earlier_columns, earlier_slope = _columns(cycles, drift, earlier, earlier_row)
    by_cycles = slope * row[:, None] - earlier_slope * earlier_row[:, None]
    by_drift = slope * later[:, None] - earlier_slope * earlier[:, None]
    return columns - earlier_columns, (by_cycles, by_drift)


def _solved(design: Array64, wanted: Array64, weight: Array64) -> Array64:
    weighted = design * weight[:, None]
    matrix = weighted.T @ design
    # Scaled by each column's size, since spacing and drift have different scales.
    ridge = np.diag(RIDGE * np.diag(matrix) + 1e-12)
    found: Array64 = np.asarray(np.linalg.solve(matrix + ridge, weighted.T @ wanted), np.float64)
    return found


def _explained(wanted: Array64, left: Array64, trust: Array64) -> float:
    before, after = (float((trust * np.abs(one.mean(axis=1))).sum()) for one in (wanted, left))
    return max(0.0, 1.0 - after / before) if before > 0 else 0.0
