"""A contact sheet with one row per clip: the middle frames of composite, results and truth."""

from __future__ import annotations

from pathlib import Path
from typing import List

import cv2
import numpy as np
from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.quality import view

HEIGHT_PX = 180
COLUMNS = ("composite", "oracle gain", "ours", "truth")


class Sheet:
    """Collects rows; `write` makes a PNG."""

    def __init__(self) -> None:
        self._rows: List[List[Array]] = []

    def add(self, *clips: Array) -> None:
        """Add a row: the middle frames of clips `(T, H, W, 3)`, in the order of `COLUMNS`."""
        self._rows.append([_shown(clip[len(clip) // 2]) for clip in clips])

    def write(self, path: Path) -> None:
        """Write the sheet, two clips side by side, under a temporary name first."""
        width = max(row[0].shape[1] for row in self._rows)
        even = [np.concatenate([_wide(cell, width) for cell in row], axis=1) for row in self._rows]
        halves = even[: (len(even) + 1) // 2], even[(len(even) + 1) // 2 :]
        blank = np.zeros_like(even[0])
        columns = [
            np.concatenate([*half, *[blank] * (len(halves[0]) - len(half))]) for half in halves if half
        ]
        sheet = cv2.cvtColor((np.concatenate(columns, axis=1) * 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
        partial = path.with_suffix(".partial.png")
        cv2.imwrite(str(partial), sheet)
        partial.replace(path)


def _shown(frame: Array) -> Array:
    height, width = frame.shape[:2]
    size = (round(width * HEIGHT_PX / height), HEIGHT_PX)
    return np.asarray(cv2.resize(view(frame), size, interpolation=cv2.INTER_AREA), np.float32)


def _wide(cell: Array, width: int) -> Array:
    return np.pad(cell, ((0, 0), (0, width - cell.shape[1]), (0, 0)))
