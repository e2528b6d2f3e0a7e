"""Write EXR frames: pixels through the OpenEXR library, headers exactly as in the frame.

The library writes the file with a minimal header, padded to the length of ours; ours is then written over it. So every
attribute keeps its bytes, and no offset in the file changes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Dict, Optional, Union

import numpy as np
import OpenEXR

from harmovid.errors import InputError, OutputError
from harmovid.pixels.exr.chunks import chunk_count
from harmovid.pixels.exr.frame import ExrFrame, ExrPart, Pixels
from harmovid.pixels.exr.header import Channel, PartHeader, header_bytes
from harmovid.pixels.exr.reading import PAD_NAME, PAD_TYPE, bare_parts
from harmovid.pixels.exr.values import Attribute
from harmovid.storage.atomic import replacing


def write(frame: ExrFrame, target: Optional[Union[str, Path]] = None, threads: int = 0) -> bytes:
    """Write a frame.

    Args:
        frame: its headers define compression, windows, tiles and line order; pixels are written in the arrays'
            types, which `with_channels` keeps consistent with the header.
        target: path of the file, written under a temporary name in the same folder and renamed; None for no file.
        threads: extra encoding threads; 0 encodes in the calling thread.

    Returns:
        the file's bytes.

    Attributes and their order are the frame's; a single part without `type` gets one (scanlineimage or
    tiledimage), `chunkCount` is brought up to date, and a mip-mapped file becomes one of a single level.

    Raises:
        InputError: an array's size or type does not match the header.
        OutputError: the library refuses the frame, or the file cannot be written.
    """
    headers = tuple(_final_header(part, len(frame.parts) > 1) for part in frame.parts)
    head = header_bytes(headers)
    bare_headers = bare_parts(headers)
    bare = header_bytes(bare_headers)
    parts = [
        OpenEXR.Part(_module_header(bare_part), _module_channels(part.header, part.channels))
        for bare_part, part in zip(bare_headers, frame.parts)
    ]
    stream = io.BytesIO()
    try:
        OpenEXR.File(parts, num_threads=threads).write(stream)
    except (RuntimeError, ValueError, TypeError) as error:
        raise OutputError(f"The frame cannot be written as EXR: {error}") from error
    # From byte 8 on: the version field before may announce long names, which only custom attributes have.
    if stream.getbuffer()[8 : len(bare)] != bare[8:]:
        raise OutputError("The OpenEXR library wrote another header than it was asked to; nothing was saved.")
    stream.seek(0)
    stream.write(head)
    data = stream.getvalue()
    if target is not None:
        _save(data, Path(target))
    return data


def _final_header(part: ExrPart, multipart: bool) -> PartHeader:
    """Return the header for the file, after checking that the pixels match it."""
    header = part.header
    _check_pixels(part)
    changes: Dict[str, Optional[Attribute]] = {}
    changes["type"] = Attribute.of("string", "tiledimage" if header.tiled else "scanlineimage")
    if header.tiled:
        width, height, _ = header.get("tiles")
        changes["tiles"] = Attribute.of("tiledesc", (width, height, 0))
    header = header.with_attributes(changes)
    if not multipart and "chunkCount" not in header.attributes:
        return header
    return header.with_attributes({"chunkCount": Attribute.of("int", chunk_count(header))})


def _check_pixels(part: ExrPart) -> None:
    height, width = part.header.shape
    listed = part.header.channels
    if set(listed) != set(part.channels):
        raise InputError(
            f"The header lists channels {sorted(listed)}, the pixels are {sorted(part.channels)}."
        )
    for name, pixels in part.channels.items():
        channel = listed[name]
        shape = (height // channel.y_sampling, width // channel.x_sampling)
        dtype = np.dtype(channel.dtype)
        if pixels.shape != shape or pixels.dtype != dtype:
            raise InputError(
                f"Channel {name} is {pixels.dtype} {pixels.shape}; the header says {dtype} {shape}."
            )


def _module_header(header: PartHeader) -> Dict[str, Any]:
    """Return a minimal header as Python values of the OpenEXR module."""
    x0, y0, x1, y1 = header.data_window
    u0, v0, u1, v1 = header.display_window
    values: Dict[str, Any] = {
        "compression": OpenEXR.Compression(header.attributes["compression"].value),
        "dataWindow": ((x0, y0), (x1 - 1, y1 - 1)),
        "displayWindow": ((u0, v0), (u1 - 1, v1 - 1)),
        "lineOrder": OpenEXR.LineOrder(header.get("lineOrder")),
        "pixelAspectRatio": header.pixel_aspect,
        "screenWindowCenter": np.array(header.get("screenWindowCenter"), np.float32),
        "screenWindowWidth": float(header.get("screenWindowWidth")),
        "type": OpenEXR.tiledimage if header.tiled else OpenEXR.scanlineimage,
    }
    if header.tiled:
        tiles = OpenEXR.TileDescription()
        tiles.xSize, tiles.ySize, _ = header.get("tiles")
        values["tiles"] = tiles
    for name in ("name", "dwaCompressionLevel"):
        if name in header.attributes:
            values[name] = header.get(name)
    pad = header.attributes.get(PAD_NAME)
    if pad is not None:
        values[PAD_NAME] = OpenEXR.OpaqueAttribute(pad.data, PAD_TYPE)
    return values


def _module_channels(header: PartHeader, channels: Any) -> Dict[str, Any]:
    return {
        name: OpenEXR.Channel(
            name,
            _module_pixels(header, header.channels[name], pixels),
            header.channels[name].x_sampling,
            header.channels[name].y_sampling,
            header.channels[name].linear,
        )
        for name, pixels in channels.items()
    }


def _module_pixels(header: PartHeader, channel: Channel, pixels: Pixels) -> Pixels:
    """Return contiguous pixels; subsampled ones are packed into the beginning of a full-size array, as the
    module requires."""
    if (channel.x_sampling, channel.y_sampling) == (1, 1):
        return np.ascontiguousarray(pixels)
    full = np.zeros(header.shape, pixels.dtype)
    full.reshape(-1)[: pixels.size] = pixels.reshape(-1)
    return full


def _save(data: bytes, target: Path) -> None:
    try:
        with replacing(target, durable=False) as temporary, open(temporary, "xb") as file:
            file.write(data)
    except OSError as error:
        raise OutputError(
            f"{target.name} cannot be written: {error.strerror}.",
            fix="Check the folder, its rights and free space.",
        ) from error
