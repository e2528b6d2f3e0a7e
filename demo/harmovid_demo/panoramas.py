"""The shot's two light rigs as panoramas: what a fisheye or a mirror ball at the figure's place would have seen.

Latitude-longitude as `harmovid harmonize --light-from` takes them: row 0 looks up, the middle column along the world's
-z, which is about where the camera looks. A surface receives the light of the renderer's lamps without their shadows;
the ambient light is the nearest one that a panorama can give.
"""

from __future__ import annotations

import math

import numpy as np

from harmovid_demo.jit import Floats, Image
from harmovid_demo.lights import rigs
from harmovid_demo.shading import panel

ROWS, COLUMNS = 128, 256
HORIZON = 0.35  # sine of the height at which the horizon's colour has given way to the sky's or the ground's


def panoramas() -> tuple[Image, Image]:
    """Return the light of the stage and of the street, `(ROWS, COLUMNS, 3)` float32 scene-linear."""
    lights, skies = rigs()
    stage, street = (_panorama(lamps, sky) for lamps, sky in zip(lights, skies))
    return stage, street


def _panorama(lamps: Floats, sky: Floats) -> Image:
    down = (np.arange(ROWS) + 0.5) / ROWS * math.pi
    around = ((np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5) * 2 * math.pi
    across, y = np.sin(down)[:, None], np.cos(down)[:, None]
    x, z = across * np.sin(around), -across * np.cos(around)
    solid = across * (math.pi / ROWS) * (2 * math.pi / COLUMNS)  # angle that a pixel covers, steradians
    height = np.clip(y / HORIZON, -1, 1)[..., None]
    light = sky[0] * np.maximum(height, 0) + sky[1] * (1 - abs(height)) + sky[2] * np.maximum(-height, 0)
    light = np.repeat(light, COLUMNS, axis=1)
    directions = np.stack(np.broadcast_arrays(x, y, z), axis=-1).reshape(-1, 3)
    for lamp in lamps:
        seen = np.array([panel(lamp, *direction) for direction in directions]).reshape(ROWS, COLUMNS, 1)
        # A matt white surface that faces the lamp shows the lamp's colour.
        light += seen * lamp[3:6] * (math.pi / float((seen[..., 0] * solid).sum()))
    return light.astype(np.float32)
