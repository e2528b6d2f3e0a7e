"""Small rendered clips with exact truth: a moving figure of ellipsoids before a panning set, under any light.

    scene = Scene(seed)
    clip, cover = scene.render(light_a, light_a, frames)      # figure and set in one light: a "real" clip
    truth, _ = scene.render(light_b, light_b, frames)         # the same performance in another light

Scene-linear: diffuse surfaces under one sun and a sky of two colours, above and below, without sensor model, cast
shadows or indirect light. Four samples a pixel give antialiased edges. The set's posts are round, so that they show
where the sun is. Real footage has in addition texture at many scales, hair, motion blur, grain and imperfect masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Rng = np.random.Generator

HEIGHT, WIDTH = 48, 64
PARTS = 4
"""Ellipsoids of a figure: a head, a body, two limbs."""

POSTS = 7
"""Round posts of a set."""

SAMPLES = 2
"""Samples of a pixel along one side."""

WALL, FLOOR = POSTS, POSTS + 1
"""Numbers of the set's other surfaces, after those of the posts."""

FLOOR_NORMAL = np.array([0, -0.9, 0.44], np.float32)


@dataclass(frozen=True)
class Light:
    """A sun and a sky.

    Attributes:
        direction: `(3,)` unit vector towards the sun; x right, y down, z towards the camera.
        sun: `(3,)` linear colour.
        above, below: `(3,)` linear colour of sky and ground bounce.
    """

    direction: Float32
    sun: Float32
    above: Float32
    below: Float32

    def on(self, normals: Float32) -> Float32:
        """Return the light `(..., 3)` that falls on surfaces of these unit normals `(..., 3)`."""
        straight = np.maximum(normals @ self.direction, 0)[..., None] * self.sun
        up = (0.5 - 0.5 * normals[..., 1:2]) * self.above + (0.5 + 0.5 * normals[..., 1:2]) * self.below
        return np.asarray(straight + up, np.float32)


def draw_light(rng: Rng) -> Light:
    """Return a random light: a warm or cold sun from anywhere in front, within two stops; random sky and ground."""
    direction = rng.normal(0, 1, 3) * (1.0, 0.7, 0.6)
    direction[2] = abs(direction[2]) + 0.3
    direction[1] -= 0.4
    warmth, level = rng.normal(0, 0.45), rng.uniform(-1, 1)
    tint = np.exp2(np.array([warmth, 0.15 * rng.normal(), -warmth]))
    sky = np.exp2(np.array([-0.6 * warmth, 0.15 * rng.normal(), 0.6 * warmth]))
    ratio = rng.uniform(0.25, 0.8)
    whole = 0.9 * 2.0**level
    return Light(
        (direction / np.linalg.norm(direction)).astype(np.float32),
        (whole * ratio * 1.6 * tint).astype(np.float32),
        (whole * (1 - ratio) * 1.2 * sky).astype(np.float32),
        (whole * (1 - ratio) * 0.5 * np.sqrt(tint)).astype(np.float32),
    )


def nudged(light: Light, rng: Rng, amount: float) -> Light:
    """Return the light with a small random change of direction and colour: the error of a per-frame estimate."""
    direction = light.direction + rng.normal(0, 0.35 * amount, 3).astype(np.float32)
    gain = np.exp2(rng.normal(0, 0.35 * amount) + rng.normal(0, 0.12 * amount, 3)).astype(np.float32)
    return Light(
        (direction / np.linalg.norm(direction)).astype(np.float32),
        light.sun * gain * np.float32(np.exp2(rng.normal(0, 0.4 * amount))),
        light.above * gain,
        light.below * gain,
    )


class Scene:
    """One performance before one set; `seed` determines everything except the light."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 17])
        self._albedo = np.exp(rng.normal(-1.2, 0.5, (PARTS, 2, 3))).clip(0.03, 0.85).astype(np.float32)
        self._stripes = rng.uniform(1, 3, (PARTS, 2)).astype(np.float32)
        self._place = np.array([rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.62)], np.float32)
        self._size = rng.uniform(0.85, 1.25)
        self._sway = rng.uniform(0.02, 0.05), rng.uniform(0.08, 0.2), rng.uniform(0, 6.3)
        self._pan = rng.uniform(-0.01, 0.01)
        self._posts = rng.uniform(0, 1, (POSTS, 3)).astype(np.float32)
        # A narrower range than a figure's, so that the set's colours show its light, as walls, roads and skies do.
        self._paint = np.exp(rng.normal(-1.1, 0.35, (POSTS + 2, 3))).clip(0.03, 0.85).astype(np.float32)

    def render(self, figure: list[Light] | Light, set_light: Light, frames: int) -> tuple[Float32, Float32]:
        """Return a clip `(T, H, W, 3)` and how much of each pixel the figure covers, `(T, H, W)` in 0..1.

        Args:
            figure: the light on the figure, one for all frames or one each.
            set_light: the light on the set.
        """
        fine, drawn = self._lit_set(set_light, frames), self._figure(frames)
        lights = figure if isinstance(figure, list) else [figure] * frames
        ends = np.cumsum(drawn.covered.sum((1, 2)))
        parts = zip(np.split(drawn.normals, ends), np.split(drawn.albedo, ends), lights)
        fine[drawn.covered] = np.concatenate([albedo * light.on(normals) for normals, albedo, light in parts])
        return _pooled(fine), _pooled(drawn.covered[..., None].astype(np.float32))[..., 0]

    def plate(self, light: Light, frames: int) -> Float32:
        """Return the set without the figure, `(T, H, W, 3)`."""
        return _pooled(self._lit_set(light, frames))

    def _lit_set(self, light: Light, frames: int) -> Float32:
        """Return the lit set at all samples, `(T, h, w, 3)`."""
        drawn = self._set(frames)
        x, _, z = light.direction
        straight = np.maximum(drawn.across * x + drawn.towards * z, 0)
        floor = light.on(FLOOR_NORMAL)
        lit = straight[..., None] * light.sun
        lit += 0.5 * (light.above + light.below)
        lit[drawn.floor] = floor
        lit *= drawn.albedo
        return np.asarray(lit, np.float32)

    @lru_cache(maxsize=1)  # noqa: B019 - one clip's surfaces, and scenes are short-lived
    def _set(self, frames: int) -> _Set:
        rows, columns = _grid()
        x = 2 * (columns[None] + np.float32(self._pan) * np.arange(frames, dtype=np.float32)[:, None, None])
        shown = np.where(rows > 0.58, FLOOR, WALL).astype(np.uint8)[None].repeat(frames, 0)
        turn = np.zeros(x.shape, np.float32)
        for post, (left, width, top) in enumerate(self._posts):
            high = (rows[:, 0] > 0.1 + 0.4 * top) & (rows[:, 0] < 0.62 + 0.1 * width)
            across = ((x[:, :1] - 2.4 * left + 0.2) % 2.4 - 1.2) / (0.08 + 0.12 * width)
            inside = (np.abs(across) < 1) & high[None, :, None]
            shown[inside] = post
            turn[inside] = np.broadcast_to(across, inside.shape)[inside]
        checks = 0.8 + 0.25 * ((np.floor(6 * x) + np.floor(14 * rows)) % 2)
        shade = np.where(shown == FLOOR, checks, np.where(shown == WALL, 1 - 0.3 * rows, 1)).astype(
            np.float32
        )
        return _Set(self._paint[shown] * shade[..., None], turn, np.sqrt(1 - turn * turn), shown == FLOOR)

    @lru_cache(maxsize=1)  # noqa: B019
    def _figure(self, frames: int) -> _Figure:
        rows, columns = _grid()
        wide, speed, phase = self._sway
        index = np.arange(frames, dtype=np.float32)[:, None, None]
        sway = wide * np.sin(speed * index + phase)
        lift = 0.5 * wide * np.cos(1.7 * speed * index + phase)
        centres = [
            (sway * 1.6, lift - 0.26),
            (sway, 0 * sway),
            (2.5 * sway - 0.13, 0.04 - lift),
            (0.13 + 0 * sway, 0.05 + lift),
        ]
        radii = [(0.075, 0.1), (0.12, 0.2), (0.045, 0.15), (0.045, 0.15)]
        nearest = np.full((frames, *rows.shape), -1, np.int8)
        u, v = np.zeros((2, *nearest.shape), np.float32)
        for part in (3, 1, 2, 0):
            x = (columns[:1] - self._place[0] - centres[part][0]) / np.float32(radii[part][0] * self._size)
            y = (rows[:, :1] - self._place[1] - centres[part][1]) / np.float32(radii[part][1] * self._size)
            inside = x * x + y * y < 1
            nearest[inside] = part
            u[inside] = np.broadcast_to(x, inside.shape)[inside]
            v[inside] = np.broadcast_to(y, inside.shape)[inside]
        covered = nearest >= 0
        parts, u, v = nearest[covered], u[covered], v[covered]
        normals = np.stack([u, v, np.sqrt(np.maximum(1 - u * u - v * v, 0))], -1)
        waves = self._stripes[parts]
        share = np.clip(0.5 + 2 * np.sin(waves[:, 0] * 2 * v + waves[:, 1] * u), 0, 1)[:, None]
        albedo = self._albedo[parts, 0] * share + self._albedo[parts, 1] * (1 - share)
        return _Figure(normals.astype(np.float32), albedo.astype(np.float32), covered)


@dataclass(frozen=True)
class _Set:
    """A set's surfaces at all samples: albedo `(T, h, w, 3)`, the x and z of normals, and a mask of the floor."""

    albedo: Float32
    across: Float32
    towards: Float32
    floor: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Figure:
    """A figure's samples, `covered` `(T, h, w)`, with the unit normals and the albedo `(N, 3)` of those covered."""

    normals: Float32
    albedo: Float32
    covered: npt.NDArray[np.bool_]


def _grid() -> tuple[Float32, Float32]:
    """Return rows and columns of the samples' centres in shares of the picture's height and width."""
    rows, columns = np.mgrid[0 : HEIGHT * SAMPLES, 0 : WIDTH * SAMPLES].astype(np.float32) + 0.5
    return rows / (HEIGHT * SAMPLES), columns / (WIDTH * SAMPLES)


def _pooled(fine: Float32) -> Float32:
    # Sums of slices: a mean over small axes is several times slower.
    cells = [fine[:, row::SAMPLES, column::SAMPLES] for row in range(SAMPLES) for column in range(SAMPLES)]
    total = cells[0].copy()
    for cell in cells[1:]:
        total += cell
    return np.asarray(total / np.float32(len(cells)), np.float32)
