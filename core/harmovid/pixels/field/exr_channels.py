"""A lighting field inside an EXR: its stops as channels, its global part as an attribute, and both read back.

    from harmovid.pixels.apply.fast import apply_stops, field_stops
    frame = with_field(frame, field_stops(...), field)   # harmovid.R/G/B, attribute "harmovid/grade"
    stops = read_stops(frame)
    result, _ = apply_stops(plate_rgb, stops)            # the delivered picture again

The channels hold the stops that were applied at every pixel, strength and masks included, so `plate * 2 ** stops` is
the result; in a comp they can be scaled, masked and blurred first. With `apply_stops` the result is bit-identical to
the delivered one; `plate * pow(2, stops)` in another program is within `REPRODUCE_RTOL` (float32) or one rounding step
(half). The attribute holds the curves as JSON, so that a grade can be exported without a server
(`harmovid.pixels.fitting.grade`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from harmovid.errors import FrameRefused, FrameUnreadable, InputError
from harmovid.pixels import exr
from harmovid.pixels.exr.header import channels_attribute
from harmovid.pixels.field import Curve, Faded, Float32, LightingField, Part

FIELD_CHANNELS = ("harmovid.R", "harmovid.G", "harmovid.B")
"""The stops of red, green and blue, float32."""

GRADE_ATTRIBUTE = "harmovid/grade"
"""The curves of the field, as JSON text."""

REPRODUCE_RTOL = 5e-7
"""Relative difference between exact `plate * 2 ** stops` and a delivered float32: at most four roundings."""

_VERSION = 1
_MAX_JSON = 64 << 10
_MAX_DEPTH = 8


def with_field(
    frame: exr.ExrFrame, stops: Float32, field: LightingField, part: Optional[int] = None
) -> exr.ExrFrame:
    """Return the frame with the field in it, in place of an earlier field.

    Args:
        frame: a result, or any frame of the plate's data window.
        stops: `(H, W, 3)` float32 as `field_stops` gives them.
        field: its global part goes into the attribute.
        part: index of the part; None is the main part.

    Raises:
        InputError: stops of another size than the data window.
    """
    index = frame.main if part is None else part
    header = frame.parts[index].header
    if stops.shape != (*header.shape, 3):
        raise InputError(f"stops of {stops.shape} do not fill a data window of {header.shape}.")
    planes = {name: np.ascontiguousarray(stops[..., i], np.float32) for i, name in enumerate(FIELD_CHANNELS)}
    frame = exr.with_channels(_without_field(frame, index), planes, index)[0]
    text = exr.Attribute.of("string", grade_to_json(field))
    return exr.with_attributes(frame, {GRADE_ATTRIBUTE: text}, index)


def read_stops(frame: exr.ExrFrame, part: Optional[int] = None) -> Float32:
    """Return the stops stored in a frame, `(H, W, 3)` float32.

    Raises:
        FrameRefused: it carries none.
    """
    index = frame.main if part is None else part
    if not all(name in frame.parts[index].channels for name in FIELD_CHANNELS):
        raise FrameRefused(
            f"the frame has no channels {', '.join(FIELD_CHANNELS)}.", fix="Render it with field layers."
        )
    return np.stack([exr.channel_plane(frame, name, index) for name in FIELD_CHANNELS], axis=-1)


def read_grade(frame: exr.ExrFrame, part: Optional[int] = None) -> LightingField:
    """Return the global part of the field stored in a frame.

    Raises:
        FrameRefused: it carries none.
        FrameUnreadable: the attribute is malformed.
    """
    text = frame.parts[frame.main if part is None else part].header.get(GRADE_ATTRIBUTE)
    if not isinstance(text, str):
        raise FrameRefused(
            f"the frame has no attribute {GRADE_ATTRIBUTE}.",
            fix="It is not a HarmoVid result, or one of the output proxy, which has no grade.",
        )
    return grade_from_json(text)


def global_part(field: LightingField) -> LightingField:
    """Return the curves of a field, without its grids and maps."""
    return LightingField(_curves(field.parts))


def _curves(parts: Tuple[Part, ...]) -> Tuple[Part, ...]:
    kept: List[Part] = []
    for part in parts:
        if isinstance(part, Curve):
            kept.append(part)
        elif isinstance(part, Faded):
            inner = _curves(part.parts)
            if inner:
                kept.append(Faded(inner, part.strength))
    return tuple(kept)


def grade_to_json(field: LightingField) -> str:
    """Return the field's curves as JSON; its numbers come back exactly."""
    return json.dumps({"version": _VERSION, "parts": _described(_curves(field.parts))})


def _described(parts: Tuple[Part, ...]) -> List[Dict[str, Any]]:
    listed: List[Dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Faded):
            listed.append({"strength": part.strength, "parts": _described(part.parts)})
        elif isinstance(part, Curve):
            numbers = {"anchor": part.anchor, "low": part.low, "high": part.high}
            listed.append({"coeffs": np.asarray(part.coeffs).tolist(), **numbers})
    return listed


def grade_from_json(text: str) -> LightingField:
    """Return the curves that `grade_to_json` encoded.

    Raises:
        FrameUnreadable: too long, not JSON, or not such a description.
    """
    if len(text) > _MAX_JSON:
        raise FrameUnreadable(f"a grade of {len(text)} characters is longer than {_MAX_JSON}.")
    try:
        found = json.loads(text)
        if found["version"] != _VERSION:
            raise InputError(f"version {found['version']!r} is not {_VERSION}.")
        return LightingField(_parsed(found["parts"], 1))
    except (KeyError, TypeError, ValueError, RecursionError, InputError) as error:
        raise FrameUnreadable(f"the frame's grade cannot be read: {error}") from error


def _parsed(listed: Any, depth: int) -> Tuple[Part, ...]:
    if depth > _MAX_DEPTH:
        raise InputError("it is nested too deep.")
    parts: List[Part] = []
    for item in listed:
        if "parts" in item:
            parts.append(Faded(_parsed(item["parts"], depth + 1), item["strength"]))
        else:
            parts.append(Curve(item["coeffs"], item["anchor"], item["low"], item["high"]))
    return tuple(parts)


def _without_field(frame: exr.ExrFrame, index: int) -> exr.ExrFrame:
    """Return the frame without field channels, since an existing half channel would round the new values."""
    part = frame.parts[index]
    if not any(name in part.channels for name in FIELD_CHANNELS):
        return frame
    listed = {name: each for name, each in part.header.channels.items() if name not in FIELD_CHANNELS}
    header = part.header.with_attributes({"channels": channels_attribute(listed)})
    bare = exr.ExrPart(header, {name: part.channels[name] for name in listed})
    return replace(frame, parts=(*frame.parts[:index], bare, *frame.parts[index + 1 :]))
