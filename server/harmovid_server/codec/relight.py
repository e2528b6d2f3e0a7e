"""Apply an engine's answer to the target of one frame, at full resolution; other pixels stay untouched.

relit = relight(frames, plan, light)
relit.stored       # planes as the file stores them; the file's own arrays if nothing changed
relit.linear       # the same as scene-linear light
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels import exr
from harmovid.pixels.apply.fast import apply_field, apply_stops, field_stops
from harmovid.pixels.apply.tiles import ApplyReport
from harmovid.pixels.colour.spaces import Space
from harmovid.pixels.field import LightingField

from harmovid_server.codec.picture import RGB, Frames, Picture, Plane, matte_plane
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.working import linear_planes, space_in, stored_planes

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Relit:
    """The target with the field applied.

    Attributes:
        picture: the target before.
        space: its colour space.
        stored, linear: its colours, planes `(H, W)` of the target's data window.
        stops: `(H, W, 3)` the stops applied, strength and masks included; None if they are not needed.
        counts: facts for the report, empty if nothing was done.
    """

    picture: Picture
    space: Space
    stored: RGB
    linear: RGB
    stops: Optional[Float32]
    counts: Dict[str, int]


def relight(frames: Frames, plan: Plan, light: LightingField, view: Optional[exr.Layer] = None) -> Relit:
    """Return the target with the field applied according to the plan.

    Args:
        frames: decoded inputs of one frame.
        plan: the job's.
        light: the engine's answer.
        view: the picture of another view of the target, which gets the same field; None is the one measured.

    Raises:
        FrameError: a layer lacks channels.
        ColourError: a colour space that the configuration does not know.
    """
    picture = Picture.of(frames, plan, view)
    space = space_in(frames, plan, plan.target)
    divisor = picture.alpha if picture.divide else None
    linear = linear_planes(picture.rgb, space, divisor)
    if light.is_null or plan.strength == 0:
        stops = np.zeros((*picture.rgb[0].shape, 3), np.float32) if plan.field_layers else None
        return Relit(picture, space, picture.rgb, linear, stops, {})
    relit, stops, done = _applied(linear, light, picture, change_mask(frames, plan, picture), plan)
    stored = stored_planes(relit, linear, picture.rgb, space, divisor)
    counts = {"changed_pixels": done.changed_pixels, "clamped_values": done.clamped_values}
    return Relit(picture, space, stored, relit, stops, counts)


def _applied(
    linear: RGB, light: LightingField, picture: Picture, mask: Optional[Plane], plan: Plan
) -> Tuple[RGB, Optional[Float32], ApplyReport]:
    """Return the changed planes, the stops if they are to be delivered, and a report."""
    origin = picture.window[:2]
    alpha, divide, strength = picture.alpha, picture.divide, plan.strength
    if not plan.field_layers:
        relit, done = apply_field(
            linear, light, origin=origin, alpha=alpha, premultiplied=divide, mask=mask, strength=strength
        )
        return relit, None, done
    stops = field_stops(
        linear, light, origin=origin, alpha=alpha, premultiplied=divide, mask=mask, strength=strength
    )
    # The delivered stops themselves are applied, so that applying them to the plate gives the same picture.
    relit, done = apply_stops(linear, stops)
    return relit, stops, done


def change_mask(frames: Frames, plan: Plan, picture: Picture) -> Optional[Plane]:
    """Return the weights of the change `(H, W)` float32 0..1, or None if they are 1 everywhere."""
    mask = None
    if "mask" in frames:
        mask = np.clip(matte_plane(frames["mask"], plan, "mask", picture.window).astype(np.float32), 0, 1)
    if picture.gate is not None:
        gate = (picture.gate > 0).astype(np.float32)
        mask = gate if mask is None else mask * gate
    return mask
