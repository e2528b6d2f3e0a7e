"""Finish one frame: apply the field to the plate, put it over the background if asked, encode, rename
into `out/`.

    done = finish(frames, plan, field, path)
    done.size, done.crc, done.report

What is not relit goes out as it came in: other channels, AOVs, attributes, windows, pixel types, to the
bit. With the null field, or strength 0, so do the relit channels.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
from harmovid.errors import OutputError, SpoolFull
from harmovid.pixels import exr
from harmovid.pixels.apply_fast import apply_field
from harmovid.pixels.field import LightingField

from harmovid_server.picture import Frames, Picture, Plane, matte_plane
from harmovid_server.plan import Plan
from harmovid_server.spool import DISK_FULL, PART
from harmovid_server.working import linear_planes, space_in, stored_planes

ENGINE_ATTRIBUTE = "harmovid/engine"
STRENGTH_ATTRIBUTE = "harmovid/strength"


@dataclass
class Finished:
    """A result on disk: size in bytes, crc32 of the file, and the facts of its making."""

    size: int
    crc: int
    report: Dict[str, Any] = field(default_factory=dict)


def finish(frames: Frames, plan: Plan, light: LightingField, target: Path) -> Finished:
    """Make and write the result of one frame.

    Args:
        frames: decoded layers, at least `plan.finish_layers`.
        light: the engine's answer.
        target: the result's final name; its folder is there.

    Raises:
        FrameError: a layer without the channels it needs.
        SpoolFull, OutputError: the result cannot be written.
    """
    report: Dict[str, Any] = {}
    frame = _relit(frames, plan, light, report)
    frame = exr.with_attributes(
        frame,
        {
            ENGINE_ATTRIBUTE: exr.Attribute.of("string", plan.engine),
            STRENGTH_ATTRIBUTE: exr.Attribute.of("float", plan.strength),
        },
    )
    data = exr.write(frame)
    _save(data, target)
    return Finished(len(data), zlib.crc32(data), report)


def _save(data: bytes, target: Path) -> None:
    """Write a file under a temporary name and rename it; raise `SpoolFull` when there is no room."""
    unfinished = target.with_name(target.name + PART)
    try:
        unfinished.write_bytes(data)
        unfinished.replace(target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        if error.errno in DISK_FULL:
            raise SpoolFull(f"the spool cannot be written: {error.strerror}.") from error
        raise OutputError(f"the result cannot be written into the spool: {error.strerror}.") from error


def _relit(frames: Frames, plan: Plan, light: LightingField, report: Dict[str, Any]) -> exr.ExrFrame:
    """Return the target with its colours relit."""
    frame = frames[plan.target]
    if light.is_null or plan.strength == 0:
        return frame
    picture = Picture.of(frames, plan)
    space = space_in(frames, plan, plan.target)
    divisor = picture.alpha if picture.divide else None
    linear = linear_planes(picture.rgb, space, divisor)
    relit, applied = apply_field(
        linear,
        light,
        origin=picture.window[:2],
        alpha=picture.alpha,
        premultiplied=picture.divide,
        mask=_mask(frames, picture),
        strength=plan.strength,
    )
    report["changed_pixels"] = applied.changed_pixels
    report["clamped_values"] = applied.clamped_values
    stored = stored_planes(relit, linear, picture.rgb, space, divisor)
    return exr.with_channels(frame, dict(zip(picture.layer.rgb, stored)), picture.layer.part)[0]


def _mask(frames: Frames, picture: Picture) -> Optional[Plane]:
    """Return the weights of relighting `(H, W)` float32 0..1, or None where all is relit in full."""
    mask = None
    if "mask" in frames:
        mask = np.clip(matte_plane(frames["mask"], picture.window).astype(np.float32), 0, 1)
    if picture.gate is not None:
        gate = (picture.gate > 0).astype(np.float32)
        mask = gate if mask is None else mask * gate
    return mask
