"""What the harmonizer keeps of a frame: a small picture around the subject, the matte, and the subject's box."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import EngineFailed

from harmovid_server.engines.base import ProxyFrame
from harmovid_server.engines.harmonize import cuts

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

ENOUGH_PX = 100.0
"""A frame with less foreground or plate, in pixels of the picture, is not used."""
DEVIATIONS = 2.0
"""The subject's box extends by this many standard deviations of the matte to each side, as in training."""
REACH, NEAREST = 2.0, 0.35
"""How much larger than the subject's box the picture is, and its smallest height as a share of the frame's."""
THIN = 0.05
"""Pixels with a matte below this count as plate when the exposure is measured."""


@dataclass(frozen=True)
class FrameFeatures:
    """The features of one frame.

    Attributes:
        number: the frame number. frame: the display window in plate pixels.
        picture: `(h, w, 3)` the composite around the subject, scene-linear.
        matte, seen: `(h, w)` foreground; plate that counts.
        window: `(4,)` x0, y0, x1, y1 of the picture as shares of the frame. box: `(4,)` the subject's, as shares of the
            picture.
        signature: of the whole frame, to detect cuts (`cuts.signature`).
        sides, shading: from the normals (`shading.Shading`): `(h, w, 2)`; `(3,)` weight, then slopes; empty without.
        compared: `(14,)` the comparison with the source plate (`source.Comparison`): pairs, then map; `(0,)` without.
    """

    number: int
    frame: Tuple[int, int, int, int]
    picture: Float32
    matte: Float32
    seen: Float32
    window: Float32
    box: Float32
    signature: Float32
    compared: Float64 = field(default_factory=lambda: np.zeros(0))
    sides: Float32 = field(default_factory=lambda: np.zeros(0, np.float32))
    shading: Float64 = field(default_factory=lambda: np.zeros(0))

    @property
    def says_something(self) -> bool:
        """Whether there is enough of both foreground and plate."""
        behind = float((self.seen * (1 - self.matte)).sum())
        return float(self.matte.sum()) >= ENOUGH_PX and behind >= ENOUGH_PX

    @property
    def plate(self) -> Float32:
        """The picture with everything but the plate set to black, for `exposure_anchor`."""
        counted = (self.seen > 0.5) & (self.matte < THIN)
        return np.where(counted[..., None], self.picture, np.float32(0))

    @property
    def box_in_frame(self) -> Float32:
        """The subject's box `(4,)` as shares of the frame."""
        start, size = self.window[:2], self.window[2:] - self.window[:2]
        return np.concatenate([start + self.box[:2] * size, start + self.box[2:] * size])


def extract_features(frame: ProxyFrame, size: Tuple[int, int]) -> FrameFeatures:
    """Return the features of a frame; `size` is the picture's (rows, columns).

    Raises:
        EngineFailed: there is no matte.
    """
    matte = frame.mattes.get("matte")
    if matte is None:
        raise EngineFailed("harmonize needs a matte.", fix="Give one, or a foreground with alpha.")
    bg, fg = frame.images["bg"], frame.images["fg"]
    composite = fg - bg
    composite *= cv2.merge([matte] * 3)  # faster than a product over a last axis of one
    composite += bg
    seen = seen_plate(frame)
    top, left, bottom, right = _pixels(crop_window(subject_box(matte), matte.shape, size), matte.shape)
    picture, small_matte, small_seen = (
        resized(plane[top:bottom, left:right], size) for plane in (composite, matte, seen)
    )
    rows, columns = matte.shape
    window = np.array([left / columns, top / rows, right / columns, bottom / rows], np.float32)
    return FrameFeatures(
        frame.number, frame.box, picture, small_matte, small_seen, window, subject_box(halved(small_matte)),
        cuts.signature(composite),
    )  # fmt: skip


def without_pictures(seen: FrameFeatures) -> FrameFeatures:
    """Return a frame that can be answered but not measured, of a few kB; `says_something` stays as it is."""
    matte = np.array([[seen.matte.sum(), 0]], np.float32)
    behind = np.array([[0, (seen.seen * (1 - seen.matte)).sum()]], np.float32)
    return replace(seen, picture=np.zeros((1, 2, 3), np.float32), matte=matte, seen=behind)


def seen_plate(frame: ProxyFrame) -> Float32:
    """Return `(h, w)` which part of the plate counts; outside its data window pixels are black and are no light."""
    seen = lit(frame.images["bg"])
    return np.asarray(seen * frame.mattes.get("measure_mask", np.float32(1)), np.float32)


def lit(picture: Float32) -> Float32:
    """Return `(h, w)`: 1 where a picture has light in any channel."""
    r, g, b = cv2.split(picture)
    # Faster than a maximum over the last axis.
    return np.asarray(np.maximum(np.maximum(r, g), b) > 0, np.float32)


def subject_box(matte: Float32) -> Float32:
    """Return `(4,)` float32: the box around the matte's middle, in shares of the picture."""
    h, w = matte.shape
    total = max(float(matte.sum()), 1e-3)
    rows, columns = (np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w
    along_y, along_x = matte.sum(axis=1), matte.sum(axis=0)
    y, x = float(along_y @ rows) / total, float(along_x @ columns) / total
    dy = DEVIATIONS * max(float(along_y @ rows**2) / total - y * y, 1e-4) ** 0.5
    dx = DEVIATIONS * max(float(along_x @ columns**2) / total - x * x, 1e-4) ** 0.5
    return np.array([x - dx, y - dy, x + dx, y + dy], np.float32)


def crop_window(box: Float32, shape: Tuple[int, ...], size: Tuple[int, int]) -> Float64:
    """Return the crop `(4,)` x0, y0, x1, y1 in shares of a frame of `shape` (rows, columns) around a subject's `box`.

    It is `REACH` times as large as the box, with the aspect ratio of `size` if the frame allows, and inside the frame.
    """
    frame = shape[1] / shape[0] / (size[1] / size[0])
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * REACH
    tall = max(float(half[1]), float(half[0]) * frame, NEAREST / 2)
    half = np.minimum(np.array([tall / frame, tall]), 0.5)
    middle = np.clip(middle, half, 1 - half)
    return np.concatenate([middle - half, middle + half])


def halved(plane: Float32) -> Float32:
    """Return a plane or picture at half its size: means of 2 x 2 pixels."""
    size = plane.shape[1] // 2, plane.shape[0] // 2
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _pixels(window: Float64, shape: Tuple[int, ...]) -> Tuple[int, int, int, int]:
    """Return top, left, bottom, right of a window in whole pixels of a frame of `shape`."""
    rows, columns = shape[:2]
    left, top, right, bottom = (round(float(edge)) for edge in window * [columns, rows, columns, rows])
    return top, left, max(bottom, top + 1), max(right, left + 1)


def resized(plane: npt.NDArray[Any], size: Tuple[int, int]) -> Float32:
    """Return a plane or picture at `size` (rows, columns): averaged where it becomes smaller, else interpolated."""
    smaller = plane.shape[0] * plane.shape[1] > size[0] * size[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(plane, size[::-1], interpolation=method), np.float32)
