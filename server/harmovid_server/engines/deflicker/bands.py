"""Rolling bands: one wave over the rows that drifts evenly, with its harmonics.

    wave = find_wave(links, count)
    stops = wave.profiles(count, ROWS)          # if wave.explained is enough

Lamps on the mains with a rolling shutter (or an LED wall with a shutter angle) make bands of one spacing and one drift:
six parameters per channel and two more, estimated from all samples of all frames. Bands are searched before
curves are fitted, since curves imitate them through the colours that happen to be there. What all rows of a pair of
frames have in common is left out, so neither exposure flicker nor a fade is mistaken for a wave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Tuple

import numpy as np

from harmovid_server.engines.deflicker.colour_terms import TERMS, Array64
from harmovid_server.engines.deflicker.local_gains import Samples, joined, weighted_median
from harmovid_server.engines.deflicker.motion import Link

MOST_TONES, FRAMES_PER_TONE = 3, 8
"""The fundamental and two harmonics, because the light of lamps is not a sine; fewer in few frames, which anything fits
by chance, and none at all in fewer than these."""
ROWS = 96
"""Rows of a profile."""
CYCLES = np.arange(0.4, 24.0, 0.1)
"""Spacings that are tried, in bands per height of the picture."""
FEWEST_CYCLES, SLOWEST_DRIFT = 0.35, 0.05
"""Bands over the rows with matches, and cycles per frame: a wider wave could be flicker of the whole region or light
from one side of it, a slower one a fade."""
FEWEST_MATCHES = 0.05
"""Share of the matches above, and below, the rows over which bands are counted."""
FINER = 4
"""Number of drifts tried per frame of the window."""
ROUNDS = 6
HOPELESS = 0.1
"""If no sine explains this share before anything is refined, there are no bands: where two thirds of
the matches are lost, bands of 0.3 stops explain 0.7."""
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
        coeffs: `(2 * tones, 3)` stops over `_columns`.
        explained: the share 0..1 that the wave explains of the squared differences between the rows of two frames,
            beyond what any wave would explain of few frames. They are differences of a row's mean brightness, in
            which the errors of lost motion cancel: these differ from sample to sample.
    """

    cycles: float
    drift: float
    coeffs: Array64
    explained: float

    def profiles(self, count: int) -> Array64:
        """Return the stops that remove the bands, `(count, ROWS, 1, 3)`."""
        frame, row = np.divmod(np.arange(count * ROWS), ROWS)
        return self._stops(frame.astype(np.float64), (row + 0.5) / ROWS).reshape(count, ROWS, 1, 3)

    def taken_out(self, link: Link, share: float) -> Link:
        """Return a link with a share of the bands removed from its samples."""
        samples = link.samples
        later, earlier = (
            colours + share * self._stops(np.full(len(at), float(frame)), at[:, 1].astype(np.float64))
            for colours, frame, at in (
                (samples.later, link.later, samples.later_at),
                (samples.earlier, link.earlier, samples.earlier_at),
            )
        )
        return replace(link, samples=replace(samples, later=later, earlier=earlier))

    def _stops(self, frame: Array64, row: Array64) -> Array64:
        stops: Array64 = _columns(self.cycles, self.drift, len(self.coeffs) // 2, frame, row)[0] @ self.coeffs
        return stops


def find_wave(links: List[Link], count: int) -> Wave:
    """Return the wave that explains the samples best; a wave of 0 stops if there is none.

    Args:
        links: matched pairs of frames, in any order, at least one.
        count: frames of the window.
    """
    tones = min(MOST_TONES, count // FRAMES_PER_TONE)
    best = Wave(1.0, 0.0, np.zeros((2, 3)), 0.0)
    if not tones:
        return best
    samples = joined(links, np.zeros((count, TERMS, 3)), EVERY)
    top, bottom = np.quantile(samples.at[:, 1], (FEWEST_MATCHES, 1 - FEWEST_MATCHES))
    fewest = FEWEST_CYCLES / max(float(bottom - top), 1 / ROWS)
    cycles, drift, share = _strongest(samples, count, CYCLES[fewest <= CYCLES])
    if share < HOPELESS:
        return best
    # Drift, and size and phase of each tone, fit as many frames by chance.
    weight, by_chance = samples.trust, (count - 1) / (count - 2 - 2 * tones)
    for _ in range(ROUNDS):
        design, slopes = _design(cycles, drift, tones, samples)
        design, wanted = (_minus_link_means(samples, each, weight) for each in (design, samples.wanted))
        coeffs = _solved(design, wanted, weight)
        left = wanted - design @ coeffs
        wave = Wave(cycles, drift, coeffs, 1 - by_chance * _left(samples, wanted, left, weight))
        if wave.explained > best.explained and cycles >= fewest and abs(drift) >= SLOWEST_DRIFT:
            best = wave
        size = np.sqrt((left**2).mean(axis=1))
        scale = max(SMALLEST_SCALE_STOPS, 1.5 * float(weighted_median(size, samples.trust)))
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


def _row_sums(samples: Samples, values: Array64) -> Array64:
    """Return `(links, ROWS)`: the sums of `(n,)` values over each row of each link."""
    links = len(samples.starts) - 1
    row = np.minimum((samples.at[:, 1] * ROWS).astype(np.int64), ROWS - 1)
    place = np.repeat(np.arange(links), np.diff(samples.starts)) * ROWS + row
    sums: Array64 = np.bincount(place, values, links * ROWS).astype(np.float64).reshape(links, ROWS)
    return sums


def _strongest(samples: Samples, count: int, tried: Array64) -> Tuple[float, float, float]:
    """Return spacing and drift of the sine that explains most, among the `tried` spacings and `FINER * count` drifts,
    and the share 0..1 of the squared differences between rows that it explains; 0 if no spacing is tried.
    """
    if not len(tried):
        return 1.0, 0.0, 0.0
    wanted = _minus_link_means(samples, samples.wanted, samples.trust).mean(axis=1)
    waves = np.exp(-2j * np.pi * np.outer((np.arange(ROWS) + 0.5) / ROWS, tried))
    weight = _row_sums(samples, samples.trust)
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    drifts = np.fft.fftfreq(FINER * count)
    # Bands that hardly move are not flicker; a peak is as wide as one step of the window.
    drifts = drifts[np.abs(drifts) >= max(SLOWEST_DRIFT, 1 / count)]
    first = samples.starts[:-1]
    later, earlier = (
        np.exp(2j * np.pi * np.outer(frame[first], drifts)) for frame in (samples.later, samples.earlier)
    )
    step = later - earlier
    sums = _row_sums(samples, samples.trust * wanted)
    along = step.conj().T @ (sums @ waves)
    size = (np.abs(step) ** 2).T @ (total - np.abs(weight @ waves) ** 2 / total)
    power = np.abs(along) ** 2 / np.maximum(size, 1e-9 * total.sum())
    drift, cycles = np.unravel_index(int(power.argmax()), power.shape)
    energy = float((sums**2 / np.maximum(weight, 1e-12)).sum())
    return float(tried[cycles]), float(drifts[drift]), 2 * float(power.max()) / max(energy, 1e-12)


def _columns(
    cycles: float, drift: float, tones: int, frame: Array64, row: Array64
) -> Tuple[Array64, Array64]:
    """Return `(n, 2 * tones)` columns, and their derivatives by phase."""
    angle = 2 * np.pi * (cycles * row + drift * frame)
    first = np.cos(angle) + 1j * np.sin(angle)
    wave, waves, slopes = np.ones_like(first), [], []
    for h in range(1, tones + 1):
        wave = wave * first
        waves += [wave.real, wave.imag]
        slopes += [-2 * np.pi * h * wave.imag, 2 * np.pi * h * wave.real]
    return np.stack(waves, axis=1), np.stack(slopes, axis=1)


def _design(
    cycles: float, drift: float, tones: int, samples: Samples
) -> Tuple[Array64, Tuple[Array64, Array64]]:
    """Return the differences of the columns between both frames, and their derivatives by spacing and by drift."""
    later, earlier = (each.astype(np.float64) for each in (samples.later, samples.earlier))
    row, earlier_row = (each[:, 1].astype(np.float64) for each in (samples.at, samples.earlier_at))
    columns, slope = _columns(cycles, drift, tones, later, row)
    earlier_columns, earlier_slope = _columns(cycles, drift, tones, earlier, earlier_row)
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


def _left(samples: Samples, wanted: Array64, left: Array64, weight: Array64) -> float:
    """Return how much of the squared differences between rows is left, as a share."""
    shares = np.maximum(_row_sums(samples, weight), 1e-12)
    before, after = (
        float((_row_sums(samples, weight * each.mean(axis=1)) ** 2 / shares).sum()) for each in (wanted, left)
    )
    return after / max(before, 1e-12)
