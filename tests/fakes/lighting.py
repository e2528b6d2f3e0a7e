"""Random lighting fields and pictures for property tests: hypothesis strategies and plain makers."""

from __future__ import annotations

import numpy as np
from harmovid.pixels.field import Curve, GainMap, Grid, LightingField
from hypothesis import strategies as st

BOX = (-3.0, -2.0, 37.5, 29.0)


def curve(rng: np.random.Generator) -> Curve:
    """A curve whose stops stay within a few stops over its range."""
    scale = np.array([1.0, 0.2, 0.2, 0.2] + [0.02] * 6)
    return Curve(
        rng.normal(size=(3, 10)) * scale, rng.uniform(0.05, 1.0), -rng.uniform(2, 8), rng.uniform(1, 6)
    )


def grid(rng: np.random.Generator) -> Grid:
    """A grid of any small size, one sample per axis included."""
    gh, gw, gz = rng.integers(1, 7, size=3)
    return Grid(rng.normal(size=(gh, gw, gz, 3)), BOX, -rng.uniform(3, 9), rng.uniform(0, 4))


def gain_map(rng: np.random.Generator) -> GainMap:
    """A gain map of any small size."""
    h, w = rng.integers(1, 20, size=2)
    return GainMap(rng.normal(size=(h, w, 3)), BOX)


def field(seed: int, kinds: str) -> LightingField:
    """A field with one random part per letter of `kinds`: c(urve), g(rid), m(ap)."""
    rng = np.random.default_rng(seed)
    makers = {"c": curve, "g": grid, "m": gain_map}
    return LightingField(tuple(makers[kind](rng) for kind in kinds))


def picture(seed: int, height: int, width: int, dtype: type) -> np.ndarray:
    """Scene-linear noise `(H, W, 3)`: 0.0001 to 256, zeros, negatives, denormals, NaN, Inf."""
    rng = np.random.default_rng(seed)
    rgb = np.exp2(rng.uniform(-14, 8, (height, width, 3))).astype(dtype)
    odd = np.array([0.0, -0.0, -0.25, -300.0, np.nan, np.inf, -np.inf, 6e-8, 65504.0], dtype)
    where = rng.random(rgb.shape) < 0.1
    rgb[where] = rng.choice(odd, int(where.sum()))
    return rgb


seeds = st.integers(0, 2**31)
kinds = st.text("cgm", min_size=1, max_size=3)
sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
dtypes = st.sampled_from([np.float16, np.float32])


def bits(values: np.ndarray) -> np.ndarray:
    """The raw bits, so that NaN payloads and the sign of zero are compared too."""
    return np.ascontiguousarray(values).view({2: np.uint16, 4: np.uint32}[values.dtype.itemsize])
