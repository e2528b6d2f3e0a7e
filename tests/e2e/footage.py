"""Real footage as scene-linear EXR, converted on the fly for tests: JPEG sequences with masks, and videos.

The footage is display-referred; the inverse sRGB curve is an approximation of its light, enough to test that frames
come back and flicker falls. It is not a camera's response, and only tests should use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels import exr

Picture = npt.NDArray[np.uint8]


def linear(picture: Picture) -> npt.NDArray[np.float32]:
    """Return 8 bit sRGB pictures as linear light (IEC 61966-2-1)."""
    value = picture.astype(np.float32) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def stills(folder: Path, count: int, width: int) -> Iterator[Picture]:
    """Yield the first pictures of a folder as RGB (masks: as they are), made `width` pixels wide."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    for path in paths[:count]:
        yield _narrow(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1], width)


def video(path: Path, first: int, count: int, width: int) -> Iterator[Picture]:
    """Yield `count` frames of a video from `first` on as RGB, made `width` pixels wide."""
    film = cv2.VideoCapture(str(path))
    try:
        for index in range(first + count):
            there, picture = film.read()
            if not there:
                return
            if index >= first:
                yield _narrow(picture[..., ::-1], width)
    finally:
        film.release()


def _narrow(picture: npt.NDArray[Any], width: int) -> Picture:
    height = round(picture.shape[0] * width / picture.shape[1])
    return cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=cv2.INTER_AREA)


def write_plate(folder: Path, name: str, pictures: Iterable[Picture], first: int = 1001) -> str:
    """Write pictures as half float linear EXR and return their pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, picture in enumerate(pictures, start=first):
        light = linear(picture)
        _write(folder / f"{name}.{frame:04d}.exr", {c: light[..., k] for k, c in enumerate("RGB")})
    return str(folder / f"{name}.####.exr")


def write_foreground(
    folder: Path, name: str, pictures: Iterable[Picture], masks: Iterable[Picture], first: int = 1001
) -> str:
    """Write pictures cut out by their masks: premultiplied RGBA, a depth in float, ids in unsigned integers."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, (picture, mask) in enumerate(zip(pictures, masks), start=first):
        alpha = cv2.GaussianBlur((mask.max(axis=-1) > 0).astype(np.float32), (0, 0), 1.0)
        light = linear(picture) * alpha[..., None]
        channels: dict[str, npt.NDArray[Any]] = {c: light[..., k] for k, c in enumerate("RGB")}
        channels["A"] = alpha
        channels["depth.Z"] = np.linspace(1, 9, alpha.size, dtype=np.float32).reshape(alpha.shape)
        channels["id"] = (alpha > 0.5).astype(np.uint32) * 70001
        _write(folder / f"{name}.{frame:04d}.exr", channels)
    return str(folder / f"{name}.####.exr")


def _write(path: Path, channels: dict[str, npt.NDArray[Any]]) -> None:
    height, width = next(iter(channels.values())).shape
    halves = {
        name: plane.astype(np.float16) if name in "RGBA" else np.ascontiguousarray(plane)
        for name, plane in channels.items()
    }
    exr.write(exr.make_frame(exr.PartHeader.make((0, 0, width, height)), halves), path)
