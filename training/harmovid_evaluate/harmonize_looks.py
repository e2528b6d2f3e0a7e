"""Looks for a clip's foreground that a harmonizer should remove: mild, strong and creative. For evaluation only.

    wrong = LOOKS["strong"](truth, np.random.default_rng(5))

One look holds for the whole clip (the paper's uniform test). This code is separate from the looks that the network is
trained on (`harmovid_training.data.looks`), so that the network cannot have learned its particular form.
"""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict

import numpy as np
import numpy.typing as npt
from harmovid_training.metrics.degrade import LUMA, Array, to_stops

EXPOSURE_STOPS, BALANCE_STOPS = 0.6, 0.25
SATURATION, CONTRAST, CROSSTALK = 0.2, 0.12, 0.05
BUMP_STOPS, CUBE_STOPS = 0.15, 0.12
"""Standard deviations of the parts of a mild look; a strong one has twice as much of each."""
CUBE = 5
CUBE_LOW, CUBE_HIGH = -8.0, 3.0
GAMMA = 2.4

Look = Callable[[Array, np.random.Generator], Array]


def graded(clip: Array, rng: np.random.Generator, amount: float) -> Array:
    """Return `(T, H, W, 3)` light with exposure, balance, saturation, contrast, crosstalk, bumps and a small cube.

    Args:
        amount: 1 is mild, 2 strong.
    """
    exposure = rng.normal(0, EXPOSURE_STOPS) * amount
    balance = rng.normal(0, BALANCE_STOPS, 3) * amount
    matrix = np.eye(3) + rng.normal(0, CROSSTALK, (3, 3)) * amount
    saturation = np.exp(rng.normal(0, SATURATION) * amount)
    slope = np.exp(rng.normal(0, CONTRAST) * amount) - 1
    bumps = [(rng.uniform(-5, 2), rng.uniform(1, 2), rng.normal(0, BUMP_STOPS, 3) * amount) for _ in range(3)]
    cube = rng.normal(0, CUBE_STOPS, (CUBE, CUBE, CUBE, 3)) * amount
    mixed = np.maximum(clip @ (matrix / matrix.sum(1, keepdims=True)).T.astype(np.float32), 0)
    grey = (mixed @ LUMA)[..., None]
    mixed = np.maximum(grey + (mixed - grey) * np.float32(saturation), 0)
    y = to_stops(mixed)
    stops = exposure + balance - balance @ LUMA + slope * y
    for centre, width, height in bumps:
        stops = stops + height * np.exp(-0.5 * ((y - centre) / width) ** 2)
    result: Array = (mixed * np.exp2(stops + _read_cube(cube, y))).astype(np.float32)
    return result


def creative(clip: Array, rng: np.random.Generator) -> Array:
    """Return light graded as a creative display LUT would: balance, split tones, S-curve, matrix, clip and crush.

    It replaces shared `.cube` files, none of which can be shipped: a matrix, lift, gamma and gain per channel, tinted
    shadows and highlights, a curve, faded or crushed blacks, all in display values between 0 and 1.
    """
    exposed = clip * np.float32(2 ** rng.normal(0, 0.6))
    shown = np.clip(exposed, 0, 1) ** (1 / GAMMA)
    matrix = np.eye(3) + rng.normal(0, 0.1, (3, 3))
    shown = np.clip(shown @ (matrix / matrix.sum(1, keepdims=True)).T, 0, 1)
    shown = shown ** np.exp(rng.normal(0, 0.22) + rng.normal(0, 0.1, 3))
    grey = (shown @ LUMA)[..., None]
    shown = grey + (shown - grey) * np.exp(rng.normal(-0.1, 0.45))
    steep = rng.uniform(0, 1.6)
    shown = shown + steep * shown * (1 - shown) * (2 * shown - 1)
    shown = shown + rng.normal(0, 0.08, 3) * (1 - grey) ** 2 + rng.normal(0, 0.08, 3) * grey**2
    black, white = rng.uniform(-0.08, 0.1), rng.uniform(0.8, 1.1)
    result: Array = (np.clip(black + (white - black) * shown, 0, 1) ** GAMMA).astype(np.float32)
    return result


def _read_cube(cube: npt.NDArray[np.float64], y: Array) -> npt.NDArray[np.float64]:
    """Return `cube` interpolated trilinearly at stops `y` `(..., 3)`."""
    at = np.clip((y - CUBE_LOW) / (CUBE_HIGH - CUBE_LOW), 0, 1) * (CUBE - 1)
    base = np.minimum(at.astype(int), CUBE - 2)
    share = at - base
    total = np.zeros(y.shape)
    for corner in range(8):
        step = np.array([corner & 1, corner >> 1 & 1, corner >> 2])
        weight = np.where(step, share, 1 - share).prod(-1)
        r, g, b = np.moveaxis(base + step, -1, 0)
        total += weight[..., None] * cube[r, g, b]
    return total


LOOKS: Dict[str, Look] = {
    "mild": partial(graded, amount=1.0),
    "strong": partial(graded, amount=2.0),
    "creative": creative,
}
"""The rows of the bench, by name."""
