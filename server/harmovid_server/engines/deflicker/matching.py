"""Samples of two frames that show the same point, with weights.

samples = match(later, earlier, motion)            # matched log2 colours, positions and weights
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from harmovid.pixels.field import Float32, Float64

from harmovid_server.engines.deflicker import kernels
from harmovid_server.engines.deflicker.colour_terms import CENTRE_STOPS
from harmovid_server.engines.deflicker.features import HIGH_STOPS, LOW_STOPS, FrameFeatures
from harmovid_server.engines.deflicker.motion import Motion

# The more forward and backward flow disagree, the lower the weight of a match; about half at this distance.
DISAGREEMENT_PX = 1.0
# Accuracy of the flow: a match at a gradient is uncertain by the gradient times this.
FLOW_ERROR_PX = 0.2
NOISE_STOPS = 0.04
SAMPLES = 1600
CLIPPED_LOW, CLIPPED_HIGH = LOW_STOPS + 0.5, HIGH_STOPS - 0.01
"""Beyond these limits around a frame's level, light may have been clipped and is not compared."""


@dataclass(frozen=True)
class PairSamples:
    """Matched samples of two frames.

    Attributes:
        later, earlier: `(n, 3)` float64 log2 colours in the later and in the earlier frame.
        later_at, earlier_at: `(n, 2)` float32, the samples' positions, 0..1 over width and height.
        weight: `(n,)` float64, inverse variance in 1/stops^2 times trust.
        trust: 0..1, the share of the picture that was matched.
    """

    later: Float64
    earlier: Float64
    later_at: Float32
    earlier_at: Float32
    weight: Float64
    trust: float


@dataclass(frozen=True)
class Link:
    """Two frames of a window, by index, and their matched samples; `later > earlier`."""

    later: int
    earlier: int
    samples: PairSamples


def match(later: FrameFeatures, earlier: FrameFeatures, motion: Motion) -> PairSamples:
    """Match two frames along their motion."""
    height, width = later.plain.shape
    area = np.count_nonzero(later.weight > 0.1)
    step = min(max(1, min(8, int(np.sqrt(area / SAMPLES)))), height, width)
    limits = [level + end for level in (later.level, earlier.level) for end in (CLIPPED_LOW, CLIPPED_HIGH)]
    middle = (later.level + earlier.level) / 2 - CENTRE_STOPS
    sums = kernels.sample(
        later.logs,
        earlier.logs,
        (later.slope, earlier.slope),
        (later.weight, earlier.weight),
        (motion.forth, motion.back),
        np.array([DISAGREEMENT_PX, FLOW_ERROR_PX, NOISE_STOPS, middle, *limits]),
        step,
    )
    return _samples(sums, later, step)


def _samples(sums: Float64, later: FrameFeatures, step: int) -> PairSamples:
    """Return the non-empty blocks as samples, which are fewer and less noisy than pixels."""
    height, width = later.plain.shape
    stride = float(kernels.stride_of(step))
    found = sums[sums[:, 0] > 0]
    mean = found / np.maximum(found[:, :1], 1e-12)
    scale = np.array([width, height])
    return PairSamples(
        later=np.ascontiguousarray(mean[:, 1:4]),
        earlier=np.ascontiguousarray(mean[:, 4:7]),
        later_at=(mean[:, 7:9] / scale).astype(np.float32),
        earlier_at=(mean[:, 9:11] / scale).astype(np.float32),
        weight=found[:, 0] * stride / step**2,
        trust=float(sums[:, 11].sum() * stride / max(float(later.weight.sum()), 1.0)),
    )


def thinned(samples: PairSamples, count: int) -> PairSamples:
    """Return at most about `count` of the samples, evenly chosen."""
    step = max(1, len(samples.weight) // max(count, 1))
    return replace(
        samples, later=samples.later[::step], earlier=samples.earlier[::step], weight=samples.weight[::step],
        later_at=samples.later_at[::step], earlier_at=samples.earlier_at[::step],
    )  # fmt: skip


def shifted(samples: PairSamples, stops: float) -> PairSamples:
    """Return the samples with `stops` subtracted from all colours."""
    return replace(samples, later=samples.later - stops, earlier=samples.earlier - stops)
