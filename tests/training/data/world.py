"""Synthetic data for tests of the training data: scenes with one matte each, and balls as subjects."""

from __future__ import annotations

import numpy as np
from harmovid_training.data.cache import CHOOSE, HEIGHT, MATTES, TEST, TRAIN, WIDTH, Scenes
from harmovid_training.data.figures import COLUMNS, PAINTED, ROWS, Subjects


def scenes(count: int = 16) -> Scenes:
    """Return `count` pictures, every other one a view of one of two panoramas; uses by turns of two."""
    rng = np.random.default_rng(1)
    pictures = 0.2 * np.exp2(rng.normal(0, 1, (count, HEIGHT // 24, WIDTH // 24, 3)))
    mattes = np.zeros((count, MATTES, HEIGHT, WIDTH), np.uint8)
    mattes[:, 0, 40:100, 60:120] = 255
    views = np.arange(count) % 2
    return Scenes(
        pictures=np.kron(pictures, np.ones((1, 24, 24, 1))).astype(np.float16),
        mattes=mattes,
        counts=np.ones(count, np.int64),
        weights=np.ones(count),
        use=np.array([TRAIN, TRAIN, CHOOSE, CHOOSE, TRAIN, TRAIN, TEST, TEST])[np.arange(count) % 8],
        lights=np.exp2(rng.normal(0, 1, (2, 16, 32, 3))).astype(np.float16),
        light_of=np.where(views, np.arange(count) // 2 % 2, -1),
        yaws=rng.uniform(0, 6, count).astype(np.float32),
        gains=np.ones(count, np.float32),
    )


def subjects() -> Subjects:
    """Return two views of a grey ball."""
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    x, y = (columns + 0.5 - COLUMNS / 2) / 34, (ROWS / 2 - rows - 0.5) / 34
    inside = x * x + y * y < 1
    z = -np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
    normals = np.where(inside[..., None], np.stack([x, y, z], -1), 0) * 127
    part = np.where(inside, PAINTED, 0).astype(np.uint8)
    once = (
        normals.astype(np.int8), part, np.full((ROWS, COLUMNS, 3), 128, np.uint8),
        np.zeros((ROWS, COLUMNS, 2), np.uint8), np.full((ROWS, COLUMNS), 255, np.uint8),
    )  # fmt: skip
    return Subjects(*(np.stack([plane, plane]) for plane in once))
