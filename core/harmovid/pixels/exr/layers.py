"""Layers of a frame: finding the picture's channels, reading them, replacing them.

**The beauty** is the channels R, G, B (and A) of the main part (`choice.main_part`): in a stereo file the default
view, in a multi-part file the part `rgba`. A picture with another name is found by the name of its layer:
"left" finds `left.R/G/B`, or a part named or viewed "left" that has R, G, B. Nuke's spelling
`diffuse.red/green/blue` and lower case are the same names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid.errors import FrameRefused, InputError
from harmovid.pixels.exr.choice import (
    BEAUTY_NAMES,
    NORMALS_NAMES,
    beauty_prefix,
    colour_layers,
    is_picture,
    main_part,
    vector_layers,
)
from harmovid.pixels.exr.frame import ExrFrame, ExrPart, Pixels
from harmovid.pixels.exr.header import Box, Channel, PartHeader, box_attribute, channels_attribute
from harmovid.pixels.exr.parse import ExrHeader
from harmovid.pixels.exr.values import Attribute

HALF_MAX = 65504.0
"""Largest finite half (IEEE 754-2008, binary16)."""

_HALF_ABS = np.uint16(0x7FFF)
_HALF_INF = np.uint16(0x7C00)
_FLOAT_ABS = np.uint32(0x7FFFFFFF)
_FLOAT_INF = np.uint32(0x7F800000)


@dataclass(frozen=True)
class Layer:
    """Where a layer's colours or vectors are.

    Attributes:
        part: index of the part.
        rgb: full names of its red, green and blue channels, or x, y and z.
        alpha: full name of its alpha channel, or None.
    """

    part: int
    rgb: Tuple[str, str, str]
    alpha: Optional[str] = None


class Nonfinite(NamedTuple):
    """How many values of a channel are not numbers, and how many are infinite."""

    nan: int
    inf: int


def layer_names(header: ExrHeader) -> Tuple[str, ...]:
    """Return the layers that have red, green and blue, in file order; "" is the beauty."""
    names: Dict[str, None] = {}
    for index, part in enumerate(header.parts):
        beauty = beauty_prefix(part)
        for prefix, roles in colour_layers(part).items():
            if is_picture(roles):
                plain = prefix == beauty
                names.setdefault("" if plain and index == header.main else _layer_name(part, prefix, plain))
    return tuple(names)


def _layer_name(part: PartHeader, prefix: str, plain: bool) -> str:
    """Return the name by which `find_layer` finds a layer other than the beauty."""
    return part.name if plain and part.name else prefix


def find_layer(header: ExrHeader, layer: str = "") -> Layer:
    """Find a layer's channels.

    Args:
        header: of the whole file.
        layer: the name of a layer ("left" for `left.R`), a part or a view; case is ignored if nothing matches exactly.
            Empty is the beauty, and so are its usual names ("rgba") if nothing in the file has that name.

    Raises:
        FrameRefused: the file has no such layer with red, green and blue.
    """
    exact = _candidates(header, layer, str) if layer else []
    loose = _candidates(header, layer, str.lower) if layer else []
    if not layer or layer.lower() in BEAUTY_NAMES:
        beauty = beauty_prefix(header.main_header)
        loose.append((header.main, "" if beauty is None else beauty))
    for index, prefix in (*exact, *loose):
        if is_picture(colour_layers(header.parts[index]).get(prefix, {})):
            return layer_at(header, index, prefix)
    known = ", ".join(name or "R, G, B" for name in layer_names(header)) or "none"
    wanted = f"layer {layer!r}" if layer else "channels R, G, B"
    fix = "Choose one of its layers by name (--layer)." if layer_names(header) else "Write it as R, G, B."
    raise FrameRefused(f"The file has no {wanted}. Its colour layers: {known}.", fix=fix)


def find_vectors(header: ExrHeader, layer: str = "") -> Layer:
    """Find the channels of vectors such as normals: x, y and z of a layer, or red, green and blue.

    Args:
        header: of the whole file.
        layer: the name of a layer; case is ignored if nothing matches exactly. Empty is the only layer with x, y and z,
            or the only one of them that is called N, normal or normals. Without any it is the only layer with red,
            green and blue that is called so, else the beauty.

    Raises:
        FrameRefused: the file has no such layer, or several could be meant.
    """
    found = [
        Layer(index, channels)
        for index, part in enumerate(header.parts)
        for channels in vector_layers(part).values()
    ]
    names = [_vectors_name(each) for each in found]
    if layer:
        for form in (str, str.lower):
            for each, name in zip(found, names):
                if form(name) == form(layer):
                    return each
        return find_layer(header, layer)
    called = [each for each, name in zip(found, names) if name.rpartition(".")[2].lower() in NORMALS_NAMES]
    for meant in (found, called):
        if len(meant) == 1:
            return meant[0]
    if found:
        raise FrameRefused(
            f"The file has several layers with x, y and z: {', '.join(names)}.",
            fix="Choose one by name (--layer).",
        )
    coloured = [name for name in layer_names(header) if name.rpartition(".")[2].lower() in NORMALS_NAMES]
    return find_layer(header, coloured[0] if len(coloured) == 1 else "")


def _vectors_name(layer: Layer) -> str:
    return layer.rgb[0].rpartition(".")[0]


def layer_at(header: ExrHeader, part: int, prefix: str) -> Layer:
    """Return the layer with that prefix in a part; it must have red, green and blue."""
    roles = colour_layers(header.parts[part])[prefix]
    return Layer(part, (roles[0], roles[1], roles[2]), roles.get(3))


def _candidates(header: ExrHeader, layer: str, form: Callable[[str], str]) -> List[Tuple[int, str]]:
    """Return where a layer of that name may be, as (part, prefix), the main part first."""
    order = [header.main, *(i for i in range(len(header.parts)) if i != header.main)]
    wanted = form(layer)
    by_prefix = [
        (i, prefix) for i in order for prefix in colour_layers(header.parts[i]) if form(prefix) == wanted
    ]
    named = [i for i in order if wanted in (form(header.parts[i].name), form(header.parts[i].view))]
    return by_prefix + [(i, beauty_prefix(header.parts[i]) or "") for i in named]


def layer_rgb(frame: ExrFrame, layer: str = "") -> Tuple[Layer, npt.NDArray[np.float32]]:
    """Return a layer and its colours, `(H, W, 3)` float32 in the file's own colour state, as stored:
    unbounded, premultiplied or not as the file is, NaN and infinity included.

    Raises:
        FrameRefused: there is no such layer, or it is subsampled or of unsigned integers.
    """
    found = find_layer(frame.headers, layer)
    part = frame.parts[found.part]
    out = np.empty((*part.header.shape, 3), np.float32)
    for index, name in enumerate(found.rgb):
        out[..., index] = _full(part, name)
    return found, out


def channel_plane(frame: ExrFrame, name: str, part: Optional[int] = None) -> npt.NDArray[np.float32]:
    """Return one channel `(H, W)` as float32.

    Args:
        frame: the frame to read from.
        name: full channel name.
        part: index of the part; None is the main part.

    Raises:
        FrameRefused: there is no such channel, or it is subsampled or of unsigned integers.
    """
    return _full(frame.parts[frame.main if part is None else part], name).astype(np.float32)


def _full(part: ExrPart, name: str) -> Pixels:
    pixels = part.channels.get(name)
    if pixels is None or pixels.shape != part.header.shape or pixels.dtype == np.uint32:
        raise FrameRefused(f"The file has no full-size channel {name} of half or float.")
    return pixels


def count_nonfinite(pixels: Pixels) -> Nonfinite:
    """Count NaN and infinity in a channel of any type (unsigned integers have none)."""
    if pixels.dtype == np.uint32:
        return Nonfinite(0, 0)
    half = pixels.dtype == np.float16
    bits: npt.NDArray[Any] = np.ascontiguousarray(pixels).view(np.uint16 if half else np.uint32)
    absolute = bits & (_HALF_ABS if half else _FLOAT_ABS)
    infinity = _HALF_INF if half else _FLOAT_INF
    if not absolute.size or absolute.max() < infinity:
        return Nonfinite(0, 0)
    return Nonfinite(int(np.count_nonzero(absolute > infinity)), int(np.count_nonzero(absolute == infinity)))


def to_half(pixels: npt.NDArray[np.float32]) -> Tuple[npt.NDArray[np.float16], int]:
    """Round to half; values that would overflow become +-65504 and are counted; infinity and NaN stay.

    Returns:
        the halves, same shape, and how many were clamped. Values up to 65520 (exclusive) round to 65504 and
        are not counted, since that is ordinary rounding.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        half = pixels.astype(np.float16)
    infinite = (half.view(np.uint16) & _HALF_ABS) == _HALF_INF
    if not infinite.any():
        return half, 0
    clamped = infinite & np.isfinite(pixels)
    half[clamped] = np.copysign(np.float16(HALF_MAX), half[clamped])
    return half, int(np.count_nonzero(clamped))


def with_channels(
    frame: ExrFrame, changes: Mapping[str, Pixels], part: Optional[int] = None
) -> Tuple[ExrFrame, Dict[str, int]]:
    """Return a frame with some channels replaced or added; all others are the same arrays.

    Args:
        frame: the frame to start from; it is not changed.
        changes: full channel name to `(H, W)` pixels of the data window's size. An existing
            channel keeps its pixel type: float32 goes into half by `to_half`. A new channel has its array's type.
        part: index of the part; None is the main part.

    Returns:
        the frame, and the number of clamped values for each channel that has any.

    Raises:
        InputError: another size, a type that EXR does not have, or floats for a channel of unsigned integers.
    """
    index = frame.main if part is None else part
    old = frame.parts[index]
    listed = dict(old.header.channels)
    pixels = dict(old.channels)
    clamped: Dict[str, int] = {}
    for name, new in changes.items():
        listed.setdefault(name, Channel(name, new.dtype))
        pixels[name], count = _fitted(name, new, listed[name], old.header.shape)
        if count:
            clamped[name] = count
    header = old.header
    if listed.keys() != header.channels.keys():
        header = header.with_attributes({"channels": channels_attribute(listed)})
    return _with_part(
        frame, index, ExrPart(header, {name: pixels[name] for name in header.channels})
    ), clamped


def _fitted(name: str, new: Pixels, channel: Channel, shape: Tuple[int, int]) -> Tuple[Pixels, int]:
    wanted = np.dtype(channel.dtype)
    if new.shape != (shape[0] // channel.y_sampling, shape[1] // channel.x_sampling):
        raise InputError(f"Channel {name} is {new.shape}; the data window has {shape}.")
    if wanted == new.dtype and wanted in (np.float16, np.float32, np.uint32):
        return new, 0
    if wanted == np.float16 and new.dtype == np.float32:
        return to_half(new)
    if wanted == np.float32 and new.dtype == np.float16:
        return new.astype(np.float32), 0
    raise InputError(f"Channel {name} is {wanted} and cannot take {new.dtype}.")


def with_data_window(frame: ExrFrame, box: Box, part: Optional[int] = None) -> ExrFrame:
    """Return a frame whose part has another data window: cropped where smaller, 0 where larger (readers show
    0 outside a data window).

    Raises:
        InputError: a subsampled channel cannot be moved.
    """
    index = frame.main if part is None else part
    old = frame.parts[index]
    if old.header.data_window == box:
        return frame
    if any(pixels.shape != old.header.shape for pixels in old.channels.values()):
        raise InputError("A frame with subsampled channels cannot change its data window.")
    header = old.header.with_attributes({"dataWindow": box_attribute(box)})
    pixels = {name: moved(plane, old.header.data_window, box) for name, plane in old.channels.items()}
    return _with_part(frame, index, ExrPart(header, pixels))


def moved(pixels: Pixels, source: Box, target: Box) -> Pixels:
    """Return `(H, W[, C])` pixels of window `source` moved into window `target`; 0 where `source` has none.

    Returns `pixels` itself if both windows are the same.
    """
    if source == target:
        return pixels
    out = np.zeros((target[3] - target[1], target[2] - target[0], *pixels.shape[2:]), pixels.dtype)
    x0, y0 = max(source[0], target[0]), max(source[1], target[1])
    x1, y1 = min(source[2], target[2]), min(source[3], target[3])
    if x0 < x1 and y0 < y1:
        inside = pixels[y0 - source[1] : y1 - source[1], x0 - source[0] : x1 - source[0]]
        out[y0 - target[1] : y1 - target[1], x0 - target[0] : x1 - target[0]] = inside
    return out


def with_attributes(
    frame: ExrFrame, changes: Mapping[str, Optional[Attribute]], part: Optional[int] = None
) -> ExrFrame:
    """Return a frame with attributes of one part set, or removed if the new value is None."""
    index = frame.main if part is None else part
    old = frame.parts[index]
    return _with_part(frame, index, replace(old, header=old.header.with_attributes(changes)))


def make_frame(header: PartHeader, channels: Mapping[str, Pixels]) -> ExrFrame:
    """Return a one-part frame of `header` (see `PartHeader.make`) with these channels, each in its array's
    type.

    Raises:
        InputError: an array of another size than the data window, or of a type that EXR does not have.
    """
    empty = header.with_attributes({"channels": channels_attribute({})})
    return with_channels(ExrFrame((ExrPart(empty, {}),)), channels)[0]


def _with_part(frame: ExrFrame, index: int, part: ExrPart) -> ExrFrame:
    parts: List[ExrPart] = list(frame.parts)
    parts[index] = part
    return ExrFrame(tuple(parts), main_part(tuple(each.header for each in parts)))
