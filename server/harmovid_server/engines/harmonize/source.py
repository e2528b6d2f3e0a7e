"""The source plate: the plate in which the foreground was shot, compared with the plate that it goes to.

The backbone describes both plates in `ROWS` x `COLUMNS` regions. Every region of the source plate is paired with the
region of the plate that is most like it: road with road, leaves with leaves. The pairs' colours give a map from the
light of one plate to that of the other, linear in log2 light, and the answer is moved from the network's towards that
map by a share: large if many regions are alike and their differences agree, nothing if no region is alike. Nothing here
was trained; docs/harmonize.md says how the constants were chosen and what they give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.colour.model_space import exposure_anchor

from harmovid_server.engines.base import ProxyFrame
from harmovid_server.engines.harmonize.features import lit, resized, seen_plate
from harmovid_server.engines.harmonize.network import Network

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SOURCE_PLATE = "source_plate"
ROWS, COLUMNS = 9, 12
COUNTED = 0.5
"""A region counts if at least this share of it is plate: not foreground, not outside the data window."""
ALIKE = 0.2
"""Mean correlation of two regions' descriptions from which on they are taken to be alike; at 1 a pair counts fully."""
ONE_WAY = 0.3
"""Weight of a pair whose region of the plate is more like another part of the source plate."""
NEAR_STOPS, FAR_WEIGHT = 1.5, 0.05
"""Pairs as bright as the foreground count most: a look may change shadows and lights differently. The deviation in
stops, and the weight of pairs that are far from it."""
SPREADS = np.array([1.0, 0.35, 0.35])
"""Usual differences of a pair that is not quite alike: level, red over green, blue over green, in stops."""
ROUNDS = 3
AGREEING_STOPS = 0.4
"""Pairs whose levels spread by this much count half."""
SLOPE_PAIRS = 3.0
"""Number of agreeing pairs, one stop from their mean, at which half of a slope is believed."""
SLOPE_LIMIT = 1.0
DOUBT_PAIRS = {"cautious": 10.0, "expected": 4.0, "bold": 2.0}
"""By variant: number of agreeing pairs at which half of the answer is the source plate's."""
DARKEST = 2.0**-8
"""Light below this share of the plate's exposure counts as this: it is noise."""
LEVELS = 256
"""At most this many pixels of the foreground are compared with the pairs' levels."""
NO_LIGHT = np.float32(2.0**-16)
NUMBERS = 13
"""Length of a comparison's `map`: `(3, 4)` coefficients and the spread."""


@dataclass(frozen=True)
class Comparison:
    """What one frame says about both plates.

    Attributes:
        pairs: number of regions that have a partner, each counting by how much it is alike.
        map: `(13,)`: `(3, 4)` coefficients of `[1, log2 r, log2 g, log2 b]` of the linear light, in stops, flattened;
            then the spread of the pairs' levels in stops.
    """

    pairs: float
    map: Float64

    @classmethod
    def of(cls, pairs: float, sums: Float64) -> Comparison:
        """Return the mean of several frames from the means of `pairs` and of `pairs * map`."""
        return cls(pairs, sums / pairs) if pairs > 0 else NOTHING_ALIKE


NOTHING_ALIKE = Comparison(0.0, np.zeros(NUMBERS))


def compare(frame: ProxyFrame, network: Network) -> Comparison:
    """Return the comparison of the source plate with the plate in a frame that has both, and a matte."""
    size = (network.numbers.rows, network.numbers.columns)
    matte = resized(frame.mattes["matte"], size)
    source = _described(frame.images[SOURCE_PLATE], _behind(frame.images[SOURCE_PLATE], matte, size), network)
    plate = _described(frame.images["bg"], resized(seen_plate(frame), size) * (1 - matte), network)
    similar, partner = _partners(source, plate)
    subject = frame.images["fg"][frame.mattes["matte"] > 0.5 * frame.mattes["matte"].max()]
    level = np.log2(np.maximum(subject[:: 1 + len(subject) // LEVELS], NO_LIGHT)).mean(
        axis=1, dtype=np.float64
    )
    return _fitted(source.colours, plate.colours[partner], similar, level)


def share_of(pairs: float, spread: float, variant: str) -> float:
    """Return which share of the answer is the source plate's, 0 to 1."""
    return pairs / (pairs + DOUBT_PAIRS[variant] * _doubt(spread))


@dataclass(frozen=True)
class _Regions:
    """A plate's regions: descriptions by stage `(regions, n)`, mean log2 colours `(regions, 3)`, and which count."""

    stages: List[Float32]
    colours: Float64
    counted: npt.NDArray[np.bool_]


def _behind(picture: Float32, matte: Float32, size: Tuple[int, int]) -> Float32:
    """Return where the source plate counts: the subject may be in it, at the place where the foreground is."""
    return resized(lit(picture), size) * (1 - matte)


def _described(picture: Float32, counts: Float32, network: Network) -> _Regions:
    small = resized(picture, counts.shape)
    anchor = exposure_anchor([np.where(counts[..., None] > COUNTED, small, np.float32(0))])
    logs = np.log2(np.maximum(small, np.float32(anchor * DARKEST)))
    weight = _cells(counts)[:, None]
    colours = _cells(logs * counts[..., None]) / np.maximum(weight, 1e-6)
    return _Regions(network.describe(small, anchor), colours.astype(np.float64), weight[:, 0] > COUNTED)


def _cells(plane: Float32) -> Float32:
    """Return the mean of each region, `(regions,)` or `(regions, channels)`, of a plane or picture."""
    cells = resized(plane, (ROWS, COLUMNS))
    return cells.reshape(ROWS * COLUMNS, *cells.shape[2:])


def _partners(source: _Regions, plate: _Regions) -> Tuple[Float64, npt.NDArray[np.int64]]:
    """Return for each region of the source plate how alike its partner is, 0 to 1, and the partner's number."""
    similar = np.zeros((ROWS * COLUMNS,) * 2)
    for stages in zip(source.stages, plate.stages):
        both = np.concatenate(stages)
        moved = ((one - both.mean(axis=0)) / (both.std(axis=0) + 1e-3) for one in stages)
        a, b = (one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-6) for one in moved)
        similar += a @ b.T / len(source.stages)
    similar[~source.counted] = -1
    similar[:, ~plate.counted] = -1
    partner = similar.argmax(axis=1)
    back = similar.argmax(axis=0)[partner]
    apart = np.abs(
        np.stack(np.unravel_index(back, (ROWS, COLUMNS))) - np.indices((ROWS, COLUMNS)).reshape(2, -1)
    )
    found = np.clip((similar.max(axis=1) - ALIKE) / (1 - ALIKE), 0, 1)
    return found * np.where(apart.max(axis=0) <= 1, 1.0, ONE_WAY), partner


def _fitted(source: Float64, plate: Float64, weight: Float64, level: Float64) -> Comparison:
    """Return the comparison of paired colours `(n, 3)` with these weights, for a foreground of these levels."""
    near = np.exp(-0.5 * ((source.mean(axis=1)[:, None] - level) / NEAR_STOPS) ** 2).mean(axis=1)
    weight = weight * (near + FAR_WEIGHT)
    total = float(weight.sum())
    if total < 1e-6:
        return NOTHING_ALIKE
    apart = _split(plate - source)
    middle = weight @ apart / total
    for _ in range(ROUNDS):
        kept = weight[:, None] / (1 + ((apart - middle) / SPREADS) ** 2)
        middle = (kept * apart).sum(axis=0) / kept.sum(axis=0)
    off = (apart - middle) / SPREADS
    spread = float(np.sqrt(weight @ np.minimum(np.abs(off[:, 0]), 3) ** 2 / total))
    trust = weight / (1 + (off**2).sum(axis=1))
    before, after = (trust @ one / trust.sum() for one in (source, plate))
    # Both plates' colours are uncertain: the slope is that over their mean, which favours neither.
    over, change = (source + plate - before - after) / 2, (plate - source) - (after - before)
    normal = (over * trust[:, None]).T @ over + SLOPE_PAIRS * _doubt(spread) * np.eye(3)
    slope = np.linalg.solve(normal, (over * trust[:, None]).T @ change).T
    slope = np.clip(slope, -SLOPE_LIMIT, SLOPE_LIMIT) / 2
    growth = np.linalg.solve(np.eye(3) - slope, np.eye(3) + slope) - np.eye(3)
    coeffs = np.concatenate([(after - before - growth @ before)[:, None], growth], axis=1)
    return Comparison(total, np.concatenate([coeffs.ravel(), [spread]]))


def _doubt(spread: float) -> float:
    return 1 + (spread / AGREEING_STOPS) ** 2


def _split(stops: Float64) -> Float64:
    """Return level, red over green and blue over green of `(n, 3)` stops."""
    return np.stack([stops.mean(axis=1), stops[:, 0] - stops[:, 1], stops[:, 2] - stops[:, 1]], axis=1)
