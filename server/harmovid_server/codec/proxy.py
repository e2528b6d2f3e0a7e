"""Measure one frame: its layers at proxy size for engines, and facts for the report.

small = measure(frames, plan)
small.images["plate"]       # (h, w, 3) float32, scene-linear in the target's primaries, unassociated
small.mattes["coverage"]    # (h, w) float32, 0..1
small.facts                 # {"display": [x0, y0, x1, y1], "data": [...], "nan": 0, "inf": 0, "notes": [...]}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Sequence

import numpy as np
import numpy.typing as npt
from harmovid.job import FOREGROUND_MATTE
from harmovid.pixels import exr
from harmovid.pixels.colour.spaces import convert_primaries
from harmovid.pixels.inputs import Chosen

from harmovid_server.codec.picture import Box, Frames, Picture, Plane, colour_planes
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.reduce import area_means, joined, proxy_size
from harmovid_server.codec.working import linear_planes, space_in

Float32 = npt.NDArray[np.float32]

ALPHA_FLOOR = 1e-4
"""Below this mean alpha a proxy pixel gets no colour, because the quotient would be noise."""

LENGTHS = (0.9, 1.1)
"""Normals have the length 1; if most of a file's vectors are outside of this, it is noted."""

SHORT = 0.1
"""Shorter vectors are no surface."""

MATTE_ABOVE = 1.5
"""A matte with a proxy pixel above this is noted: filters overshoot by less, a matte of 8 bits has 255."""


@dataclass
class Measured:
    """One frame at proxy size; images and mattes for `engines.base.ProxyFrame`.

    `facts`: the target's "display" and "data" windows, counts "nan" and "inf", "notes" (sentences that begin with
    the input's name), "solid" (inputs whose matte is "white" or "black" everywhere in this frame) and "primaries" (of
    images without a named colour space).
    """

    images: Dict[str, Float32] = field(default_factory=dict)
    mattes: Dict[str, Float32] = field(default_factory=dict)
    facts: Dict[str, Any] = field(default_factory=dict)


def measure(frames: Frames, plan: Plan) -> Measured:
    """Measure the inputs of one frame, the target first.

    Args:
        frames: decoded inputs of one display window.
        plan: the job's.

    Raises:
        FrameError: an input lacks channels; the error names it.
    """
    chosen = plan.rules.judge({name: frame.headers for name, frame in frames.items()})
    stated = {
        name: [round(number, 4) for number in space_in(frames, plan, name).primaries]
        for name in chosen.images
        if name not in plan.vectors and name not in plan.colorspace
    }
    result = Measured(facts={"notes": list(chosen.remarks), "solid": {}, "primaries": stated})
    display = frames[plan.target].parts[chosen.images[plan.target].part].header.display_window
    _measure_target(frames, plan, display, result)
    for name in chosen.images:
        if name != plan.target:
            own = frames[name].parts[chosen.images[name].part].header.display_window
            _measure_image(name, frames, plan, own if name in plan.panoramas else display, result)
    for name in chosen.mattes:
        _measure_matte(name, frames, plan, display, chosen, result)
    return result


def _measure_target(frames: Frames, plan: Plan, display: Box, result: Measured) -> None:
    picture = Picture.of(frames, plan)
    alpha = picture.alpha if picture.divide else None
    rgb = linear_planes(picture.rgb, space_in(frames, plan, plan.target), alpha)
    planes: Sequence[Plane] = rgb if alpha is None else [*rgb, alpha]
    small = area_means(planes, picture.window, display, proxy_size(display, plan.lines))
    result.images[plan.target] = small.means if alpha is None else _unassociated(small.planes)
    result.mattes["coverage"] = small.coverage
    if picture.matte is not None:
        name = FOREGROUND_MATTE if FOREGROUND_MATTE in frames else f"the alpha of {plan.target}"
        reduced = _reduced(name, picture.matte, picture.window, display, plan.lines, result)
        result.mattes[FOREGROUND_MATTE] = reduced
        _note_solid(FOREGROUND_MATTE, picture.matte, result)
    result.facts.update(display=list(display), data=list(picture.window), nan=small.nan, inf=small.inf)


def _unassociated(means: Sequence[Float32]) -> Float32:
    """Return `(h, w, 3)` colours of four planes of means, premultiplied colours and alpha.

    The quotient of the two means is the mean of the colours weighted by alpha, so it is stable even if alpha is
    small in single pixels.
    """
    *colours, alpha = means
    shown = alpha > ALPHA_FLOOR
    divisor = np.where(shown, alpha, np.float32(1))
    return joined([np.where(shown, plane / divisor, np.float32(0)) for plane in colours])


def _measure_image(name: str, frames: Frames, plan: Plan, display: Box, result: Measured) -> None:
    planes, window = colour_planes(frames[name], plan, name)
    space, target = space_in(frames, plan, name), space_in(frames, plan, plan.target)
    rgb = planes if name in plan.vectors else linear_planes(planes, space, None, target)
    means = area_means(rgb, window, display, proxy_size(display, plan.lines)).means
    if name in plan.vectors:
        _note_lengths(name, means, result)
    elif space.linear:
        means = convert_primaries(means, space.primaries, target.primaries)
    result.images[name] = means


def _note_lengths(name: str, vectors: Float32, result: Measured) -> None:
    """Note vectors `(h, w, 3)` that are no normals: a picture, or normals that are encoded from 0 to 1."""
    lengths = np.sqrt(np.einsum("hwc,hwc->hw", vectors, vectors))
    lengths = lengths[lengths > SHORT]
    if lengths.size and np.mean((lengths > LENGTHS[0]) & (lengths < LENGTHS[1])) < 0.5:
        result.facts["notes"].append(
            f"{name}: most of its vectors do not have the length 1; normals go from -1 to 1 and are no colours"
        )


def _measure_matte(
    name: str, frames: Frames, plan: Plan, display: Box, chosen: Chosen, result: Measured
) -> None:
    """Measure one matte input; note which channel it is if the content decided that."""
    found = chosen.mattes[name]
    plane, channel = exr.matte_plane(frames[name], found)
    if channel != found.channel:
        result.facts["notes"].append(
            f"{name}: its channel {channel} is taken, as {found.channel} is the same everywhere; "
            "--mask-channel chooses another"
        )
    _note_solid(name, plane, result)
    if name not in result.mattes:  # the foreground's matte has been measured in the foreground's window
        window = frames[name].parts[found.part].header.data_window
        result.mattes[name] = _reduced(name, plane, window, display, plan.lines, result)


def _note_solid(name: str, plane: Plane, result: Measured) -> None:
    colour = exr.solid(plane)
    if colour:
        result.facts["solid"][name] = colour


def _reduced(name: str, plane: Plane, window: Box, display: Box, lines: int, result: Measured) -> Float32:
    """Return a matte at proxy size, 0..1; uncovered pixels and NaN count as 0. Note what is no matte's value."""
    small = area_means([plane], window, display, proxy_size(display, lines))
    if small.nan:
        result.facts["notes"].append(f"{name}: it has pixels that are not numbers (NaN), which count as 0")
    (mean,) = small.planes
    if mean.max(initial=0) > MATTE_ABOVE:
        result.facts["notes"].append(
            f"{name}: it has values far above 1, but a matte goes from 0 to 1 (divide one of 8 bits by 255)"
        )
    clipped: Float32 = np.clip(mean * small.coverage, 0.0, 1.0)
    return clipped
