"""Texture maps of the dusk street, made once per shot: wet cobbles, two rows of houses, clouds.

Every map is in metres with a stated resolution, scene-linear, and made from seeded noise. `street` renders pictures
from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from harmovid_demo.jit import Image

COBBLE_TILE_M = 3.2  # the ground repeats after this
COBBLE_PX = 1024
WALL_LENGTH_M, WALL_HEIGHT_M = 46.0, 8.0
WALL_PX_PER_M = 36
STOREY_M, BAY_M = 2.9, 2.3


@dataclass(frozen=True)
class StreetMaps:
    """The maps.

    Attributes:
        cobbles: mip levels of `(n, n, 4)`: albedo, slope x, slope z, puddle (0 stone, 1 still water).
        left, right: house fronts `(rows, cols, 3)`: radiance; rows from the top, columns from z = 4 m back.
        clouds: `(256, 1024)` 0..1.
    """

    cobbles: tuple[Image, ...]
    left: Image
    right: Image
    clouds: Image


def layered_noise(rng: np.random.Generator, height: int, width: int, cells: int, octaves: int) -> Image:
    """Return `(height, width)` smooth noise of mean 0 and deviation about 1 that repeats at its edges."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        n = cells * 2**octave
        rows = max(n * height // width, 1)
        grid = rng.normal(size=(rows, n)).astype(np.float32)
        wrapped = np.pad(grid, 2, mode="wrap")
        scale_y, scale_x = height / rows, width / n
        size = (round((n + 4) * scale_x), round((rows + 4) * scale_y))
        big = cv2.resize(wrapped, size, interpolation=cv2.INTER_CUBIC)
        top, side = round(2 * scale_y), round(2 * scale_x)
        total += big[top : top + height, side : side + width] / 2**octave
    smooth: Image = (total / total.std()).astype(np.float32)
    return smooth


def _cobbles(rng: np.random.Generator) -> tuple[Image, ...]:
    """Rounded stones in staggered rows, each with its own grey; puddles lie where a slow noise is high."""
    n, rows, columns = COBBLE_PX, 28, 20
    y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
    wobble = [layered_noise(rng, n, n, 8, 3) * 0.0035 for _ in range(2)]
    y, x = y + wobble[0], x + wobble[1]
    row = np.floor(y * rows)
    shift = rng.uniform(0, 1, rows).astype(np.float32)[row.astype(int) % rows]
    across = x * columns + shift
    column = np.floor(across)
    fy, fx = y * rows - row, across - column
    edge = (
        np.minimum(np.minimum(fy, 1 - fy) / rows, np.minimum(fx, 1 - fx) / columns) * COBBLE_TILE_M
    )  # metres
    dome = 1 - np.exp(-np.maximum(edge - 0.004, 0) / 0.011)
    rough = layered_noise(rng, n, n, 64, 3)
    height = 0.011 * dome + 0.0009 * rough
    puddle = np.clip((layered_noise(rng, n, n, 3, 4) - 0.55 - 0.7 * dome * 0.5) * 1.6, 0, 1)
    stone = rng.uniform(0.72, 1.25, (rows, columns + 1)).astype(np.float32)
    grey = stone[row.astype(int) % rows, column.astype(int) % columns]
    albedo = 0.105 * grey * (0.25 + 0.75 * dome) * (1 + 0.10 * rough) * (1 - 0.45 * puddle)
    step = COBBLE_TILE_M / n
    slope_x = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / (2 * step) * (1 - puddle)
    slope_z = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / (2 * step) * (1 - puddle)
    level = np.stack([albedo, slope_x, slope_z, puddle], axis=-1).astype(np.float32)
    levels = [level]
    while levels[-1].shape[0] > 8:
        half = levels[-1].shape[0] // 2
        smaller: Any = cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA)
        levels.append(smaller)
    return tuple(levels)


def _window(rng: np.random.Generator, wall: Image, box: tuple[int, int, int, int], lit: bool) -> None:
    """Paint one window into the wall: frame, panes, and either a lamp-lit room or a dim mirror of the sky."""
    y0, y1, x0, x1 = box
    wall[y0 - 2 : y1 + 3, x0 - 2 : x1 + 2] *= 1.7
    if lit:
        warm = np.array([1.0, 0.50, 0.17]) if rng.random() < 0.8 else np.array([0.75, 0.85, 0.8])
        room = warm * rng.uniform(0.35, 2.2)
        fall = np.linspace(1.15, 0.55, y1 - y0)[:, None, None]
        curtain = 1.0 - 0.5 * (np.abs(np.linspace(-1, 1, x1 - x0)) > rng.uniform(0.5, 1.0))[None, :, None]
        wall[y0:y1, x0:x1] = room * fall * curtain
    else:
        wall[y0:y1, x0:x1] = np.array([0.022, 0.030, 0.046]) * rng.uniform(0.5, 1.4)
    middle = (x0 + x1) // 2
    wall[y0:y1, middle - 1 : middle + 1] *= 0.35
    wall[(y0 + y1) // 2 - 1 : (y0 + y1) // 2, x0:x1] *= 0.4


def _shop(
    rng: np.random.Generator, wall: Image, x0: int, x1: int, colour: tuple[float, float, float]
) -> None:
    """Paint a shop window at street level: bright glass, goods in silhouette, an awning above."""
    top, bottom = wall.shape[0] - int(2.35 * WALL_PX_PER_M), wall.shape[0] - int(0.45 * WALL_PX_PER_M)
    height, width = bottom - top, x1 - x0
    glow = np.linspace(1.25, 0.6, height)[:, None, None] * (
        1 + 0.15 * layered_noise(rng, height, width, 4, 2)[..., None]
    )
    goods = np.ones((height, width, 3), np.float32)
    for shelf in (0.30, 0.62, 0.97):
        foot = int(shelf * height)
        for _ in range(max(width // 7, 3)):
            tone = tuple(float(v) for v in rng.uniform(0.10, 0.75) * rng.uniform(0.7, 1.2, 3))
            wide, tall = int(rng.integers(2, 6)), int(rng.uniform(0.05, 0.12) * height)
            middle = (int(rng.integers(0, width)), foot - tall)
            cv2.ellipse(goods, middle, (wide, tall), 0, 0, 360, tone, -1, cv2.LINE_AA)
        goods[foot : foot + 2] *= 0.3
    goods = cv2.GaussianBlur(goods, (0, 0), 0.8)
    wall[top:bottom, x0:x1] = np.array(colour) * np.clip(glow, 0.2, None) * goods
    for post in range(x0, x1, max(width // 3, 8)):
        wall[top:bottom, post : post + 3] *= 0.10
    wall[top - 12 : top, x0 - 4 : x1 + 4] = np.array([0.055, 0.02, 0.02]) * rng.uniform(0.6, 1.6)


def _houses(
    rng: np.random.Generator, shops: tuple[tuple[float, float, tuple[float, float, float]], ...]
) -> Image:
    """A row of fronts of different colour, storeys of windows, and shops at (start, end, colour) metres."""
    height, width = int(WALL_HEIGHT_M * WALL_PX_PER_M), int(WALL_LENGTH_M * WALL_PX_PER_M)
    stain = layered_noise(rng, height, width, 24, 4)
    wall = np.empty((height, width, 3), np.float32)
    at = 0
    while at < width:
        end = min(at + int(rng.uniform(4.5, 7.5) * WALL_PX_PER_M), width)
        tone = np.array([[0.30, 0.19, 0.14], [0.34, 0.30, 0.25], [0.22, 0.23, 0.24], [0.36, 0.27, 0.18]])[
            rng.integers(4)
        ]
        wall[:, at:end] = tone * rng.uniform(0.7, 1.1)
        at = end
    # Evening sky from above, darker towards the pavement; courses of stone between storeys.
    fall = np.linspace(1.15, 0.5, height)[:, None, None]
    wall *= (1 + 0.16 * stain[..., None]) * fall * np.array([0.20, 0.245, 0.33])
    step = int(STOREY_M * WALL_PX_PER_M)
    for course in range(height - step, 0, -step):
        wall[course - 3 : course] *= 1.5
        wall[course : course + 3] *= 0.5
        for left in range(int(0.6 * WALL_PX_PER_M), width - 60, int(BAY_M * WALL_PX_PER_M)):
            box = (course - step + 28, course - 14, left, left + int(1.05 * WALL_PX_PER_M))
            if box[0] > 2:
                _window(rng, wall, box, rng.random() < 0.34)
    for start, stop, colour in shops:
        _shop(rng, wall, int(start * WALL_PX_PER_M), int(stop * WALL_PX_PER_M), colour)
    return wall


def make_maps(seed: int) -> StreetMaps:
    """Make all maps of the street from one seed."""
    rng = np.random.default_rng(seed)
    cool, warm, green = (0.62, 0.90, 1.18), (2.1, 0.95, 0.30), (0.40, 1.0, 0.66)
    right = _houses(rng, ((5.2, 9.4, cool), (13.0, 15.5, warm), (21.0, 25.0, green), (30.0, 33.0, warm)))
    left = _houses(rng, ((11.5, 15.0, warm), (18.5, 20.5, (1.9, 0.35, 0.30)), (26.0, 30.0, warm)))
    clouds = layered_noise(rng, 256, 1024, 5, 5)
    return StreetMaps(_cobbles(rng), left, right, np.clip(0.5 + 0.28 * clouds, 0, 1).astype(np.float32))
