"""Samples of two frames that show the same thing, with the trust they deserve.

pairs = match(later, earlier, motion)            # matched log2 colours, their places and weights
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from harmovid.pixels.field import Float32, Float64

from harmovid_server.engines.deflicker import kernels
from harmovid_server.engines.deflicker.looks import HIGH_STOPS, LOW_STOPS, Looks
from harmovid_server.engines.deflicker.motion import Motion

# A match is trusted less the further forward and backward flow disagree, halved at about this distance.
DISAGREEMENT_PX = 1.0
# Flow is about this exact, so a steep gradient makes a match uncertain by gradient times this.
FLOW_ERROR_PX = 0.2
NOISE_STOPS = 0.04
SAMPLES = 1600

_NUMBERS = np.array([DISAGREEMENT_PX, FLOW_ERROR_PX, NOISE_STOPS, LOW_STOPS + 0.5, HIGH_STOPS - 0.01])


@dataclass(frozen=True)
class Pairs:
    """Matched samples of two frames.

    Attributes:
        here, there: `(n, 3)` float64 log2 colours in the later and in the earlier frame.
        at, at_there: `(n, 2)` float32, the samples' places, 0..1 over width and height.
        weight: `(n,)` float64, inverse variance in 1/stops^2 times trust.
        trust: 0..1, the share of the picture that was matched.
    """

    here: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    there: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    at: Float32
    at_there: Float32
    weight: np.ndarray[tuple[int], np.dtype[np.float64]]
    trust: float


def match(here: Looks, there: Looks, motion: Motion) -> Pairs:
    """Match the later frame `here` with the earlier frame `there` along their motion."""
    height, width = here.plain.shape
    area = np.count_nonzero(here.weight > 0.1)
    step = min(max(1, min(8, int(np.sqrt(area / SAMPLES)))), height, width)
    sums = kernels.sample(
        here.logs,
        there.logs,
        (here.slope, there.slope),
        (here.weight, there.weight),
        (motion.forth, motion.back),
        _NUMBERS,
        step,
    )
    return _pairs(sums, here, step)


def _pairs(sums: Float64, here: Looks, step: int) -> Pairs:
    """Return the blocks that hold anything, as samples: fewer and steadier than single pixels."""
    height, width = here.plain.shape
    seen = float(kernels.every(step))  # only so-manieth pixel was read
    found = sums[sums[:, 0] > 0]
    mean = found / np.maximum(found[:, :1], 1e-12)
    scale = np.array([width, height])
    return Pairs(
        here=np.ascontiguousarray(mean[:, 1:4]),
        there=np.ascontiguousarray(mean[:, 4:7]),
        at=(mean[:, 7:9] / scale).astype(np.float32),
        at_there=(mean[:, 9:11] / scale).astype(np.float32),
        weight=found[:, 0] * seen / step**2,
        trust=float(sums[:, 11].sum() * seen / max(float(here.weight.sum()), 1.0)),
    )


def thinned(pairs: Pairs, count: int) -> Pairs:
    """Return at most about `count` of the samples, evenly chosen."""
    step = max(1, len(pairs.here) // max(count, 1))
    return replace(
        pairs, here=pairs.here[::step], there=pairs.there[::step], at=pairs.at[::step],
        at_there=pairs.at_there[::step], weight=pairs.weight[::step],
    )  # fmt: skip
