"""Pixels of the stand-in: reads the files of a clip, applies the grade, writes EXR files.

What the grade does: CDL as the ASC says (no clamp, negative values before the power are kept as they are), .cube LUTs
with linear interpolation, and functions that a test puts on a node. There is no colour management but the project's
`colour` function.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import cv2
import numpy as np
import OpenEXR
from fakes.resolve_host import model

COMPRESSIONS = {
    "": OpenEXR.NO_COMPRESSION, "NONE": OpenEXR.NO_COMPRESSION, "RLE": OpenEXR.RLE_COMPRESSION,
    "ZIPS": OpenEXR.ZIPS_COMPRESSION, "ZIP": OpenEXR.ZIP_COMPRESSION, "PIZ": OpenEXR.PIZ_COMPRESSION,
    "DWAA": OpenEXR.DWAA_COMPRESSION, "DWAB": OpenEXR.DWAB_COMPRESSION,
}  # fmt: skip
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709 weights, as the ASC CDL's saturation takes them."""


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


def graded(pixels: np.ndarray, grade: model.Grade, lut_folder: Path) -> np.ndarray:
    """Return RGB pixels after the enabled nodes of a grade, in order; a fourth channel is left alone."""
    rgb, rest = pixels[..., :3].astype(np.float32), pixels[..., 3:]
    for node in grade.nodes:
        if not node.enabled:
            continue
        if node.cdl:
            rgb = _cdl(rgb, node.cdl)
        if node.function is not None:
            rgb = np.asarray(node.function(rgb), np.float32)
        if node.lut:
            rgb = _cube(rgb, lut_folder / node.lut)
    return np.concatenate([rgb, rest], axis=-1)


def _cdl(rgb: np.ndarray, cdl: Dict[str, Tuple[float, ...]]) -> np.ndarray:
    out = rgb * np.array(cdl["Slope"], np.float32) + np.array(cdl["Offset"], np.float32)
    out = np.where(out > 0, np.abs(out) ** np.array(cdl["Power"], np.float32), out)
    luma = (out @ LUMA)[..., None]
    return (luma + np.float32(cdl["Saturation"][0]) * (out - luma)).astype(np.float32)


def _cube(rgb: np.ndarray, path: Path) -> np.ndarray:
    low, high, table = read_cube(path)
    place = np.clip((rgb - low) / (high - low), 0, 1)
    if table.ndim == 2:
        axis = np.linspace(0, 1, len(table))
        return np.stack([np.interp(place[..., c], axis, table[:, c]) for c in range(3)], axis=-1).astype(
            np.float32
        )
    return _trilinear(place * (len(table) - 1), table)


def _trilinear(place: np.ndarray, table: np.ndarray) -> np.ndarray:
    below = np.minimum(place.astype(int), len(table) - 2)
    part = (place - below)[..., None]
    out = np.zeros((*place.shape[:-1], 3), np.float64)
    for corner in range(8):
        step = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        weight = np.prod(np.where(step[:, None], part, 1 - part), axis=-2)
        index = below + step
        out += weight * table[index[..., 0], index[..., 1], index[..., 2]]
    return out.astype(np.float32)


def read_cube(path: Path) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return domain minimum, maximum and table of a .cube file: (n, 3), or (n, n, n, 3) indexed by red, green, blue.

    Raises:
        OSError: there is no such file.
        ValueError: it is no .cube file.
    """
    low, high, size, cube = np.zeros(3), np.ones(3), 0, False
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if not words or words[0] == "TITLE":
            continue
        if words[0] in ("LUT_1D_SIZE", "LUT_3D_SIZE"):
            size, cube = int(words[1]), words[0] == "LUT_3D_SIZE"
        elif words[0] in ("DOMAIN_MIN", "DOMAIN_MAX"):
            values = np.array(words[1:4], float)
            low, high = (values, high) if words[0] == "DOMAIN_MIN" else (low, values)
        elif words[0] in ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE"):
            low, high = np.full(3, float(words[1])), np.full(3, float(words[2]))
        else:
            rows.append([float(each) for each in words])
    table = np.array(rows)
    if table.shape != ((size**3 if cube else size), 3):
        raise ValueError(f"{path} has {table.shape} values, not those of its size {size}")
    if not cube:
        return low, high, table
    return low, high, table.reshape(size, size, size, 3).transpose(2, 1, 0, 3)


def frame_of(
    project: model.Project,
    timeline: model.Timeline,
    record: int,
    size: Tuple[int, int],
    lut_folder: Path,
    grade: bool = True,
    item: Optional[model.Item] = None,
) -> np.ndarray:
    """Return what a timeline shows at a record frame, (height, width, 3 or 4) float32; black where there is nothing.

    Raises:
        OSError: the file of that frame cannot be read.
    """
    shown = item or timeline.top_item(record)
    if shown is None or shown.shown()[0] is None:
        return np.zeros((size[1], size[0], 3), np.float32)
    pixels = item_pixels(timeline, shown, record)
    if grade:
        for each in _grades(shown, timeline):
            pixels = graded(pixels, each, lut_folder)
    rgb = np.asarray(project.colour(pixels[..., :3]), np.float32)
    return fitted(np.concatenate([rgb, pixels[..., 3:]], axis=-1), size)


def item_pixels(timeline: model.Timeline, item: model.Item, record: int) -> np.ndarray:
    """Return the pixels of an item before its grade: its file, through its Fusion comp if it has one.

    Raises:
        OSError: the file of that frame cannot be read.
    """
    clip, _ = item.shown()
    assert clip is not None
    frame = item.source_frame(record)
    if clip.timeline is not None:
        inner = clip.timeline.top_item(frame)
        return item_pixels(clip.timeline, inner, frame) if inner else np.zeros((4, 4, 3), np.float32)
    pixels = read(clip.path(frame))
    for comp in item.comps[:1]:
        pixels = comp.rendered(pixels, frame, record - item.start)
    return pixels


def _grades(item: model.Item, timeline: model.Timeline) -> list:
    group = [item.group.before] if item.group else []
    after = [item.group.after] if item.group else []
    return [*group, item.grade, *after, timeline.nodes]
