"""Looks from `.cube` files (3D LUTs as people share them), applied in display space, as the paper does.

    luts = read_cubes(Path("luts"))
    graded = apply_cube(frame, luts[0].table)

Linear values get the sRGB curve, are clipped to 0..1, graded by trilinear interpolation, and linearised again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import List

import numpy as np
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_decode, srgb_encode
from harmovid_training.metrics.degrade import Array

LARGEST = 129
"""More points per side than any grading system writes."""


@dataclass(frozen=True)
class Cube:
    """A 3D LUT: `table` is `(N, N, N, 3)` over blue, green, red, display values in and out."""

    name: str
    table: Array


def read_cubes(folder: Path) -> List[Cube]:
    """Return the LUTs of a folder by name.

    Raises:
        InputError: the folder has no LUTs, or a file is not a 3D LUT over 0..1.
    """
    paths = sorted(folder.glob("*.cube")) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder} holds no .cube files.")
    return [read_cube(path) for path in paths]


def read_cube(path: Path) -> Cube:
    """Return one LUT; see `read_cubes`."""
    size, rows = 0, []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "LUT_3D_SIZE" and len(words) == 2 and words[1].isdigit():
            size = int(words[1])
        elif words[0] in ("DOMAIN_MIN", "DOMAIN_MAX"):
            if [float(word) for word in words[1:]] != [float(words[0] == "DOMAIN_MAX")] * 3:
                raise InputError(
                    f"{path} has a domain other than 0 to 1.", fix="Export it for display values."
                )
        elif len(words) == 3 and not words[0][0].isalpha():
            rows.append(words)
    if not 2 <= size <= LARGEST or len(rows) != size**3:
        raise InputError(f"{path} is no 3D LUT: LUT_3D_SIZE {size} with {len(rows)} rows.")
    try:
        table = np.array(rows, np.float32).reshape(size, size, size, 3)
    except ValueError as error:
        raise InputError(f"{path} holds a row that is no three numbers.") from error
    return Cube(path.stem, np.clip(np.nan_to_num(table), 0, 1))


def digest(cubes: List[Cube]) -> str:
    """Return a short hash of the LUTs."""
    joined = hashlib.sha256()
    for cube in cubes:
        joined.update(cube.name.encode() + cube.table.tobytes())
    return joined.hexdigest()[:16]


def apply_cube(light: Array, table: Array) -> Array:
    """Return scene-linear values `(..., 3)` graded in display space by the table of a `Cube`."""
    last = len(table) - 1
    place = np.asarray(srgb_encode(np.clip(light, 0, 1)), np.float32) * np.float32(last)
    base = np.minimum(place.astype(np.int32), last - 1)
    share = place - base
    shown = np.zeros(light.shape, np.float32)
    for corner in range(8):
        step = np.array([corner & 1, corner >> 1 & 1, corner >> 2])
        weight = np.where(step, share, 1 - share).prod(-1)
        red, green, blue = np.moveaxis(base + step, -1, 0)
        shown += weight[..., None] * table[blue, green, red]
    return np.asarray(srgb_decode(np.clip(shown, 0, 1)), np.float32)
