"""Rolling bands: an even wave over the rows is found among matched samples, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from harmovid_server.engines.deflicker.bands import FEWEST_CYCLES, ROWS, Wave, find_wave
from harmovid_server.engines.deflicker.motion import Link, PairSamples
from harmovid_server.engines.deflicker.window import BAND_KIND, EXPLAINED

FRAMES = 30
Light = Callable[[int, np.ndarray], np.ndarray]
"""The stops of light on rows 0..1 in a frame."""


def wave(cycles: float, drift: float) -> Light:
    """Return bands of a quarter stop: a sine and half as much of its double."""

    def stops(frame: int, row: np.ndarray) -> np.ndarray:
        turn = 2 * np.pi * (cycles * row + drift * frame)
        return 0.25 * np.sin(turn) + 0.12 * np.cos(2 * turn)

    return stops


def links_under(
    light: Light,
    frames: int = FRAMES,
    lost: float = 0.0,
    noise_stops: float = 0.0,
    samples: int = 120,
    rows: tuple[float, float] = (0.0, 1.0),
) -> list[Link]:
    """Return matched samples of grey frames under some light.

    Args:
        light: what is added to each frame, by row.
        frames: of the window.
        lost: share of the samples that show something else in the earlier frame, about a stop off.
        noise_stops: of every sample.
        samples: per link.
        rows: of the region with samples, 0..1 of the height.
    """
    rng, links = np.random.default_rng(2), []
    for later in range(frames):
        for gap in (1, 2, 4, 8):
            if gap > later:
                continue
            at = rng.uniform(0, 1, (samples, 2))
            at[:, 1] = rows[0] + at[:, 1] * (rows[1] - rows[0])
            at = at.astype(np.float32)
            earlier_at = np.clip(at + rng.normal(0, 0.02, at.shape), 0, 1).astype(np.float32)
            shown = rng.normal(-2, 1, (samples, 1)) + rng.normal(0, noise_stops, (2, samples, 3))
            shown[1] += rng.normal(0, 1, (samples, 1)) * (rng.random((samples, 1)) < lost)
            logs = [
                colours + light(frame, places[:, 1])[:, None]
                for frame, places, colours in zip((later, later - gap), (at, earlier_at), shown)
            ]
            links.append(Link(later, later - gap, PairSamples(*logs, at, earlier_at, np.ones(samples), 1.0)))
    return links


def left(found: Wave, light: Light, frames: int = FRAMES) -> float:
    """Return what is left of the light by row, root mean square in stops."""
    rows = (np.arange(ROWS) + 0.5) / ROWS
    stops = found.profiles(frames)[..., 0, 1] + np.stack([light(t, rows) for t in range(frames)])
    return float((stops - stops.mean(axis=1, keepdims=True)).std())


@pytest.mark.parametrize(
    ("cycles", "drift"), [(0.7, 0.2), (1.3, 0.11), (2.0, 0.37), (6.1, -0.29), (14.0, 0.45)]
)
def test_spacing_drift_and_shape_are_found(cycles: float, drift: float) -> None:
    """Bands with an overtone leave less than 0.01 stops of 0.28."""
    light = wave(cycles, drift)
    found = find_wave(links_under(light), FRAMES)

    assert found.explained > 0.9
    assert left(found, light) < 0.01


def test_in_few_frames_the_fundamental_is_found() -> None:
    """Eight frames are enough for a sine."""

    def light(frame: int, row: np.ndarray) -> np.ndarray:
        return 0.3 * np.sin(2 * np.pi * (2 * row + 0.37 * frame))

    found = find_wave(links_under(light, 8), 8)
    assert found.explained > 0.9
    assert left(found, light, 8) < 0.01


def test_lost_motion_does_not_hide_bands() -> None:
    """With two thirds of the samples lost, bands still explain nearly all of what the rows' means show."""
    light = wave(2.0, 0.37)
    found = find_wave(links_under(light, 20, lost=0.65, samples=600), 20)

    assert found.explained > EXPLAINED[BAND_KIND][1]
    assert left(found, light, 20) < 0.03


def test_a_link_without_the_bands_has_none() -> None:
    """What `taken_out` leaves of every sample is its light without the bands."""
    light = wave(2.7, 0.17)
    links = links_under(light)
    found = find_wave(links, FRAMES)
    samples = found.taken_out(links[40], 1.0).samples

    before = (links[40].samples.later - links[40].samples.earlier).std()
    assert (samples.later - samples.earlier).std() < 0.03 * before
    np.testing.assert_array_equal(found.taken_out(links[40], 0.0).samples.later, links[40].samples.later)


def test_bands_of_a_small_foreground_are_counted_over_its_rows() -> None:
    """Over a third of the height two bands are found; a slope is never called a part of a wider wave, whose size
    these rows do not show.
    """
    rows = (0.3, 0.65)
    bands = wave(6.0, 0.3)
    assert find_wave(links_under(bands, rows=rows), FRAMES).explained > 0.9

    slope = find_wave(links_under(lambda t, row: 0.4 * np.sin(np.pi * row + 1.9 * t), rows=rows), FRAMES)
    assert slope.cycles * (rows[1] - rows[0]) >= FEWEST_CYCLES
    by_chance = np.random.default_rng(7).normal(0, 1, FRAMES)
    swinging = find_wave(links_under(lambda t, row: by_chance[t] * (row - 0.475), rows=rows), FRAMES)
    assert swinging.explained < EXPLAINED[BAND_KIND][0]


def row_flicker(frame: int, row: np.ndarray) -> np.ndarray:
    """A lamp over the upper part that flickers by chance."""
    return float(np.random.default_rng(frame).normal(0, 0.4)) * np.exp(-(((row - 0.2) / 0.25) ** 2))


NO_BANDS: dict[str, Light] = {
    "noise alone": lambda _frame, row: np.zeros_like(row),
    "exposure flicker": lambda frame, row: np.full_like(row, np.random.default_rng(frame).normal(0, 0.5)),
    "a fade of two stops, down and up": lambda frame, row: np.full_like(row, abs(frame - 15) / 7.5),
    "a lamp above": row_flicker,
    "light that stays": lambda _frame, row: np.sin(12 * row),
    "bands that hardly move": lambda frame, row: 0.3 * np.sin(2 * np.pi * (2 * row + 0.01 * frame)),
}


@pytest.mark.parametrize("frames", [2, 7, 8, 16, 30])
@pytest.mark.parametrize("what", NO_BANDS)
def test_nothing_else_is_taken_for_bands(what: str, frames: int) -> None:
    """Neither noise, nor light that all rows share, nor a lamp that flickers explains enough to be applied."""
    found = find_wave(links_under(NO_BANDS[what], frames, noise_stops=0.05), frames)

    assert found.explained < EXPLAINED[BAND_KIND][0]
