"""Which pixels of two frames show the same thing: optical flow that does not see flicker, and samples with trust.

    looks = Looks(frame)                     # what is kept of a frame
    pairs = match(later, earlier)            # matched log2 colours, their places and weights

Flow is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), run on luma whose
exposure and local contrast have been taken out, so that a change of light is not mistaken for motion.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import local
from typing import Any, Dict, Optional, Tuple, cast

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import LUMA, MID_GREY, Float32, Float64

from harmovid_server.engines.base import ProxyFrame
from harmovid_server.engines.deflicker import kernels

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
SAMPLES = 2500
COARSE = 4
COARSE_LEVEL = 2
"""Of the pyramid, at which the motion of a whole picture is fine enough."""
SMALL_REGION = 0.5
"""A measured region smaller than this share of the picture moves with its subject."""
MARGIN_PX = 32
"""Around a small region, in which its motion is looked for."""
QUANTILES = np.linspace(0.03, 0.97, 24)
QUANTILE_PIXELS = 8000
"""About how many pixels quantiles are taken from."""
CUT_LIKENESS = 0.4
"""Below this correlation of a picture with its predecessor, moved along the flow, the two are different shots."""
LOST_LIKENESS = 0.8
"""Below this the camera may have moved further than flow reaches: it starts anew from a guess."""
LEAST_OVERLAP = 0.4
"""Of two pictures that a camera's move is looked for in, as a share of one."""

_NUMBERS = np.array([DISAGREEMENT_PX, FLOW_ERROR_PX, NOISE_STOPS, LOW_STOPS + 0.5, HIGH_STOPS - 0.01])
_FINDERS = local()
_SECOND = ThreadPoolExecutor(1, thread_name_prefix="deflicker-flow")  # OpenCV works beside Python


@dataclass(frozen=True)
class Looks:
    """What is kept of one frame while it may still be matched.

    Attributes:
        number: the frame's number.
        logs: `(h, w, 3)` float32, log2 of scene-linear over middle grey, clipped.
        plain: `(h, w)` uint8, luma without exposure and local contrast.
        weight: `(h, w)` float32, where light may be measured, 0..1.
        slope: `(h, w)` float32, squared gradient of log2 luma per pixel.
        box: the display window in plate pixels.
    """

    number: int
    logs: Float32
    plain: Bytes
    weight: Float32
    slope: Float32
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
    luma = logs @ _LUMA
    return Looks(frame.number, logs, _plain(luma), weight, slope_of(luma), frame.box)


def slope_of(luma: Float32) -> Float32:
    """Return the squared gradient of `(h, w)` log2 luma."""
    across, down = (cv2.Sobel(luma, cv2.CV_32F, *axes, scale=1 / 8) for axes in ((1, 0), (0, 1)))
    return cast(Float32, across**2 + down**2)


def _plain(luma: Float32) -> Bytes:
    detail = luma - cv2.GaussianBlur(luma, (0, 0), CONTRAST_SIGMA_PX)
    power = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 2 * CONTRAST_SIGMA_PX))
    # The constant keeps flat areas from being blown up into noise.
    return (128 + 48 * detail / (power + 0.08)).clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Flow:
    """Motion between two frames, `(h / 4, w / 4, 2)` in proxy pixels: from the later to the earlier, and back."""

    forth: Float32
    back: Float32

    def then(self, further: Flow) -> Flow:
        """Return the motion over this gap and then over `further`, which leaves from this one's earlier end."""
        quarter = np.float32(1 / COARSE)
        forth = cast(Float32, self.forth + _warp(further.forth, self.forth * quarter))
        back = cast(Float32, further.back + _warp(self.back, further.back * quarter))
        return Flow(forth, back)


def flow_between(here: Looks, there: Looks, guess: Optional[Flow] = None) -> Tuple[Float32, Float32]:
    """Return the `(h, w, 2)` motion in proxy pixels from `here` to `there`, and back.

    Where only a small region is measured, motion is found in its surroundings alone, and finer.

    Args:
        guess: motion found over shorter gaps; far motion is found from there only.
    """
    height, width = here.plain.shape
    rows, columns = _region(here, there)
    finest = (
        COARSE_LEVEL if (rows.stop - rows.start) * (columns.stop - columns.start) == height * width else 0
    )
    first, second = (np.ascontiguousarray(each.plain[rows, columns]) for each in (here, there))
    starts = [np.zeros((*first.shape, 2), np.float32) for _ in range(2)]
    if guess is not None:
        large = (cv2.resize(f, (width, height))[rows, columns] for f in (guess.forth, guess.back))
        starts = [np.ascontiguousarray(each) for each in large]
    returning = _SECOND.submit(_flow, second, first, starts[1], finest)
    found = _flow(first, second, starts[0], finest), returning.result()
    edges = (rows.start, height - rows.stop, columns.start, width - columns.stop)
    forth, back = (cv2.copyMakeBorder(each, *edges, cv2.BORDER_REPLICATE) for each in found)
    return cast(Float32, forth), cast(Float32, back)


def _region(here: Looks, there: Looks) -> Tuple[slice, slice]:
    """Return the rows and columns in which motion is looked for: all, or those around a small measured region."""
    height, width = here.plain.shape
    whole = slice(0, height), slice(0, width)
    if float(here.weight.mean()) > SMALL_REGION:
        return whole
    x, y, w, h = cv2.boundingRect(((here.weight > 0) | (there.weight > 0)).astype(np.uint8))
    top, bottom = max(y - MARGIN_PX, 0), min(y + h + MARGIN_PX, height)
    left, right = max(x - MARGIN_PX, 0), min(x + w + MARGIN_PX, width)
    if not w or (bottom - top) * (right - left) == height * width:
        return whole
    return slice(top, bottom), slice(left, right)


def _flow(first: Bytes, second: Bytes, start: Float32, finest: int) -> Float32:
    # DIS keeps buffers: one of each kind for each thread.
    finders: Dict[int, Any] = _FINDERS.__dict__.setdefault("by_level", {})
    if finest not in finders:
        finders[finest] = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        finders[finest].setFinestScale(finest)
    return cast(Float32, finders[finest].calc(first, second, start))


def _followed(here: Looks, there: Looks, before: Optional[Flow]) -> Tuple[Tuple[Float32, Float32], float]:
    """Return the motion between neighbours as `flow_between`, and how alike the whole pictures are after it.

    Args:
        before: the last neighbours' motion: a pan goes on.
    """
    if float(here.weight.mean()) <= SMALL_REGION:  # its motion is not the camera's
        return flow_between(here, there), _followed(_whole(here), _whole(there), None)[1]
    found = flow_between(here, there)
    like = _likeness(here, there, found)
    for start in (before, None):
        if like >= LOST_LIKENESS:
            break
        again = flow_between(here, there, start or _camera_move(here, there))
        better = _likeness(here, there, again)
        if better > like:
            found, like = again, better
    return found, like


def _whole(looks: Looks) -> Looks:
    return replace(looks, weight=np.ones_like(looks.weight))


def _likeness(here: Looks, there: Looks, flow: Tuple[Float32, Float32]) -> float:
    """Return how alike two pictures are after motion, the less of both ways."""
    forth = kernels.likeness(here.plain, there.plain, flow[0])
    return min(forth, kernels.likeness(there.plain, here.plain, flow[1]))


def _camera_move(here: Looks, there: Looks) -> Flow:
    """Return the one shift of the whole picture that makes what both frames show most alike.

    Correlation at every shift of the pictures at a quarter of their size, divided by the energy of what overlaps.
    """
    height, width = here.plain.shape
    size = (max(width // COARSE, 1), max(height // COARSE, 1))
    first, second = (
        cv2.resize(each.plain, size, interpolation=cv2.INTER_AREA) - np.float32(128) for each in (here, there)
    )
    shape = tuple(cv2.getOptimalDFTSize(2 * n) for n in first.shape)
    one, a, b, aa, bb = (
        np.fft.rfft2(each, shape)
        for each in (np.ones_like(first), first, second, first * first, second * second)
    )
    both, mine, theirs, overlap = (
        np.fft.irfft2(np.conj(p) * q, shape) for p, q in ((a, b), (aa, one), (one, bb), (one, one))
    )
    alike = both / np.sqrt(np.maximum(mine * theirs, 1.0))
    alike[overlap < LEAST_OVERLAP * first.size] = -1.0
    at = np.unravel_index(int(alike.argmax()), shape)
    down, across = (int(i) - n if i > n // 2 else int(i) for i, n in zip(at, shape))
    move = np.full((*here.plain.shape, 2), (COARSE * across, COARSE * down), np.float32)
    return Flow(move, -move)


def match(
    here: Looks,
    there: Looks,
    guess: Optional[Flow] = None,
    *,
    before: Optional[Flow] = None,
    still: bool = False,
) -> Tuple[Pairs, Flow]:
    """Match the later frame `here` with the earlier frame `there`.

    Args:
        guess: their motion as far as known; None for neighbours.
        before: the motion between the neighbours before these.
        still: take the camera for locked off and what moves for misfits (time-lapse: motion is too fast to follow).
    """
    height, width = here.plain.shape
    like = 1.0
    if guess is None:
        (forth, back), like = _followed(here, there, before)
    elif not still:
        forth, back = flow_between(here, there, guess)
    if still:
        forth = back = np.zeros((height, width, 2), np.float32)
    area = np.count_nonzero(here.weight > 0.1)
    step = min(max(1, min(8, int(np.sqrt(area / SAMPLES)))), height, width)
    sums = kernels.sample(
        here.logs,
        there.logs,
        (here.slope, there.slope),
        (here.weight, there.weight),
        (forth, back),
        _NUMBERS,
        step,
    )
    size = (max(width // COARSE, 1), max(height // COARSE, 1))
    coarse = Flow(*(cast(Float32, cv2.resize(f, size, interpolation=cv2.INTER_AREA)) for f in (forth, back)))
    return _pairs(sums, here, step, like), coarse


def _pairs(sums: Float64, here: Looks, step: int, like: float) -> Pairs:
    """Return the blocks that hold anything, as samples: fewer and steadier than single pixels."""
    height, width = here.plain.shape
    seen = 2.0 if step >= kernels.ENOUGH_PX else 1.0  # only so-manieth pixel was read
    found = sums[sums[:, 0] > 0]
    mean = found / np.maximum(found[:, :1], 1e-12)
    scale = np.array([width, height])
    return Pairs(
        here=mean[:, 1:4],
        there=mean[:, 4:7],
        at=(mean[:, 7:9] / scale).astype(np.float32),
        at_there=(mean[:, 9:11] / scale).astype(np.float32),
        weight=found[:, 0] * seen / step**2,
        trust=float(sums[:, 11].sum() * seen / max(float(here.weight.sum()), 1.0)),
        likeness=like,
    )


def thinned(pairs: Pairs, count: int) -> Pairs:
    """Return at most about `count` of the samples, evenly chosen."""
    step = max(1, len(pairs.here) // max(count, 1))
    return replace(
        pairs, here=pairs.here[::step], there=pairs.there[::step], at=pairs.at[::step],
        at_there=pairs.at_there[::step], weight=pairs.weight[::step],
    )  # fmt: skip


def quantiles(looks: Looks) -> Optional[Float64]:
    """Return the `(q, 3)` brightness quantiles per channel of what is measured, None with too little of it."""
    skip = max(1, int(np.sqrt(np.count_nonzero(looks.weight > 0.5) / QUANTILE_PIXELS)))
    inside = looks.logs[::skip, ::skip][looks.weight[::skip, ::skip] > 0.5]
    if len(inside) < 4 * len(QUANTILES):
        return None
    return np.quantile(inside.astype(np.float64), QUANTILES, axis=0)


def is_cut(pairs: Pairs) -> bool:
    """Return whether the two frames belong to different shots."""
    return pairs.likeness < CUT_LIKENESS


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
