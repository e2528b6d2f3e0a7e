"""What the harmonizer keeps of a frame: a small composite, where the foreground is, and its box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import EngineFailed

from harmovid_server.engines.base import ProxyFrame

Float32 = npt.NDArray[np.float32]

ENOUGH_PX = 14.0
"""With less foreground or plate, in pixels of the small picture, a frame says nothing."""
STEP = 8
"""Sides of the small picture are multiples of this."""
DEVIATIONS = 2.0
"""The subject's box reaches this many deviations of the matte to each side, as in training."""
THIN = 0.05
"""What the matte covers by less than this counts as plate when the exposure is measured."""


@dataclass(frozen=True)
class Look:
    """One frame, small.

    Attributes:
        number: as the user counts. frame: the display window in plate pixels.
        picture: `(h, w, 3)` the composite, scene-linear. matte, seen: `(h, w)` foreground; plate that counts.
        box: `(4,)` the subject's x0, y0, x1, y1 as shares of the frame.
    """

    number: int
    frame: Tuple[int, int, int, int]
    picture: Float32
    matte: Float32
    seen: Float32
    box: Float32

    @property
    def says_something(self) -> bool:
        """Whether there is enough of both foreground and plate."""
        behind = float((self.seen * (1 - self.matte)).sum())
        return float(self.matte.sum()) >= ENOUGH_PX and behind >= ENOUGH_PX

    @property
    def plate(self) -> Float32:
        """The picture with everything black that is not the plate, for `exposure_anchor`."""
        counted = (self.seen > 0.5) & (self.matte < THIN)
        return np.where(counted[..., None], self.picture, np.float32(0))


def look(frame: ProxyFrame, pixels: int) -> Look:
    """Return the small picture of a frame, about `pixels` large; `EngineFailed` without a matte."""
    matte = frame.mattes.get("matte")
    if matte is None:
        raise EngineFailed("harmonize needs a matte.", fix="Give one, or a foreground with alpha.")
    bg, fg = frame.images["bg"], frame.images["fg"]
    share = matte[..., None]
    composite = bg + (fg - bg) * share
    # What lies outside the plate's data window reads as black and says nothing of its light.
    seen = (bg.max(axis=2) > 0).astype(np.float32)
    if "measure_mask" in frame.mattes:
        seen = seen * frame.mattes["measure_mask"]
    size = _size(composite.shape[0], composite.shape[1], pixels)
    picture, small_matte, small_seen = (
        np.ascontiguousarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
        for plane in (composite.astype(np.float32), matte, seen)
    )
    return Look(frame.number, frame.box, picture, small_matte, small_seen, subject_box(small_matte))


def subject_box(matte: Float32) -> Float32:
    """Return `(4,)` float32: the box around the matte's middle, in shares of the frame."""
    h, w = matte.shape
    total = max(float(matte.sum()), 1e-3)
    rows, columns = (np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w
    along_y, along_x = matte.sum(axis=1), matte.sum(axis=0)
    y, x = float(along_y @ rows) / total, float(along_x @ columns) / total
    dy = DEVIATIONS * max(float(along_y @ rows**2) / total - y * y, 1e-4) ** 0.5
    dx = DEVIATIONS * max(float(along_x @ columns**2) / total - x * x, 1e-4) ** 0.5
    return np.array([x - dx, y - dy, x + dx, y + dy], np.float32)


def _size(height: int, width: int, pixels: int) -> Tuple[int, int]:
    """Return (width, height) of the small picture: the frame's shape, about `pixels` large."""
    tall = (pixels * height / width) ** 0.5
    rows = max(STEP, round(tall / STEP) * STEP)
    return max(STEP, round(pixels / rows / STEP) * STEP), rows
