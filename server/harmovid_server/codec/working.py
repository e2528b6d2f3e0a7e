"""The working space of a job: scene-linear light with the target's own primaries (docs/architecture.md, 2).

    space = space_in(frames, plan, layer)
    linear = linear_planes(picture.rgb, space, picture.alpha)                # the same planes if linear already
    stored = stored_planes(relit, linear, picture.rgb, space, picture.alpha) # unchanged pixels bit-identical

The target's pixels are never converted to other primaries. Other layers are converted to the target's, after averaging
if that gives the same. A named colour space that is not linear is converted to linear light pixel by pixel.
"""

from __future__ import annotations

from typing import Optional

import numpy as np
import numpy.typing as npt
from harmovid.pixels import exr
from harmovid.pixels.colour.spaces import Space, space_of

from harmovid_server.codec.picture import RGB, Frames, Plane
from harmovid_server.codec.plan import Plan

Float32 = npt.NDArray[np.float32]


def space_in(frames: Frames, plan: Plan, layer: str) -> Space:
    """Return how `layer` is stored; raise `ColourError` if the configuration does not know its name."""
    frame = frames[layer]
    part = frame.parts[plan.rules.layer(frame.headers, layer).part]
    return space_of(plan.colorspace.get(layer, ""), part.header.chromaticities)


def linear_planes(rgb: RGB, space: Space, alpha: Optional[Plane], target: Optional[Space] = None) -> RGB:
    """Return stored planes `(H, W)` as scene-linear light; the same planes if they are linear already.

    Args:
        rgb: half or float32, as stored.
        space: how they are stored.
        alpha: what they are multiplied by, or None; the result is multiplied by it, too.
        target: whose primaries the result has if the space is not linear; None is its own.
    """
    if space.linear:
        return rgb
    linear = space.to_linear(_divided(rgb, alpha), target.primaries if target else None)
    return _multiplied(linear, alpha)


def stored_planes(relit: RGB, linear: RGB, stored: RGB, space: Space, alpha: Optional[Plane]) -> RGB:
    """Return changed linear planes in `space`, in the stored planes' types.

    Args:
        relit: linear planes after relighting.
        linear: the same before relighting.
        stored: the file's own planes; unchanged pixels are taken from there, bit-identical.
        space: how they are stored.
        alpha: what they are multiplied by, or None.
    """
    if space.linear:
        return relit
    again = _multiplied(space.from_linear(_divided(relit, alpha)), alpha)
    with np.errstate(invalid="ignore"):
        changed = np.logical_or.reduce([new != old for new, old in zip(relit, linear)])
    changed &= np.logical_and.reduce([np.isfinite(plane) for plane in again])
    red, green, blue = (_merged(new, old, changed) for new, old in zip(again, stored))
    return red, green, blue


def _merged(new: Plane, old: Plane, changed: npt.NDArray[np.bool_]) -> Plane:
    """Return `new` where changed, in the type of `old` and clamped to the range of half, and `old` elsewhere."""
    if old.dtype == np.float16:
        new = exr.to_half(new)[0]
    return np.where(changed, new, old)


def _divided(rgb: RGB, alpha: Optional[Plane]) -> Float32:
    """Return planes as one `(H, W, 3)` float32 picture, divided by alpha where that is above 0."""
    with np.errstate(invalid="ignore"):
        picture = np.stack(rgb, axis=-1).astype(np.float32)
    if alpha is None:
        return picture
    opaque = np.where(alpha > 0, alpha, 1).astype(np.float32)
    return picture / opaque[..., None]


def _multiplied(picture: Float32, alpha: Optional[Plane]) -> RGB:
    """Return `(H, W, 3)` as three planes, multiplied by alpha where that is above 0."""
    if alpha is not None:
        picture = picture * np.where(alpha > 0, alpha, 1).astype(np.float32)[..., None]
    red, green, blue = (np.ascontiguousarray(picture[..., channel]) for channel in range(3))
    return red, green, blue
