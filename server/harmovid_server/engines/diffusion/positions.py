"""Position inputs of the transformer: rotary tables or a sinusoidal embedding, made once per shape.

    inputs = positions(manifest.constants["positions"], latents=21, rows=60, columns=90)     # name -> array

They follow the published pipelines (diffusers 0.42, CogVideoX): version 1.0 scales the grid to the size of its
training, 1.5 takes a part of a larger grid, the smallest model adds sines to its tokens.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

THETA = 10000.0
"""Base of the frequencies."""


def positions(spec: Mapping[str, Any], latents: int, rows: int, columns: int) -> Dict[str, Array]:
    """Return the position inputs of a window, float32 by name; empty if the transformer computes them itself.

    Args:
        spec: `kind` "rotary-resized", "rotary-slice", "sinusoidal" or "none", with its numbers (docs/export.md).
        latents, rows, columns: of the window's latents.
    """
    kind = spec["kind"]
    if kind == "none":
        return {}
    deep, tall, wide = spec["patch"]
    grid = (latents // deep, rows // tall, columns // wide)
    if kind == "sinusoidal":
        return {
            "embedding": _sinusoidal(grid, int(spec["width"]), spec["spatial_scale"], spec["temporal_scale"])
        }
    axes = _slice(grid) if kind == "rotary-slice" else _resized(grid, tuple(spec["base"]))
    cosine, sine = _rotary(axes, int(spec["head"]))
    return {"cosine": cosine, "sine": sine}


def _slice(grid: Tuple[int, int, int]) -> Tuple[Array, Array, Array]:
    frames, rows, columns = (np.arange(size, dtype=np.float32) for size in grid)
    return frames, rows, columns


def _resized(grid: Tuple[int, int, int], base: Tuple[int, int]) -> Tuple[Array, Array, Array]:
    """Return the positions along time, height and width of a grid scaled into that of training."""
    frames, rows, columns = grid
    high, wide = base
    if rows / columns > high / wide:
        size = (high, round(high / rows * columns))
    else:
        size = (round(wide / columns * rows), wide)
    places = []
    for count, whole, part in ((rows, high, size[0]), (columns, wide, size[1])):
        start = round((whole - part) / 2.0)
        places.append(np.linspace(start, (start + part) * (count - 1) / count, count, dtype=np.float32))
    return np.arange(frames, dtype=np.float32), places[0], places[1]


def _rotary(axes: Tuple[Array, Array, Array], head: int) -> Tuple[Array, Array]:
    """Return cosine and sine, `(tokens, head)` each: a quarter of a head for time, three eighths for each side."""
    sizes = (head // 4, head // 8 * 3, head // 8 * 3)
    angles = []
    for places, size in zip(axes, sizes):
        frequencies = 1.0 / THETA ** (np.arange(0, size, 2, dtype=np.float32)[: size // 2] / np.float32(size))
        angles.append(np.repeat(np.outer(places, frequencies.astype(np.float32)), 2, axis=1))
    shape = tuple(len(places) for places in axes)
    together = np.concatenate(
        [
            np.broadcast_to(
                angle.reshape(*(len(angle) if axis == i else 1 for i in range(3)), -1),
                (*shape, angle.shape[1]),
            )
            for axis, angle in enumerate(angles)
        ],
        axis=-1,
    ).reshape(-1, sum(sizes))
    return np.cos(together, dtype=np.float32), np.sin(together, dtype=np.float32)


def _sinusoidal(grid: Tuple[int, int, int], width: int, spatial: float, temporal: float) -> Array:
    """Return `(1, tokens, width)`: a quarter for time, then three eighths for each side."""
    frames, rows, columns = grid
    side = 3 * width // 8
    along_x = _sines(np.arange(columns, dtype=np.float32) / np.float32(spatial), side)
    along_y = _sines(np.arange(rows, dtype=np.float32) / np.float32(spatial), side)
    over_time = _sines(np.arange(frames, dtype=np.float32) / np.float32(temporal), width // 4)
    shape = (frames, rows, columns)
    parts = (
        np.broadcast_to(over_time[:, None, None], (*shape, width // 4)),
        np.broadcast_to(along_x[None, None], (*shape, side)),
        np.broadcast_to(along_y[None, :, None], (*shape, side)),
    )
    return np.concatenate(parts, axis=-1).reshape(1, -1, width).astype(np.float32)


def _sines(places: Array, width: int) -> Array:
    frequencies = 1.0 / THETA ** (np.arange(width // 2, dtype=np.float64) / (width / 2.0))
    angles = np.outer(places.astype(np.float64), frequencies)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
