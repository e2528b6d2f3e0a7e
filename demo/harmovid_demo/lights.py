"""The shot's two light rigs: the stage where the figure was filmed (A) and the dusk street of the plate (B).

A rig is three lights and an ambient sky, as the kernels of `solids` and `fur` take them. Colours are
scene-linear with Rec.709 primaries; 1.0 is a white card at the exposure of the plate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from harmovid_demo.jit import Floats
from harmovid_demo.solids import LIGHT_COLUMNS

STREET = 1  # row of the plate's light in the stacked rigs; row 0 is the stage


class Light(NamedTuple):
    """One light: where it stands seen from the figure, its colour, its panel's half size and its shadow's
    edge."""

    towards: tuple[float, float, float]
    colour: tuple[float, float, float]
    size: tuple[float, float]
    shadow: float  # penumbra sharpness, about 1 / tan(half the angle); 0 casts none


# A warm tungsten key through a large frame from the left, a weak fill, a hard warm kicker from behind.
STAGE_LIGHTS = (
    Light((-0.78, 0.52, 0.55), (2.55, 1.62, 0.78), (0.34, 0.42), 5.0),
    Light((0.85, 0.10, 0.60), (0.20, 0.15, 0.10), (0.60, 0.60), 0.0),
    Light((-0.35, 0.70, -0.85), (2.3, 1.7, 1.0), (0.12, 0.12), 10.0),
)
STAGE_SKY = ((0.16, 0.12, 0.085), (0.085, 0.062, 0.043), (0.075, 0.05, 0.032))

# Dusk: a cool shop window from the right, a sodium lamp behind to the left, the blue sky over everything.
STREET_LIGHTS = (
    Light((0.88, 0.24, 0.42), (0.60, 0.86, 1.12), (0.50, 0.34), 3.5),
    Light((-0.60, 0.45, -0.66), (1.45, 0.72, 0.22), (0.10, 0.10), 9.0),
    Light((0.50, 0.55, -0.70), (0.62, 0.78, 1.02), (0.40, 0.20), 4.0),
)
STREET_SKY = ((0.115, 0.16, 0.25), (0.085, 0.085, 0.115), (0.035, 0.036, 0.042))


def rigs() -> tuple[Floats, Floats]:
    """Return the stacked rigs: lights `(2, 3, LIGHT_COLUMNS)` and skies `(2, 3, 3)`, stage first."""
    table = np.zeros((2, 3, LIGHT_COLUMNS))
    for rig, lights in enumerate((STAGE_LIGHTS, STREET_LIGHTS)):
        for row, light in enumerate(lights):
            towards = np.array(light.towards)
            table[rig, row] = [*(towards / np.linalg.norm(towards)), *light.colour, *light.size, light.shadow]
    return table, np.array([STAGE_SKY, STREET_SKY])
