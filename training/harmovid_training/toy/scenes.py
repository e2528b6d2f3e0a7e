"""Small rendered clips with exact truth: a moving figure of ellipsoids before a panning set, under any light.

    scene = Scene(seed)
    clip, mask = scene.render(light_a, light_a, frames)       # figure and set in one light: a "real" clip
    truth, _ = scene.render(light_b, light_b, frames)         # the same performance in another light

Scene-linear, no sensor, no cast shadows, no bounces: diffuse surfaces under one sun and a sky that differs
above and below. What it leaves out is what real footage adds: texture at many scales, hair, motion blur,
grain, imperfect masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Rng = np.random.Generator

HEIGHT, WIDTH = 48, 64
PARTS = 4
"""Ellipsoids of a figure: a head, a body, two limbs."""

BLOCKS = 7
"""Boxes of a set."""


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
    """Return a random light: sun from anywhere in front, warm or cold, two stops of level, sky and ground of
    their own."""
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
    """Return the light moved a little in direction and colour: what a per-frame guess gets wrong, frame by frame."""
    direction = light.direction + rng.normal(0, 0.35 * amount, 3).astype(np.float32)
    gain = np.exp2(rng.normal(0, 0.35 * amount) + rng.normal(0, 0.12 * amount, 3)).astype(np.float32)
    return Light(
        (direction / np.linalg.norm(direction)).astype(np.float32),
        light.sun * gain * np.float32(np.exp2(rng.normal(0, 0.4 * amount))),
        light.above * gain,
        light.below * gain,
    )


class Scene:
    """One performance before one set; `seed` decides everything but the light."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 17])
        self._albedo = np.exp(rng.normal(-1.2, 0.5, (PARTS, 2, 3))).clip(0.03, 0.85).astype(np.float32)
        self._stripes = rng.uniform(2, 6, (PARTS, 2)).astype(np.float32)
        self._place = np.array([rng.uniform(0.3, 0.7), rng.uniform(0.5, 0.62)])
        self._size = rng.uniform(0.85, 1.25)
        self._sway = rng.uniform(0.02, 0.08), rng.uniform(0.12, 0.3), rng.uniform(0, 6.3)
        self._pan = rng.uniform(-0.012, 0.012)
        self._blocks = rng.uniform(0, 1, (BLOCKS, 4)).astype(np.float32)
        self._paint = np.exp(rng.normal(-1.1, 0.5, (BLOCKS + 2, 3))).clip(0.03, 0.85).astype(np.float32)
        self._turn = rng.uniform(-0.7, 0.7, BLOCKS)

    def render(self, figure: list[Light] | Light, set_light: Light, frames: int) -> tuple[Float32, Float32]:
        """Return a clip `(T, H, W, 3)` and the figure's binary mask `(T, H, W)`.

        Args:
            figure: the light on the figure, one for all frames or one each.
            set_light: the light on the set.
        """
        clip = self.plate(set_light, frames)
        mask = np.zeros(clip.shape[:3], np.float32)
        for index in range(frames):
            normals, albedo, covered = self._figure(index)
            light = figure[index] if isinstance(figure, list) else figure
            clip[index][covered] = (albedo * light.on(normals))[covered]
            mask[index][covered] = 1
        return clip, mask

    def plate(self, light: Light, frames: int) -> Float32:
        """Return the set without the figure, `(T, H, W, 3)`."""
        return np.stack([self._set(index, light) for index in range(frames)])

    def _set(self, index: int, light: Light) -> Float32:
        rows, columns = _grid()
        x = (columns + self._pan * index) * 2
        horizon = 0.58
        wall = light.on(np.array([0, 0, 1], np.float32)) * self._paint[-1] * (1 - 0.3 * rows[..., None])
        floor = light.on(np.array([0, -0.9, 0.44], np.float32)) * self._paint[-2]
        checks = (np.floor(6 * x) + np.floor(14 * rows)) % 2
        picture = np.where((rows > horizon)[..., None], floor * (0.8 + 0.25 * checks[..., None]), wall)
        for block, (left, width, top, _) in enumerate(self._blocks):
            inside = (np.abs((x - 2.4 * left + 0.2) % 2.4 - 1.2) < 0.08 + 0.12 * width) & (
                rows > 0.1 + 0.4 * top
            )
            inside &= rows < 0.62 + 0.1 * width
            normal = np.array([np.sin(self._turn[block]), 0, np.cos(self._turn[block])], np.float32)
            picture = np.where(inside[..., None], light.on(normal) * self._paint[block], picture)
        return picture.astype(np.float32)

    def _figure(self, index: int) -> tuple[Float32, Float32, npt.NDArray[np.bool_]]:
        rows, columns = _grid()
        wide, speed, phase = self._sway
        sway = wide * np.sin(speed * index + phase)
        lift = 0.5 * wide * np.cos(1.7 * speed * index + phase)
        centres = [
            (sway * 1.6, -0.26 + lift),
            (sway, 0.0),
            (-0.13 + 2.5 * sway, 0.04 - lift),
            (0.13, 0.05 + lift),
        ]
        radii = [(0.075, 0.1), (0.12, 0.2), (0.045, 0.15), (0.045, 0.15)]
        normals = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        albedo = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        covered = np.zeros((HEIGHT, WIDTH), bool)
        for part in (3, 1, 2, 0):
            x = (columns - self._place[0] - centres[part][0]) / (radii[part][0] * self._size)
            y = (rows - self._place[1] - centres[part][1]) / (radii[part][1] * self._size)
            inside = x * x + y * y < 1
            depth = np.sqrt(np.maximum(1 - x * x - y * y, 0))
            normals[inside] = np.stack([x, y, depth], -1)[inside]
            pattern = np.sin(self._stripes[part, 0] * 2 * y + self._stripes[part, 1] * x) > 0.2
            albedo[inside] = np.where(pattern[..., None], self._albedo[part, 0], self._albedo[part, 1])[
                inside
            ]
            covered |= inside
        return normals, albedo, covered


def _grid() -> tuple[Float32, Float32]:
    """Return rows and columns of the pixels' centres in picture heights."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32) + 0.5
    return rows / HEIGHT, columns / WIDTH
