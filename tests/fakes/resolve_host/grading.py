"""What a grade does to pixels: CDL as the ASC says (no clamp; values below zero before the power stay as they are),
.cube LUTs with linear interpolation, and functions that a test puts on a node."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Tuple

import numpy as np
from fakes.resolve_host import model

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Rec. 709 weights, as the ASC CDL's saturation takes them."""


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
