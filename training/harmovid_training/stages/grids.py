"""Validation pictures: rows of clips, columns of frames, as one image for TensorBoard or a PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels.colour.model_space import MID_GREY
from harmovid.pixels.colour.srgb import srgb_encode
from harmovid.storage.atomic import replacing

from harmovid_training.models.space import ACESCCT, decode
from harmovid_training.stages.pairs import Float32

COLUMNS = 5
GAP_PX = 2


def shown(pictures: Float32, space: str = ACESCCT) -> Float32:
    """Return display values in 0..1 of pictures in the VAE's range, exposed with the anchor at mid grey."""
    return np.clip(srgb_encode(decode(pictures, MID_GREY, space)), 0, 1).astype(np.float32)


def save_picture(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write `(h, w, 3)` as PNG, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, keep_suffix=True) as part:
        cv2.imwrite(part, picture[..., ::-1])


def grid(rows: list[Float32], space: str = ACESCCT) -> npt.NDArray[np.uint8]:
    """Return `(h, w, 3)`: for each clip `(T, H, W, 3)` in the VAE's range a row of `COLUMNS` frames, evenly spread."""
    made = []
    for clip in rows:
        picked = np.linspace(0, len(clip) - 1, min(COLUMNS, len(clip))).round().astype(int)
        frames = [np.pad(shown(clip[index], space), ((0, GAP_PX), (0, GAP_PX), (0, 0))) for index in picked]
        made.append(np.concatenate(frames, axis=1))
    return (np.concatenate(made) * 255).round().astype(np.uint8)
