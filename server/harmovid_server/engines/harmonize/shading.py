"""The foreground's own shading, measured by its normals and partly evened out.

The normals of a foreground show how it is lit: a key light from the left brightens what faces left. Where the plate's
light comes from cannot be told from the plate's picture (docs/log.md), so the best guess is the light that places have
on average, and the answer moves the foreground's shading part of the way there: from left to right, where places have
no preference, and from the edges to the middle of the subject. From top to bottom it stays, because clothes and hair
differ there as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from harmovid_server.engines.base import ProxyFrame
from harmovid_server.engines.harmonize.light import NORMALS, UNIT, extended

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

USUAL = np.array([0.0, 0.4])
"""Stops by which light usually grows over one unit of a normal's x (right) and z (towards the camera): means over 616
views of panoramas."""
SHARES = {"cautious": 0.25, "expected": 0.5, "bold": 0.75}
"""By variant: how far the shading moves to the usual one."""
PIXELS = 512
"""At most about this many pixels are measured."""
FIRM = 0.04
"""Ridge of the slopes, per pixel."""
ROUNDS, STRAY_STOPS = 4, 0.7
"""Rounds of the robust fit, and the distance in stops at which a pixel counts half: paint is no shading."""
LIMIT_STOPS = 2.0
ENOUGH_PX = 30
NO_LIGHT = np.float32(2.0**-16)


@dataclass(frozen=True)
class Shading:
    """What one frame says about the shading.

    Attributes:
        sides: `(h / 2, w / 2, 2)` x and z of the subject's normals less their means, extended beyond its edge.
        weight: number of pixels measured. slopes: `(2,)` stops per unit of x and of z.
    """

    sides: Float32
    weight: float
    slopes: Float64


def measure_shading(frame: ProxyFrame) -> Shading:
    """Return the shading of a frame with normals and a matte."""
    normals = frame.images[NORMALS]
    length = np.sqrt(np.einsum("hwc,hwc->hw", normals, normals))
    matte = np.where(length > UNIT, frame.mattes["matte"], np.float32(0))
    size = (-(-matte.shape[1] // 2), -(-matte.shape[0] // 2))
    rows, columns = np.nonzero(matte > UNIT)
    if len(rows) < ENOUGH_PX:
        return Shading(np.zeros((size[1], size[0], 2), np.float32), 0.0, np.zeros(2))
    unit = normals / np.maximum(length, UNIT)[..., None]
    thin = slice(None, None, 1 + len(rows) // PIXELS)
    rows, columns = rows[thin], columns[thin]
    seen = unit[rows, columns].astype(np.float64)
    level = np.log2(np.maximum(frame.images["fg"][rows, columns].mean(axis=1), NO_LIGHT)).astype(np.float64)
    slopes = _slopes(seen - seen.mean(axis=0), level - level.mean())
    centred = (unit - seen.mean(axis=0).astype(np.float32))[..., [0, 2]]
    sides = cv2.resize(extended(centred, matte, np.zeros(2)), size, interpolation=cv2.INTER_AREA)
    return Shading(np.asarray(sides, np.float32), float(len(rows)), slopes[[0, 2]])


def even(slopes: Float64, variant: str) -> Float64:
    """Return the change of slopes `(2,)`, in stops per unit of x and of z, that moves them towards the usual ones."""
    return (USUAL - slopes) * SHARES[variant]


def stops_of(sides: Float32, slopes: Float64) -> Float32:
    """Return the stops `(h / 2, w / 2, 3)` of a change of slopes."""
    stops = np.clip(sides @ slopes.astype(np.float32), -LIMIT_STOPS, LIMIT_STOPS)
    return np.repeat(stops[..., None], 3, axis=2).astype(np.float32)


def _slopes(sides: Float64, level: Float64) -> Float64:
    """Return stops per unit `(3,)` of centred normals `(n, 3)` that explain centred levels `(n,)`, robustly."""
    weight = np.ones(len(level))
    for _ in range(ROUNDS):
        normal = (sides * weight[:, None]).T @ sides / len(level) + FIRM * np.eye(3)
        slopes = np.linalg.solve(normal, (sides * weight[:, None]).T @ level / len(level))
        weight = 1 / (1 + ((level - sides @ slopes) / STRAY_STOPS) ** 2)
    return np.asarray(slopes, np.float64)
