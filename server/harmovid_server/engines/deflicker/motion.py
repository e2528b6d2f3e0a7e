"""Motion between two frames: optical flow that is insensitive to flicker, and samples that show the same point in both.

    motion = follow(later, earlier, before=last)     # neighbours: starts from the last motion
    motion = follow_far(later, earlier, guess)       # further apart: from motion found over shorter gaps
    samples = match(later, earlier, motion)          # matched log2 colours, positions and weights

The flow is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016), run on luma
without exposure and local contrast, so that a change of light is not mistaken for motion.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import local
from typing import Any, Optional, Tuple, cast

import cv2
import numpy as np
from harmovid.pixels.field import Float32, Float64

from harmovid_server.engines.deflicker import kernels
from harmovid_server.engines.deflicker.colour_terms import CENTRE_STOPS
from harmovid_server.engines.deflicker.features import (
    HIGH_STOPS,
    LOW_STOPS,
    Bytes,
    FrameFeatures,
    blurred,
    plain_of,
)

GAPS = (1, 2, 4, 8)
"""Each frame is matched with the frames this many before it."""
COARSE = 4
COARSE_LEVEL = 2
"""Finest level of the pyramid that is needed for a whole picture."""
SMALLEST_PX, PATCH_PX = 12, 8
"""Smallest sides for OpenCV's dense inverse search: of the picture, and of its finest level. It refuses smaller ones,
or crashes on strips of 20 x 300 (opencv-python 5.0.0)."""
SMALL_REGION = 0.5
"""In a measured region smaller than this share of the picture, the subject's motion is searched."""
MARGIN_PX = 32
"""Margin around a small region in which its motion is searched."""
SMALLEST_SHARE = np.float32(0.001)
"""Of a region around a place, to fill that place with the region's brightness there."""
CUT_LIKENESS = 0.4
"""If the correlation of a motion-compensated picture with its predecessor is below this, they are different shots."""
THUMBNAIL, SAME_STOPS = (16, 9), 0.25
"""Two pictures that differ by less than this everywhere at that small size, apart from exposure, are of one shot."""
LOST_LIKENESS = 0.8
"""Below this similarity the camera may have moved further than flow can find, so it starts again from a guess."""
LEAST_OVERLAP = 0.4
"""Smallest overlap of two pictures in the search for a camera move, as a share of the picture."""
DISAGREEMENT_PX, SMALL_DISAGREEMENT_PX = 1.0, 0.5
"""The more forward and backward flow disagree, the lower the weight of a match; about half at this distance, of which
the second is for a small region, in which motion is searched at a finer level."""
FLOW_ERROR_PX = 0.2
"""Accuracy of the flow: a match at a gradient is uncertain by the gradient times this."""
NOISE_STOPS = 0.04
SAMPLES = 1600
CLIPPED_LOW, CLIPPED_HIGH = LOW_STOPS + 0.5, HIGH_STOPS - 0.01
"""Beyond these limits around a frame's level, light may have been clipped and is not compared."""
_FINDERS = local()
_SECOND = ThreadPoolExecutor(1, thread_name_prefix="deflicker-flow")  # OpenCV releases Python's lock


@dataclass(frozen=True)
class Flow:
    """Motion between two frames, `(h / 4, w / 4, 2)` in proxy pixels: from the later to the earlier, and back."""

    forth: Float32
    back: Float32

    def then(self, further: Flow) -> Flow:
        """Return the motion over this gap followed by `further`, which begins at this one's earlier frame."""
        quarter = np.float32(1 / COARSE)
        forth = cast(Float32, self.forth + _warp(further.forth, self.forth * quarter))
        back = cast(Float32, further.back + _warp(self.back, further.back * quarter))
        return Flow(forth, back)


@dataclass(frozen=True)
class Motion:
    """Motion of every pixel: `forth` and `back` `(h, w, 2)` in proxy pixels, and the similarity -1..1 of the whole
    pictures after compensation, apart from light."""

    forth: Float32
    back: Float32
    likeness: float = 1.0

    def coarse(self) -> Flow:
        """Return the motion at a quarter of the size."""
        height, width = self.forth.shape[:2]
        size = (max(width // COARSE, 1), max(height // COARSE, 1))
        forth, back = (cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in (self.forth, self.back))
        return Flow(cast(Float32, forth), cast(Float32, back))

    @property
    def is_cut(self) -> bool:
        """Whether the two frames belong to different shots."""
        return self.likeness < CUT_LIKENESS


def at_rest(features: FrameFeatures) -> Motion:
    """Return zero motion (in a time-lapse things move too fast to be tracked)."""
    nothing = np.zeros((*features.plain.shape, 2), np.float32)
    return Motion(nothing, nothing)


def follow_far(later: FrameFeatures, earlier: FrameFeatures, guess: Optional[Flow] = None) -> Motion:
    """Return the motion from the later to the earlier frame, and back.

    If only a small region is measured, motion is searched only around it, at a finer level.

    Args:
        guess: motion found over shorter gaps, from which the search starts.
    """
    height, width = later.plain.shape
    rows, columns = _region(later, earlier)
    whole = (rows.stop - rows.start) * (columns.stop - columns.start) == height * width
    finest = COARSE_LEVEL if whole else 0
    first, second = (each.plain if whole else _alone(each, rows, columns) for each in (later, earlier))
    starts = [np.zeros((*first.shape, 2), np.float32) for _ in range(2)]
    if guess is not None:
        large = (cv2.resize(f, (width, height))[rows, columns] for f in (guess.forth, guess.back))
        starts = [np.ascontiguousarray(each) for each in large]
    returning = _SECOND.submit(_flow, second, first, starts[1], finest)
    forth, back = _flow(first, second, starts[0], finest), returning.result()
    if not whole:
        edges = (rows.start, height - rows.stop, columns.start, width - columns.stop)
        forth, back = (
            cast(Float32, cv2.copyMakeBorder(each, *edges, cv2.BORDER_REPLICATE)) for each in (forth, back)
        )
    return Motion(forth, back)


def _alone(features: FrameFeatures, rows: slice, columns: slice) -> Bytes:
    """Return the picture without exposure and local contrast of a small region, as if nothing else were around it.

    Surroundings that move otherwise, and the step of light at the region's edge, would draw its motion to theirs. They
    are filled with the region's own brightness nearby.
    """
    luma, inside = features.luma[rows, columns], features.weight[rows, columns] > 0.5
    if not inside.any():
        return np.ascontiguousarray(features.plain[rows, columns])
    share, light = (
        blurred(each) for each in (inside.astype(np.float32), np.where(inside, luma, np.float32(0)))
    )
    far = np.float32(np.median(luma[inside]))
    nearby = np.where(share > SMALLEST_SHARE, light / np.maximum(share, SMALLEST_SHARE), far)
    return plain_of(np.where(inside, luma, nearby))


def _region(later: FrameFeatures, earlier: FrameFeatures) -> Tuple[slice, slice]:
    """Return the rows and columns in which motion is searched: all, or those around a small measured region."""
    height, width = later.plain.shape
    whole = slice(0, height), slice(0, width)
    if float(later.weight.mean()) > SMALL_REGION:
        return whole
    x, y, w, h = cv2.boundingRect(((later.weight > 0) | (earlier.weight > 0)).astype(np.uint8))
    top, bottom = max(y - MARGIN_PX, 0), min(y + h + MARGIN_PX, height)
    left, right = max(x - MARGIN_PX, 0), min(x + w + MARGIN_PX, width)
    if not w or (bottom - top) * (right - left) == height * width:
        return whole
    return slice(top, bottom), slice(left, right)


def _flow(first: Bytes, second: Bytes, start: Float32, finest: int) -> Float32:
    """Return the motion `(h, w, 2)` from the first to the second picture; a picture too small is enlarged for it."""
    height, width = first.shape
    needed = max(SMALLEST_PX, PATCH_PX << finest)
    edges = (0, max(needed - height, 0), 0, max(needed - width, 0))
    if any(edges):
        first, second, start = (
            cast(Any, cv2.copyMakeBorder(each, *edges, cv2.BORDER_REPLICATE))
            for each in (first, second, start)
        )
    # DIS keeps buffers, so there is one object per thread.
    if not hasattr(_FINDERS, "dis"):
        _FINDERS.dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    # Set every time: after a picture that is too small for its levels the object would keep other ones.
    _FINDERS.dis.setFinestScale(finest)
    _FINDERS.dis.setPatchSize(PATCH_PX)
    return cast(Float32, _FINDERS.dis.calc(first, second, start)[:height, :width])


def follow(
    later: FrameFeatures, earlier: FrameFeatures, before: Optional[Flow] = None, enough: float = LOST_LIKENESS
) -> Motion:
    """Return the motion between neighbours like `follow_far`, and the similarity of the whole pictures after it.

    Args:
        later: the later frame.
        earlier: the earlier frame.
        before: the motion between the last neighbours, since a pan continues.
        enough: similarity at which no other start is tried.
    """
    if float(later.weight.mean()) <= SMALL_REGION:
        # The camera's motion is not the region's: only the detection of cuts needs it.
        one, other = (replace(each, weight=np.ones_like(each.weight)) for each in (later, earlier))
        whole = follow(one, other, enough=CUT_LIKENESS)
        return replace(follow_far(later, earlier), likeness=whole.likeness)
    found = _with_likeness(later, earlier, None)
    for start in (before, None):
        if found.likeness >= enough:
            break
        again = _with_likeness(later, earlier, start or _camera_move(later, earlier))
        if again.likeness > found.likeness:
            found = again
    if found.is_cut and _looks_the_same(later, earlier):
        return at_rest(later)
    return found


def _looks_the_same(later: FrameFeatures, earlier: FrameFeatures) -> bool:
    """Whether two frames show the same picture without detail (card, sky, fog) and differ in noise only."""
    small = (
        cv2.resize(each.logs.mean(axis=2), THUMBNAIL, interpolation=cv2.INTER_AREA) - each.level
        for each in (later, earlier)
    )
    return float(np.abs(next(small) - next(small)).max()) < SAME_STOPS


def _with_likeness(later: FrameFeatures, earlier: FrameFeatures, guess: Optional[Flow]) -> Motion:
    """Return the motion with its similarity, the lower one of both directions."""
    found = follow_far(later, earlier, guess)
    forth = kernels.likeness(later.plain, earlier.plain, found.forth)
    return replace(found, likeness=min(forth, kernels.likeness(earlier.plain, later.plain, found.back)))


def _camera_move(later: FrameFeatures, earlier: FrameFeatures) -> Flow:
    """Return the shift of the whole picture after which both frames are most similar.

    The correlation at every shift, at a quarter of the size, divided by the energy of the overlap.
    """
    height, width = later.plain.shape
    size = (max(width // COARSE, 1), max(height // COARSE, 1))
    first, second = (
        cv2.resize(each.plain, size, interpolation=cv2.INTER_AREA) - np.float32(128)
        for each in (later, earlier)
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
    move = np.full((*later.plain.shape, 2), (COARSE * across, COARSE * down), np.float32)
    return Flow(move, -move)


def _warp(image: Float32, flow: Float32) -> Float32:
    rows, columns = np.indices(flow.shape[:2], np.float32)
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    return cast(Float32, cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


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
    off_px = DISAGREEMENT_PX if float(later.weight.mean()) > SMALL_REGION else SMALL_DISAGREEMENT_PX
    sums = kernels.sample(
        later.logs,
        earlier.logs,
        (later.slope, earlier.slope),
        (later.weight, earlier.weight),
        (motion.forth, motion.back),
        np.array([off_px, FLOW_ERROR_PX, NOISE_STOPS, middle, *limits]),
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
    return chosen(samples, slice(None, None, max(1, len(samples.weight) // max(count, 1))))


def chosen(samples: PairSamples, which: Any) -> PairSamples:
    """Return some of the samples: `which` is a slice or a mask `(n,)`."""
    return replace(samples, **{name: one[which] for name, one in vars(samples).items() if name != "trust"})


def shifted(samples: PairSamples, stops: float) -> PairSamples:
    """Return the samples with `stops` subtracted from all colours."""
    return replace(samples, later=samples.later - stops, earlier=samples.earlier - stops)
