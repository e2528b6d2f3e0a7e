"""Read EXR frames: headers are checked first, then the OpenEXR library reads pixels, each channel in its own type.

The library never parses a file's custom attributes: it reads through a stream that replaces the header by another one
of the same length, with only what pixels depend on (see `bare_parts`).

If pixels are damaged, the library's module prints one line to standard output and leaves the part out; here that
becomes FrameUnreadable. The library can also crash on malicious files (openexr's SECURITY.md lists such faults), so a
server decodes in child processes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple, Union

import numpy as np
import OpenEXR

from harmovid.errors import FrameMissing, FrameUnreadable
from harmovid.pixels.exr.chunks import check_last, check_table, last_chunk, table_bytes
from harmovid.pixels.exr.frame import ExrFrame, ExrPart, Pixels
from harmovid.pixels.exr.header import STRUCTURE, PartHeader, header_bytes
from harmovid.pixels.exr.parse import DEFAULT_LIMITS, FIXES, ExrHeader, Limits, parse_header
from harmovid.pixels.exr.values import Attribute

Source = Union[bytes, bytearray, memoryview, str, Path]

FIRST_READ_BYTES = 1 << 16
"""Most headers fit into this; others are read with a second, larger request."""

_KEPT = {**STRUCTURE, "type": "string", "tiles": "tiledesc", "dwaCompressionLevel": "float"}
_KEPT_OF_MANY = {**_KEPT, "name": "string", "chunkCount": "int"}
PAD_NAME = "p"
PAD_TYPE = "x"
PAD_BYTES = len(PAD_NAME) + 1 + len(PAD_TYPE) + 1 + 4


def read_header(source: Source, limits: Limits = DEFAULT_LIMITS) -> ExrHeader:
    """Read and check a file's headers and chunk table, without pixels.

    Args:
        source: the file's bytes, or its path.
        limits: the limits to check.

    Raises:
        FrameMissing: no such file.
        FrameUnreadable: empty, not an EXR, malformed, or incomplete according to the chunk table.
        FrameRefused: deep, luminance/chroma, of an unknown version or compression, or beyond the limits.
    """
    with _opened(source) as stream:
        return _judge(stream, limits)


def read(source: Source, limits: Limits = DEFAULT_LIMITS, threads: int = 0) -> ExrFrame:
    """Read a whole frame.

    Args:
        source: the file's bytes, or its path.
        limits: the limits to check before pixels are decoded.
        threads: extra decoding threads; 0 decodes in the calling thread.

    Returns:
        the frame, every channel in its own type, every attribute unchanged. Of a mip-mapped file only the
        full-size level is kept, since the others derive from it.

    Raises:
        those of `read_header`, and FrameUnreadable if blocks of pixels are missing, truncated or damaged.
    """
    with _opened(source) as stream:
        header = _judge(stream, limits)
        stream.front = header_bytes(bare_parts(header.parts))
        stream.seek(0)
        try:
            decoded = OpenEXR.File(stream, separate_channels=True, num_threads=threads).parts
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            raise FrameUnreadable(
                f"The file's pixels cannot be decoded: {error}", fix=FIXES["damaged"]
            ) from error
    if len(decoded) != len(header.parts):
        raise FrameUnreadable("The file's pixels are damaged and cannot be decoded.", fix=FIXES["damaged"])
    parts = [ExrPart(ours, _channels(ours, theirs.channels)) for ours, theirs in zip(header.parts, decoded)]
    return ExrFrame(tuple(parts), header.main)


class _Fronted:
    """A readable stream over a file on disk or in memory, with its first bytes replaced by `front`."""

    def __init__(self, raw: Union[io.FileIO, io.BytesIO]) -> None:
        self._raw = raw
        self.size = raw.seek(0, io.SEEK_END)
        self.front = b""
        self.tell = raw.tell
        self.seek = raw.seek

    def read(self, size: int) -> bytes:
        """Return `size` bytes from here on, fewer at the end."""
        at = self.tell()
        if at >= len(self.front):
            return self._raw.read(size)
        start = self.front[at : at + size]
        self.seek(at + len(start))
        return start + self._raw.read(size - len(start))

    def at(self, place: int, size: int) -> bytes:
        """Return `size` bytes from offset `place` on, fewer at the end."""
        self.seek(place)
        return self.read(size)

    def __enter__(self) -> _Fronted:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _opened(source: Source) -> _Fronted:
    if not isinstance(source, (str, Path)):
        return _Fronted(io.BytesIO(source))
    try:
        # Unbuffered: the library reads whole blocks, and a buffer would copy each once more.
        return _Fronted(io.FileIO(source))
    except FileNotFoundError as error:
        raise FrameMissing(
            f"There is no file {Path(source).name}.", fix="Render it, or leave it out."
        ) from error
    except OSError as error:
        raise FrameUnreadable(f"{Path(source).name} cannot be opened: {error.strerror}.") from error


def _judge(stream: _Fronted, limits: Limits) -> ExrHeader:
    """Read a stream's headers and chunk table, and check that its last chunk is complete."""
    size = stream.size
    start = stream.at(0, FIRST_READ_BYTES)
    try:
        header = parse_header(start, limits, size)
    except FrameUnreadable:
        if len(start) == size:
            raise
        header = parse_header(start + stream.read(limits.max_header_bytes), limits, size)
    table = stream.at(header.size_bytes, min(table_bytes(header), size))
    at, length = last_chunk(check_table(table, header, size), header)
    check_last(stream.at(at, length), at, size)
    return header


def bare_parts(headers: Tuple[PartHeader, ...]) -> Tuple[PartHeader, ...]:
    """Return headers of the same length in a file with only the attributes that pixels depend on.

    They are sorted by name, as the library writes them. The rest of each part's header is one opaque
    attribute of zeros. It always fits: at least one whole attribute was left out, and the padding is the shortest
    possible attribute (one-letter name and type).
    """
    parts = []
    types = _KEPT_OF_MANY if len(headers) > 1 else _KEPT
    for part in headers:
        kept = {name: a for name, a in part.attributes.items() if types.get(name) == a.type}
        if not part.tiled:
            kept.pop("tiles", None)
        spare = _stored_bytes(part.attributes) - _stored_bytes(kept)
        if spare:
            kept[PAD_NAME] = Attribute(PAD_TYPE, bytes(spare - PAD_BYTES))
        parts.append(PartHeader(dict(sorted(kept.items()))))
    return tuple(parts)


def _stored_bytes(attributes: Mapping[str, Attribute]) -> int:
    return sum(len(name.encode()) + len(a.type.encode()) + 6 + len(a.data) for name, a in attributes.items())


def _channels(header: PartHeader, decoded: Dict[str, Any]) -> Dict[str, Pixels]:
    channels: Dict[str, Pixels] = {}
    height, width = header.shape
    for name, channel in header.channels.items():
        pixels = decoded[name].pixels
        if (channel.x_sampling, channel.y_sampling) != (1, 1):
            # The module packs the stored samples into the beginning of a full-size array.
            shape = (height // channel.y_sampling, width // channel.x_sampling)
            pixels = pixels.reshape(-1)[: shape[0] * shape[1]].reshape(shape).copy()
        channels[name] = np.asarray(pixels)
    return channels
