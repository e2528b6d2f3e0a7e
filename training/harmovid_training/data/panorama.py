"""Panoramas as light sources and as plates: perspective views, and small light maps around a camera.

A panorama is `(h, w, 3)` float32 scene-linear, latitude-longitude: row 0 looks up, columns run once around. A camera
looks along +z with x to the right and y up; `yaw` turns it around the vertical axis.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

Array = npt.NDArray[np.float32]

BRIGHTEST = 60000.0
"""Just below the largest half float; in some panoramas the sun is brighter."""
LIGHT_ROWS, LIGHT_COLUMNS = 16, 32
"""Size of the small panorama that lights rendered subjects: cells of 11 degrees."""


def read_panorama(path: Path) -> Array:
    """Return the panorama in `path` (EXR or RGBE), `(h, w, 3)`; `InputError` where it cannot be read."""
    import OpenImageIO

    source = OpenImageIO.ImageInput.open(str(path))
    if source is None:
        raise InputError(
            f"{path} cannot be read: {OpenImageIO.geterror()}.", fix="Fetch it again; see docs/data.md."
        )
    pixels = source.read_image(0, 0, 0, 3, "float")
    source.close()
    if pixels is None:
        raise InputError(f"{path} is damaged.", fix="Fetch it again; see docs/data.md.")
    clean: Array = np.clip(np.nan_to_num(np.asarray(pixels, np.float32)), 0, BRIGHTEST)
    return clean


def view(panorama: Array, yaw: float, pitch: float, fov: float, height: int, width: int) -> Array:
    """Return the view of a camera, `(height, width, 3)`; angles in radians, `fov` is the horizontal one."""
    focal = (width / 2) / np.tan(fov / 2)
    x, y = np.meshgrid(np.arange(width) + 0.5 - width / 2, height / 2 - np.arange(height) - 0.5)
    z = np.full_like(x, focal)
    up = y * np.cos(pitch) + z * np.sin(pitch)
    ahead = z * np.cos(pitch) - y * np.sin(pitch)
    around = (np.arctan2(x, ahead) + yaw) / (2 * np.pi) + 0.5
    down = np.arccos(np.clip(up / np.sqrt(x * x + y * y + z * z), -1, 1)) / np.pi
    rows, columns = panorama.shape[:2]
    # Sampling a panorama that is finer than the view would alias: it is shrunk to the view's pixel size first.
    share = min(1.0, (2 * np.pi * focal) / columns)
    small = cv2.resize(panorama, (int(columns * share), int(rows * share)), interpolation=cv2.INTER_AREA)
    wrapped = np.concatenate([small, small[:, :2]], axis=1)
    map_x = (around % 1.0) * small.shape[1] - 0.5
    map_y = down * small.shape[0] - 0.5
    seen = cv2.remap(
        wrapped,
        np.maximum(map_x, 0).astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(seen, np.float32)


def light(panorama: Array) -> Array:
    """Return the light map `(LIGHT_ROWS, LIGHT_COLUMNS, 3)` around a camera at yaw 0.

    Cells hold mean radiance; the camera looks at the middle column.
    """
    small = cv2.resize(panorama, (LIGHT_COLUMNS, LIGHT_ROWS), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def light_directions() -> tuple[Array, Array]:
    """Return unit directions `(LIGHT_ROWS, LIGHT_COLUMNS, 3)` of a light map's cells, and their solid angles."""
    down = (np.arange(LIGHT_ROWS) + 0.5) / LIGHT_ROWS * np.pi
    around = ((np.arange(LIGHT_COLUMNS) + 0.5) / LIGHT_COLUMNS - 0.5) * 2 * np.pi
    sine = np.sin(down)[:, None]
    x, z = sine * np.sin(around), sine * np.cos(around)
    y = np.repeat(np.cos(down)[:, None], LIGHT_COLUMNS, axis=1)
    solid = np.repeat(sine * (np.pi / LIGHT_ROWS) * (2 * np.pi / LIGHT_COLUMNS), LIGHT_COLUMNS, axis=1)
    return np.stack([x, y, z], axis=-1).astype(np.float32), solid.astype(np.float32)
