"""Measure one frame: its layers at proxy size as engines see them, and the facts worth telling.

small = measure(frames, plan)
small.images["plate"]       # (h, w, 3) float32, scene-linear in the target's primaries, unassociated
small.mattes["coverage"]    # (h, w) float32, 0..1
small.facts                 # {"display": [x0, y0, x1, y1], "data": [...], "nan": 0, "inf": 0}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Sequence

import numpy as np
import numpy.typing as npt
from harmovid.errors import FrameError
from harmovid.pixels.colour.spaces import convert_primaries

from harmovid_server.codec.picture import Box, Frames, Picture, Plane, colour_planes, matte_plane
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.reduce import area_means, proxy_size
from harmovid_server.codec.working import linear_planes, space_in

Float32 = npt.NDArray[np.float32]

ALPHA_FLOOR = 1e-4
"""Mean alpha below which a proxy pixel has no colour of its own: the quotient would be noise."""


@dataclass
class Measured:
    """One frame at proxy size; images and mattes as `engines.base.ProxyFrame` wants them."""

    images: Dict[str, Float32] = field(default_factory=dict)
    mattes: Dict[str, Float32] = field(default_factory=dict)
    facts: Dict[str, Any] = field(default_factory=dict)


def measure(frames: Frames, plan: Plan) -> Measured:
    """Measure the layers of one frame, the target first.

    Args:
        frames: decoded layers of one display window.
        plan: the job's.

    Raises:
        FrameError: a layer without the channels it needs, named.
    """
    result = Measured()
    _measure_target(frames, plan, result)
    for layer in frames:
        if layer != plan.target:
            try:
                _measure_layer(layer, frames, plan, result)
            except FrameError as error:
                error.layer = layer
                raise
    return result


def _measure_target(frames: Frames, plan: Plan, result: Measured) -> None:
    display = frames[plan.target].display_window
    picture = Picture.of(frames, plan)
    alpha = picture.alpha if picture.divide else None
    rgb = linear_planes(picture.rgb, space_in(frames, plan, plan.target), alpha)
    planes: Sequence[Plane] = rgb if alpha is None else [*rgb, alpha]
    small = area_means(planes, picture.window, display, proxy_size(display, plan.lines))
    result.images[plan.target] = small.means if alpha is None else _unassociated(small.means)
    result.mattes["coverage"] = small.coverage
    if picture.matte is not None:
        result.mattes["matte"] = _matte(picture.matte, picture.window, display, plan.lines)
    result.facts = {
        "display": list(display), "data": list(picture.window), "nan": small.nan, "inf": small.inf
    }  # fmt: skip


def _unassociated(means: Float32) -> Float32:
    """Return `(h, w, 3)` colours of `(h, w, 4)` means of premultiplied colours and alpha.

    The quotient of the two means is the mean of the colours weighted by alpha, and is steady where alpha is
    small in single pixels.
    """
    alpha = means[..., 3:]
    return np.divide(means[..., :3], alpha, out=np.zeros_like(means[..., :3]), where=alpha > ALPHA_FLOOR)


def _measure_layer(layer: str, frames: Frames, plan: Plan, result: Measured) -> None:
    frame = frames[layer]
    display = frame.display_window
    if layer in plan.mattes:
        if layer not in result.mattes:
            window = frame.data_window
            result.mattes[layer] = _matte(matte_plane(frame, window), window, display, plan.lines)
        return
    planes, window = colour_planes(frame)
    space, target = space_in(frames, plan, layer), space_in(frames, plan, plan.target)
    rgb = linear_planes(planes, space, None, target)
    means = area_means(rgb, window, display, proxy_size(display, plan.lines)).means
    if space.linear:
        means = convert_primaries(means, space.primaries, target.primaries)
    result.images[layer] = means


def _matte(plane: Plane, window: Box, display: Box, lines: int) -> Float32:
    """Return a matte at proxy size, 0..1: what is not covered, or no number, counts as 0."""
    small = area_means([plane], window, display, proxy_size(display, lines))
    clipped: Float32 = np.clip(small.means[..., 0] * small.coverage, 0.0, 1.0)
    return clipped
