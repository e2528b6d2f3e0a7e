"""Picture files of the stand-in: reads the files of a clip, fits them into a frame, writes EXR files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Sequence, Tuple

import cv2
import numpy as np
import OpenEXR

if TYPE_CHECKING:
    from fakes.resolve_host import model

COMPRESSIONS = {
    "": OpenEXR.NO_COMPRESSION, "NONE": OpenEXR.NO_COMPRESSION, "RLE": OpenEXR.RLE_COMPRESSION,
    "ZIPS": OpenEXR.ZIPS_COMPRESSION, "ZIP": OpenEXR.ZIP_COMPRESSION, "PIZ": OpenEXR.PIZ_COMPRESSION,
    "DWAA": OpenEXR.DWAA_COMPRESSION, "DWAB": OpenEXR.DWAB_COMPRESSION,
}  # fmt: skip
RGBA = ("R", "G", "B", "A")


def read(path: str, names: Sequence[str] = RGBA) -> np.ndarray:
    """Return a file as (height, width, 3 or 4) float32 over its display window.

    Args:
        path: the file.
        names: which channels of an EXR are red, green, blue and alpha; an alpha that it lacks is left out.

    Raises:
        OSError: there is no such file, it is no picture, or it lacks a channel.
    """
    if not path.lower().endswith(".exr"):
        pixels = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise OSError(f"{path} is no picture")
        return pixels[..., ::-1].astype(np.float32) / np.iinfo(pixels.dtype).max
    try:
        with OpenEXR.File(path, separate_channels=True) as file:
            header = dict(file.header())
            planes = {name: np.array(channel.pixels, np.float32) for name, channel in file.channels().items()}
    except Exception as error:
        raise OSError(f"{path} cannot be read: {error}") from error
    wanted = [name for name in names if name in planes or name not in names[3:]]
    if not set(wanted) <= set(planes):
        raise OSError(f"{path} has the channels {sorted(planes)}, not {wanted}")
    data = np.stack([planes[name] for name in wanted], axis=-1)
    return _over_display(data, header)


def first_layer(path: str) -> Sequence[str]:
    """Return the channels of the layer without a name, or else of the first one by name.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with OpenEXR.File(path, separate_channels=True) as file:
            names = sorted(file.channels())
    except Exception as error:
        raise OSError(f"{path} cannot be read: {error}") from error
    layer = min((name.rpartition(".")[0] for name in names), default="")
    return [f"{layer}.{name}" if layer else name for name in RGBA]


def _over_display(data: np.ndarray, header: Dict[str, Any]) -> np.ndarray:
    (dx0, dy0), (dx1, dy1) = header["displayWindow"]
    (x0, y0), (x1, y1) = header["dataWindow"]
    if (x0, y0, x1, y1) == (dx0, dy0, dx1, dy1):
        return data
    whole = np.zeros((dy1 - dy0 + 1, dx1 - dx0 + 1, data.shape[-1]), np.float32)
    left, top, right, bottom = max(x0, dx0), max(y0, dy0), min(x1, dx1), min(y1, dy1)
    if left <= right and top <= bottom:
        whole[top - dy0 : bottom - dy0 + 1, left - dx0 : right - dx0 + 1] = data[
            top - y0 : bottom - y0 + 1, left - x0 : right - x0 + 1
        ]
    return whole


def size_of(path: str) -> Tuple[int, int]:
    """Return width and height of a file's picture.

    Raises:
        OSError: there is no such file, or it is no picture.
    """
    height, width = read(path).shape[:2]
    return width, height


def write(path: str, pixels: np.ndarray, half: bool, compression: str, attributes: Dict[str, Any]) -> None:
    """Write (height, width, 3 or 4) pixels as an EXR file, straight to its name: Resolve writes no temporary one."""
    kind = np.float16 if half else np.float32
    with np.errstate(over="ignore"):
        channels = {
            name: np.ascontiguousarray(pixels[..., i]).astype(kind)
            for i, name in enumerate("RGBA"[: pixels.shape[-1]])
        }
    header = {"compression": COMPRESSIONS[compression], "type": OpenEXR.scanlineimage, **attributes}
    with OpenEXR.File(header, channels) as file:
        file.write(path)


def cut_in_half(path: str) -> None:
    """Leave the first half of a file's bytes."""
    os.truncate(path, os.path.getsize(path) // 2)


def fitted(pixels: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Return pixels in a frame of that size: as they are where they fit, else scaled to fit with black bars."""
    width, height = size
    if pixels.shape[:2] == (height, width):
        return pixels
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    inner = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, inner, interpolation=cv2.INTER_LINEAR).reshape(inner[1], inner[0], -1)
    frame = np.zeros((height, width, pixels.shape[-1]), np.float32)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    frame[top : top + inner[1], left : left + inner[0]] = small
    return frame


def frame_of(
    project: model.Project, timeline: model.Timeline, record: int, size: Tuple[int, int], lut_folder: Path
) -> np.ndarray:
    """Return what a timeline shows at a record frame, graded and sized: what the viewer has.

    Raises:
        OSError: the file of that frame cannot be read.
    """
    from fakes.resolve_host import composing

    return composing.frame_of(project, timeline, record, composing.Look(lut_folder, size))
