"""Check an EXR file by its header: well formed, of a supported kind, within limits, and complete.

Nothing here decodes pixels or allocates memory by what the file claims, so a few hundred bytes that claim a terabyte do
no harm. The file layout is "OpenEXR File Layout" (openexr.com, read 2026-11).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from harmovid.errors import FrameRefused, FrameUnreadable
from harmovid.pixels.exr.choice import main_part
from harmovid.pixels.exr.header import (
    COMPRESSIONS,
    FLAG_DEEP,
    FLAG_LONG_NAMES,
    FLAG_MULTIPART,
    FLAG_TILED,
    FORMAT_VERSION,
    MAGIC,
    STRUCTURE,
    Box,
    Buffer,
    PartHeader,
    read_name,
)
from harmovid.pixels.exr.values import Attribute
from harmovid.storage.kinds import HEAD_BYTES, other_kind

FIXES = {
    "damaged": "Write or copy the frame again.",
    "deep": "Flatten it first (DeepToImage in Nuke).",
    "chroma": "Convert it to R, G, B first.",
}
_KNOWN_FLAGS = FLAG_TILED | FLAG_LONG_NAMES | FLAG_DEEP | FLAG_MULTIPART
_RANDOM_Y = 2
_ASPECT_RANGE = (1e-6, 1e6)
"""Pixel aspects that OpenEXR accepts (ImfHeader.cpp, sanityCheck)."""
_COORDINATE_LIMIT = 1 << 30
"""OpenEXR refuses windows beyond half the range of an int (ImfHeader.cpp, sanityCheck)."""


@dataclass(frozen=True)
class Limits:
    """Limits of a reader. Sizes are checked before memory is allocated.

    Attributes:
        max_pixels: area of a data window, and of a display window. Default 2**27: 16384 x 8192.
        max_side_px: width or height of either window.
        max_channels: channels of all parts together. Nuke's limit is 1,023.
        max_parts: parts of a file.
        max_decoded_bytes: pixels of all parts, decoded. Default 4 GiB: 8K with forty half channels.
        max_tile_bytes: one tile, decoded. Default 256 MiB: 4096 x 4096 with four float channels.
        max_header_bytes: all headers together, previews included.
    """

    max_pixels: int = 1 << 27
    max_side_px: int = 65_536
    max_channels: int = 1_024
    max_parts: int = 1_024
    max_decoded_bytes: int = 4 << 30
    max_tile_bytes: int = 256 << 20
    max_header_bytes: int = 16 << 20


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class ExrHeader:
    """All headers of a file.

    Attributes:
        parts: one header per part, in file order.
        main: index of the part that holds the picture (see `choice.main_part`).
        size_bytes: where the headers end in the file; 0 for headers that were not read from one.
    """

    parts: Tuple[PartHeader, ...]
    main: int = 0
    size_bytes: int = 0

    @property
    def main_header(self) -> PartHeader:
        """The header of the part that holds the picture."""
        return self.parts[self.main]


def parse_header(
    buffer: Buffer, limits: Limits = DEFAULT_LIMITS, file_bytes: Optional[int] = None
) -> ExrHeader:
    """Read and check all headers of a file that begins with `buffer`.

    Args:
        buffer: the file, or at least all of its headers.
        limits: the limits to check.
        file_bytes: size of the whole file; None says that `buffer` is all of it.

    Raises:
        FrameUnreadable: empty, not an EXR, truncated within the header, or malformed.
        FrameRefused: deep, luminance/chroma, an unknown compression or version, or beyond the limits.
    """
    flags = _version_flags(buffer)
    view = memoryview(buffer)
    size = len(view) if file_bytes is None else file_bytes
    headers: List[PartHeader] = []
    at = 8
    while True:
        attributes, at = _parse_attributes(view, at, size, limits.max_header_bytes)
        if not attributes and headers:
            break
        headers.append(
            _checked(PartHeader(attributes), bool(flags & FLAG_MULTIPART), bool(flags & FLAG_TILED))
        )
        if len(headers) > limits.max_parts:
            raise FrameRefused(f"The file has more than {limits.max_parts} parts.")
        if not flags & FLAG_MULTIPART:
            break
    parts = tuple(headers)
    _check_parts(parts)
    _check_limits(parts, limits)
    return ExrHeader(parts, main_part(parts), at)


def _version_flags(buffer: Buffer) -> int:
    start = bytes(buffer[:8])
    if not start:
        raise FrameUnreadable("The file is empty (0 bytes).", fix=FIXES["damaged"])
    if start[:4] != MAGIC[: len(start)]:
        kind = other_kind(bytes(buffer[:HEAD_BYTES]))
        raise FrameUnreadable(
            f"The file is not an EXR but {kind}, whatever its name says.", fix="Send EXR files."
        )
    if len(start) < 8:
        raise FrameUnreadable("The file ends within its first 8 bytes.", fix=FIXES["damaged"])
    (flags,) = struct.unpack("<I", start[4:])
    if flags & 0xFF != FORMAT_VERSION or flags & ~(0xFF | _KNOWN_FLAGS):
        raise FrameRefused(f"The file has EXR version field {flags:#x}, which this reader does not know.")
    if flags & FLAG_DEEP:
        raise FrameRefused("The file holds deep pixels.", fix=FIXES["deep"])
    return int(flags)


def _parse_attributes(
    view: memoryview, at: int, file_bytes: int, limit: int
) -> Tuple[Dict[str, Attribute], int]:
    attributes: Dict[str, Attribute] = {}
    while True:
        if at >= len(view):
            raise FrameUnreadable("The file ends within its header.", fix=FIXES["damaged"])
        if view[at] == 0:
            return attributes, at + 1
        name, at = read_name(view, at)
        type_name, at = read_name(view, at)
        size = struct.unpack_from("<i", view, at)[0] if at + 4 <= len(view) else -1
        at += 4
        if at + size > limit and at + size <= file_bytes:
            raise FrameRefused(f"The EXR header is larger than the limit of {limit} bytes.")
        if size < 0 or at + size > len(view):
            raise FrameUnreadable(
                f"The EXR header is cut short or malformed at attribute {name!r}.", fix=FIXES["damaged"]
            )
        if name in attributes:
            raise FrameUnreadable(f"The EXR header holds attribute {name!r} twice.", fix=FIXES["damaged"])
        attributes[name] = Attribute(type_name, bytes(view[at : at + size]))
        at += size


def _checked(header: PartHeader, multipart: bool, tiled_file: bool) -> PartHeader:
    """Return `header` with its type stated, after checking that it is supported."""
    for name, type_name in STRUCTURE.items():
        found = header.attributes.get(name)
        if found is None or found.type != type_name:
            raise FrameUnreadable(f"The EXR header has no {name} of type {type_name}.", fix=FIXES["damaged"])
        if name != "channels":
            _ = found.value
    for name in ("type", "name"):
        if name in header.attributes and header.attributes[name].type != "string":
            raise FrameUnreadable(f"The EXR header's {name} is not a string.", fix=FIXES["damaged"])
    kind = header.get("type", "tiledimage" if tiled_file else "scanlineimage")
    if kind in ("deepscanline", "deeptile"):
        raise FrameRefused("The file holds deep pixels.", fix=FIXES["deep"])
    wrong_tiling = kind != "tiledimage" and tiled_file and not multipart
    if kind not in ("scanlineimage", "tiledimage") or (multipart and not header.name) or wrong_tiling:
        raise FrameUnreadable("An EXR part has no valid type or name.", fix=FIXES["damaged"])
    if kind == "tiledimage":
        _check_tiles(header)
    if header.attributes["compression"].data[0] >= len(COMPRESSIONS):
        raise FrameRefused(
            f"The file's compression (number {header.attributes['compression'].data[0]}) is not known here.",
            fix="Write it with zip compression.",
        )
    if header.get("lineOrder") > _RANDOM_Y:
        raise FrameUnreadable("The EXR header has an impossible line order.", fix=FIXES["damaged"])
    _check_windows(header)
    _check_ranges(header)
    _check_channels(header)
    return header


def _check_tiles(header: PartHeader) -> None:
    found = header.attributes.get("tiles")
    if found is None or found.type != "tiledesc":
        raise FrameUnreadable("A tiled EXR part has no tile description.", fix=FIXES["damaged"])
    width, height, mode = found.value
    if not (
        0 < width < _COORDINATE_LIMIT and 0 < height < _COORDINATE_LIMIT and mode & 15 <= 2 and mode >> 4 <= 1
    ):
        raise FrameUnreadable("A tiled EXR part has an impossible tile description.", fix=FIXES["damaged"])


def _check_windows(header: PartHeader) -> None:
    for box in (header.data_window, header.display_window):
        x0, y0, x1, y1 = box
        if x1 <= x0 or y1 <= y0 or max(abs(edge) for edge in box) > _COORDINATE_LIMIT:
            raise FrameUnreadable(f"The EXR header has an impossible window {box}.", fix=FIXES["damaged"])


def _check_ranges(header: PartHeader) -> None:
    """Check those numbers of the header for which the OpenEXR library would refuse the whole file."""
    aspect = np.float32(header.pixel_aspect)
    if not np.float32(_ASPECT_RANGE[0]) <= aspect <= np.float32(_ASPECT_RANGE[1]):
        raise FrameRefused(
            f"The file's pixelAspectRatio is {header.pixel_aspect:g}.",
            fix="Write it with its real pixel aspect, 1 for square pixels.",
        )
    if header.get("screenWindowWidth") < 0:
        raise FrameRefused(
            f"The file's screenWindowWidth is {header.get('screenWindowWidth'):g}.", fix="Write it as 1."
        )


def _check_parts(parts: Tuple[PartHeader, ...]) -> None:
    """Check what the parts of one file must have in common, and that their names differ."""
    names: Set[str] = set()
    for header in parts:
        if header.name in names:
            raise FrameRefused(
                f"The file has two parts named {header.name!r}.", fix="Name each part differently."
            )
        names.add(header.name)
    for name in ("displayWindow", "pixelAspectRatio"):
        if len({header.attributes[name].data for header in parts}) > 1:
            raise FrameRefused(
                f"The parts of the file differ in {name}.", fix="Write all parts in one format."
            )


def _check_channels(header: PartHeader) -> None:
    channels = header.channels
    if not channels:
        raise FrameUnreadable("An EXR part has no channels.", fix=FIXES["damaged"])
    if any(name.rpartition(".")[2] in ("RY", "BY") for name in channels):
        raise FrameRefused("The file holds luminance and chroma channels.", fix=FIXES["chroma"])
    height, width = header.shape
    x0, y0 = header.data_window[:2]
    for channel in channels.values():
        xs, ys = channel.x_sampling, channel.y_sampling
        if width % xs or height % ys or x0 % xs or y0 % ys or (header.tiled and (xs, ys) != (1, 1)):
            raise FrameUnreadable(
                f"The sampling of EXR channel {channel.name!r} does not fit the data window.",
                fix=FIXES["damaged"],
            )


def decoded_bytes(header: PartHeader) -> int:
    """Return the size of one part's pixels once decoded (subsampled channels take full rows while
    decoding)."""
    height, width = header.shape
    return height * width * _pixel_bytes(header)


def _check_limits(parts: Tuple[PartHeader, ...], limits: Limits) -> None:
    fix = "Send smaller frames, or ask whoever runs the server to raise the limit."
    for header in parts:
        for name, box in (("data window", header.data_window), ("display window", header.display_window)):
            width, height = _size(box)
            if width * height > limits.max_pixels or max(width, height) > limits.max_side_px:
                raise FrameRefused(
                    f"The {name} is {width} x {height}; the limit is {limits.max_pixels} pixels "
                    f"and {limits.max_side_px} on a side.",
                    fix=fix,
                )
        _check_tile_size(header, limits, fix)
    channels = sum(len(header.channels) for header in parts)
    if channels > limits.max_channels:
        raise FrameRefused(f"The file has {channels} channels; the limit is {limits.max_channels}.", fix=fix)
    size = sum(decoded_bytes(header) for header in parts)
    if size > limits.max_decoded_bytes:
        raise FrameRefused(
            f"The file decodes to {size >> 20} MiB; the limit is {limits.max_decoded_bytes >> 20} MiB.",
            fix=fix,
        )


def _check_tile_size(header: PartHeader, limits: Limits, fix: str) -> None:
    """Check the size of one tile: the decoder allocates a whole one, even if it is larger than the picture."""
    width, height, _ = header.get("tiles") if header.tiled else (0, 0, 0)
    if width * height * _pixel_bytes(header) > limits.max_tile_bytes:
        raise FrameRefused(
            f"The file's tiles are {width} x {height}; the limit is {limits.max_tile_bytes >> 20} MiB each.",
            fix=fix,
        )


def _pixel_bytes(header: PartHeader) -> int:
    return sum(np.dtype(channel.dtype).itemsize for channel in header.channels.values())


def _size(box: Box) -> Tuple[int, int]:
    return box[2] - box[0], box[3] - box[1]
