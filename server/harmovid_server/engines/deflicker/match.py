"""Which pixels of two frames show the same thing: optical flow that does not see flicker, and samples with trust.

    looks = Looks(frame)                     # what is kept of a frame
    pairs = match(later, earlier)            # matched log2 colours, their places and weights

Flow is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), run on luma whose
exposure and local contrast have been taken out, so that a change of light is not mistaken for motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, cast

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import LUMA, MID_GREY, Float32, Float64

from harmovid_server.engines.base import ProxyFrame

Bytes = npt.NDArray[np.uint8]

_LUMA: Float32 = np.array(LUMA, np.float32)
# log2 light is clipped to this range around middle grey: below it is noise, above it are lamps.
LOW_STOPS, HIGH_STOPS = -7.0, 5.0
CONTRAST_SIGMA_PX = 6.0
# A match is trusted less the further forward and backward flow disagree, halved at about this distance.
DISAGREEMENT_PX = 1.0
# Flow is about this exact, so a steep gradient makes a match uncertain by gradient times this.
FLOW_ERROR_PX = 0.2
NOISE_STOPS = 0.04
SAMPLES = 1000
QUANTILES = np.linspace(0.03, 0.97, 24)
CUT_LIKENESS = 0.4
"""Below this correlation of a picture with its predecessor, moved along the flow, the two are different shots."""


@dataclass(frozen=True)
class Looks:
    """What is kept of one frame while it may still be matched.

    Attributes:
        number: the frame's number.
        logs: `(h, w, 3)` float32, log2 of scene-linear over middle grey, clipped.
        plain: `(h, w)` uint8, luma without exposure and local contrast.
        weight: `(h, w)` float32, where light may be measured, 0..1.
        box: the display window in plate pixels.
    """

    number: int
    logs: Float32
    plain: Bytes
    weight: Float32
    box: Tuple[int, int, int, int]


@dataclass(frozen=True)
class Pairs:
    """Matched samples of two frames.

    Attributes:
        here, there: `(n, 3)` float64 log2 colours in the later and in the earlier frame.
        at, at_there: `(n, 2)` float32, the samples' places, 0..1 over width and height.
        weight: `(n,)` float64, inverse variance in 1/stops^2 times trust.
        trust: 0..1, the share of the picture that was matched.
        likeness: -1..1, correlation of the two pictures after motion, light taken out.
    """

    here: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    there: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    at: Float32
    at_there: Float32
    weight: np.ndarray[tuple[int], np.dtype[np.float64]]
    trust: float
    likeness: float


def look(frame: ProxyFrame) -> Looks:
    """Reduce a proxy frame to what matching needs. The mask, if any, says where light is measured."""
    image = frame.images["plate"]
    logs = np.log2(np.maximum(image, MID_GREY * 2.0**LOW_STOPS) / MID_GREY).astype(np.float32)
    np.minimum(logs, HIGH_STOPS, out=logs)
    weight = frame.mattes["coverage"].astype(np.float32)
    for name in ("measure_mask", "mask"):
        if name in frame.mattes:
            weight = weight * frame.mattes[name]
            break
    return Looks(frame.number, logs, _plain(logs @ _LUMA), weight, frame.box)


def _plain(luma: Float32) -> Bytes:
    detail = luma - cv2.GaussianBlur(luma, (0, 0), CONTRAST_SIGMA_PX)
    power = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 2 * CONTRAST_SIGMA_PX))
    # The constant keeps flat areas from being blown up into noise.
    return (128 + 48 * detail / (power + 0.08)).clip(0, 255).astype(np.uint8)


def flow_between(here: Looks, there: Looks) -> Tuple[Float32, Float32]:
    """Return `(h, w, 2)` flow in proxy pixels from `here` to `there`, and `(h, w)` trust from the way back."""
    finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    finder.setFinestScale(1)
    start = np.zeros((*here.plain.shape, 2), np.float32)
    forth = cast(Float32, finder.calc(here.plain, there.plain, start.copy()))
    back = cast(Float32, finder.calc(there.plain, here.plain, start))
    gap = forth + _warp(back, forth)
    trust = 1.0 / (1.0 + (gap * gap).sum(axis=2) / DISAGREEMENT_PX**2) ** 2
    places = _places(forth)
    height, width = trust.shape
    inside = (places[..., 0] >= 0) & (places[..., 0] <= width - 1)
    inside &= (places[..., 1] >= 0) & (places[..., 1] <= height - 1)
    return forth, (trust * inside).astype(np.float32)


def match(here: Looks, there: Looks) -> Pairs:
    """Match the later frame `here` with the earlier frame `there`."""
    flow, trust = flow_between(here, there)
    seen = _warp(there.logs, flow)
    weight_there = _warp(there.weight, flow)
    luma = (here.logs @ _LUMA + seen @ _LUMA) / 2
    slope = (
        cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 8) ** 2
        + cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 8) ** 2
    )
    trust = trust * np.minimum(here.weight, weight_there)
    clipped = (here.logs.min(axis=2) <= LOW_STOPS + 0.5) | (here.logs.max(axis=2) >= HIGH_STOPS)
    trust[clipped] = 0
    certainty = 1.0 / (NOISE_STOPS**2 + slope * FLOW_ERROR_PX**2)
    likeness = _likeness(here.plain, _warp(there.plain.astype(np.float32), flow))
    return _sampled(here, seen, flow, trust, certainty.astype(np.float32), likeness)


def _sampled(
    here: Looks, seen: Float32, flow: Float32, trust: Float32, certainty: Float32, likeness: float
) -> Pairs:
    """Average over small blocks, weighted: fewer, steadier samples than single pixels."""
    height, width = trust.shape
    step = max(1, int(np.sqrt(height * width / SAMPLES)))
    rows, columns = height // step, width // step
    if rows == 0 or columns == 0:
        step, rows, columns = 1, height, width

    def block(plane: Float32) -> Float64:
        cut = plane[: rows * step, : columns * step].astype(np.float64)
        summed: Float64 = cut.reshape(rows, step, columns, step, -1).sum(axis=(1, 3))
        return summed.reshape(rows * columns, -1)

    weight = trust * certainty
    total = block(weight)[:, 0]
    keep = total > 0
    share = np.maximum(total, 1e-12)[:, None]
    places = _places(np.zeros_like(flow))
    scale = np.array([width, height], np.float32)
    at = block((places + 0.5) / scale * weight[..., None]) / share
    at_there = block((places + 0.5 + flow) / scale * weight[..., None]) / share
    return Pairs(
        here=(block(here.logs * weight[..., None]) / share)[keep],
        there=(block(seen * weight[..., None]) / share)[keep],
        at=at[keep].astype(np.float32),
        at_there=at_there[keep].astype(np.float32),
        weight=total[keep] / step**2,
        trust=float(trust.sum() / max(float(here.weight.sum()), 1.0)),
        likeness=likeness,
    )


def quantile_pairs(here: Looks, there: Looks) -> Optional[Pairs]:
    """Match the frames' brightness quantiles per channel: all that is left where nothing can be followed."""
    inside = [looks.logs[looks.weight > 0.5] for looks in (here, there)]
    if min(len(values) for values in inside) < 4 * len(QUANTILES):
        return None
    curves = [np.quantile(values, QUANTILES, axis=0).astype(np.float64) for values in inside]
    middle = np.full((len(QUANTILES), 2), 0.5, np.float32)
    return Pairs(curves[0], curves[1], middle, middle, np.full(len(QUANTILES), 1 / NOISE_STOPS**2), 0.0, 0.0)


def is_cut(pairs: Pairs) -> bool:
    """Return whether the two frames belong to different shots."""
    return pairs.likeness < CUT_LIKENESS


def _likeness(here: Bytes, there: Float32) -> float:
    first, second = here.astype(np.float32), there
    spread = float(first.std() * second.std())
    if spread < 1.0:  # one of them is flat: nothing to tell shots apart by
        return 1.0
    return float(((first - first.mean()) * (second - second.mean())).mean()) / spread


def _places(flow: Float32) -> Float32:
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.dstack([columns, rows]) + flow


def _warp(image: Float32, flow: Float32) -> Float32:
    places = _places(flow)
    return cast(
        Float32,
        cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
    )
