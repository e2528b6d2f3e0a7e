"""The overall correction of a frame in stops: from the server's report, or from the result's own header.

    correction("/shot/result.%04d.exr", 1001, report)       # (red, green, blue) stops at middle grey, or None

Plain Python on bytes: the attribute `harmovid/grade` holds the field's curves as JSON (docs/lighting-field.md).
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any, Dict, List, Mapping, Optional, Tuple

from harmovid.frames import FramePattern
from harmovid.storage.kinds import EXR_MAGIC

Triple = Tuple[float, float, float]
GRADE = b"harmovid/grade"
OVERALL = "overall_stops"
USUAL_HEADER, MAX_HEADER = 1 << 15, 1 << 20
MIDDLE_GREY = 0.18


def flicker(report: Mapping[str, Any]) -> Optional[Triple]:
    """Return the level of a frame before the correction, in stops above middle grey; None if the report lacks it."""
    return _level(report, "measured")


def stored_correction(report: Mapping[str, Any]) -> Optional[Triple]:
    """Return the overall correction that `noted` stored in a report; None if there is none."""
    return _triple(report.get(OVERALL))


def noted(pattern: str, frame: int, report: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a report with the frame's overall correction added, so that the file need not be read again."""
    found = correction(pattern, frame, report)
    return {**report, **({OVERALL: list(found)} if found is not None else {})}


def correction(pattern: str, frame: int, report: Mapping[str, Any]) -> Optional[Triple]:
    """Return the overall change of a frame in stops per channel; None if it is unknown.

    It is read from the report, or else from the result's file.
    """
    before, after = _level(report, "measured"), _level(report, "corrected")
    if before is not None and after is not None:
        return after[0] - before[0], after[1] - before[1], after[2] - before[2]
    try:
        return at_grey(grade_of(FramePattern.parse(pattern).path(frame)))
    except (OSError, ValueError, KeyError, TypeError, IndexError, struct.error):
        return None


def _level(report: Mapping[str, Any], name: str) -> Optional[Triple]:
    engine = report.get("engine")
    return _triple(engine.get(name)) if isinstance(engine, Mapping) else None


def _triple(value: Any) -> Optional[Triple]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    if not all(isinstance(each, (int, float)) and math.isfinite(each) for each in value):
        return None
    return float(value[0]), float(value[1]), float(value[2])


def grade_of(path: str) -> List[Mapping[str, Any]]:
    """Return the curves in a result's header; empty if it has no such attribute.

    Raises:
        ValueError, OSError: the file is not an EXR or cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(USUAL_HEADER)
        try:
            return _grade_in(data)
        except (IndexError, ValueError, struct.error):  # the header is longer than the part that was read
            return _grade_in(data + file.read(MAX_HEADER))


def _grade_in(data: bytes) -> List[Mapping[str, Any]]:
    """Return the curves in the header at the beginning of a file."""
    if not data.startswith(EXR_MAGIC):
        raise ValueError("no EXR")
    at = 8
    while data[at] != 0:
        name_end = data.index(b"\0", at)
        kind_end = data.index(b"\0", name_end + 1)
        (size,) = struct.unpack_from("<I", data, kind_end + 1)
        value = kind_end + 5
        if data[at:name_end] == GRADE:
            parts = json.loads(data[value : value + size])["parts"]
            return list(parts)
        at = value + size
    return []


def at_grey(parts: List[Mapping[str, Any]], level: float = MIDDLE_GREY) -> Triple:
    """Return the stops that curves add to a grey pixel when they are applied one after the other."""
    red, green, blue = _applied(parts, (level, level, level))
    return math.log2(red / level), math.log2(green / level), math.log2(blue / level)


def _applied(parts: List[Mapping[str, Any]], pixel: Triple) -> Triple:
    for part in parts:
        if "parts" in part:
            inner = _applied(part["parts"], pixel)
            stops = [part["strength"] * math.log2(new / old) for new, old in zip(inner, pixel)]
        else:
            stops = _curve_stops(part, pixel)
        pixel = (pixel[0] * 2 ** stops[0], pixel[1] * 2 ** stops[1], pixel[2] * 2 ** stops[2])
    return pixel


def _curve_stops(part: Mapping[str, Any], pixel: Triple) -> List[float]:
    low, high = part["low"], part["high"]
    r, g, b = (min(max(math.log2(value / part["anchor"]), low), high) for value in pixel)
    terms = (1.0, r, g, b, r * r, g * g, b * b, r * g, r * b, g * b)
    return [sum(weight * term for weight, term in zip(row, terms)) for row in part["coeffs"]]
