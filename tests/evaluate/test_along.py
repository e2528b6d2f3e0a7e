"""Roughness along motion, on clips with known motion and flicker, compared with fixed tiles."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from harmovid_evaluate.along import FilmMotion
from harmovid_evaluate.clips import load_clip, load_film
from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.traces import local_roughness_stops

COUNT, LINES, WIDTH = 16, 96, 128
FLICKER_STOPS = 0.2


def wall(seed: int, width: int) -> Array:
    """Return textured light `(96, width, 3)`: blotches of a tile's size over finer ones, some stops apart."""
    rng = np.random.default_rng(seed)
    stops = np.zeros((LINES, width), np.float32)
    for size, amount in ((7.0, 1.0), (1.5, 0.5)):
        noise = cv2.GaussianBlur(rng.normal(0, 1, stops.shape).astype(np.float32), (0, 0), size)
        stops += amount * noise / noise.std()
    return np.repeat((0.18 * np.exp2(stops))[..., None], 3, axis=2).astype(np.float32)


def pan(speed_px: int, seed: int = 1, count: int = COUNT) -> Array:
    """Return a steady clip `(T, 96, 128, 3)` whose picture moves sideways, faster and slower by turns."""
    steps = speed_px * (1 + np.arange(count) // 2 % 2)
    places = np.cumsum(steps) - steps[0]
    wide = wall(seed, WIDTH + int(places[-1]))
    return np.stack([wide[:, at : at + WIDTH] for at in places])


def flicker(count: int = COUNT) -> Array:
    """Return white gains per frame in stops."""
    return np.random.default_rng(5).normal(0, FLICKER_STOPS, count).astype(np.float32)


def gained(clip: Array, stops: Array) -> Array:
    """Return the clip with a gain per frame, or one that broadcasts to `(T, H, W)`."""
    stops = stops if stops.ndim > 1 else stops[:, None, None]
    return (clip * np.exp2(stops)[..., None]).astype(np.float32)


def test_a_steady_pan_is_steady_along_its_motion_and_rough_in_fixed_tiles() -> None:
    """With motion alone fixed tiles measure over 0.1 stops, and along motion a tenth of that at most."""
    clip = pan(3)
    motion = FilmMotion(clip)
    fixed = local_roughness_stops(clip)

    assert fixed > 0.1
    assert motion.along_stops(clip) < 0.1 * fixed
    assert motion.followed > 0.8


def test_flicker_reads_the_same_moving_or_still() -> None:
    """White flicker of a still picture is equal in both measures to 1 %; in a pan along motion it is equal to 5 %."""
    still, moving = gained(pan(0), flicker()), gained(pan(3), flicker())
    along_still = FilmMotion(still).along_stops(still)

    assert along_still == pytest.approx(local_roughness_stops(still), rel=0.01)
    assert along_still == pytest.approx(FLICKER_STOPS, rel=0.35)  # sixteen frames of it
    assert FilmMotion(moving).along_stops(moving) == pytest.approx(along_still, rel=0.05)
    assert local_roughness_stops(moving) > 1.15 * along_still


def test_a_result_is_followed_by_the_films_own_motion() -> None:
    """Along the flickering film's motion the steady result has less than a tenth of its roughness in fixed tiles."""
    steady = pan(3)
    motion = FilmMotion(gained(steady, flicker()))
    assert motion.along_stops(steady) < 0.1 * local_roughness_stops(steady)


def test_held_light_reads_what_motion_alone_does() -> None:
    """`held_stops` of the flickering film equals the roughness of the steady one in fixed tiles, to 15 %."""
    steady = pan(3)
    film = gained(steady, flicker())
    assert FilmMotion(film).held_stops(film) == pytest.approx(local_roughness_stops(steady), rel=0.15)
    still = gained(pan(0), flicker())
    assert FilmMotion(still).held_stops(still) < 0.01


def test_flicker_of_one_half_is_seen_along_motion() -> None:
    """Two halves that flicker with opposite sign have the same local roughness as a frame that flickers as a whole."""
    side = np.where(np.arange(WIDTH) < WIDTH // 2, 1, -1)
    stops = np.broadcast_to(flicker()[:, None, None] * side, (COUNT, LINES, WIDTH)).astype(np.float32)
    film, frame = gained(pan(2), stops), gained(pan(2), flicker())
    assert FilmMotion(film).along_stops(film) == pytest.approx(FilmMotion(frame).along_stops(frame), rel=0.1)


def test_what_is_hidden_does_not_count() -> None:
    """A board three stops brighter crosses a steady pan and hides places at its edges: along motion a quarter at most
    of what fixed tiles read is left."""
    clip = pan(2)
    for t, frame in enumerate(clip):
        frame[20:60, 8 + 5 * t : 38 + 5 * t] = 8 * wall(9, 30)[20:60]
    motion = FilmMotion(clip)
    assert local_roughness_stops(clip) > 0.1
    assert motion.along_stops(clip) < 0.25 * local_roughness_stops(clip)


def test_nothing_is_followed_across_a_cut() -> None:
    """Two steady shots, the second two stops brighter: no flicker. A flash within a shot: flicker, and no cut."""
    film = np.concatenate([pan(2, seed=1, count=6), 4 * pan(2, seed=8, count=6)])
    motion = FilmMotion(film)
    assert local_roughness_stops(film) > 0.4
    assert motion.along_stops(film) < 0.02
    assert motion.held_stops(film) < 0.1

    flash = pan(2, seed=1, count=6)
    flash[3] *= 4
    alone = FilmMotion(flash)
    assert alone.along_stops(flash) == pytest.approx(2 * np.sqrt((1 + 4 + 1) / 4 / 6), rel=0.05)


def test_two_frames_have_no_roughness() -> None:
    """A clip of fewer than three frames has roughness 0, and nothing was tracked."""
    motion = FilmMotion(pan(2, count=2))
    assert motion.along_stops(pan(2, count=2)) == 0.0
    assert motion.held_stops(pan(2, count=2)) == 0.0
    assert motion.followed == 0.0


@pytest.mark.real
def test_footage_that_does_not_flicker(real_data: Path) -> None:
    """Twelve frames of a runner: `held_stops` equals fixed tiles to 20 %; along motion at most half of it is left."""
    clip = load_clip(real_data / "clips" / "davis_parkour", 240, 12).frames
    motion, fixed = FilmMotion(clip), local_roughness_stops(clip)
    assert motion.held_stops(clip) == pytest.approx(fixed, rel=0.2)
    assert motion.along_stops(clip) < 0.5 * fixed


@pytest.mark.real
def test_old_film_is_followed(real_data: Path) -> None:
    """Market Street flickers and shakes: most of it is tracked, and motion alone has less roughness than all
    together."""
    folder = real_data / "flicker" / "a_trip_down_market_street_before_the_fire"
    film = load_film(folder, 240, 12).frames
    motion = FilmMotion(film)
    assert motion.followed > 0.6
    assert motion.held_stops(film) < 0.7 * local_roughness_stops(film)
    assert motion.along_stops(film) > motion.held_stops(film)
