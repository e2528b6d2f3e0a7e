"""Whether an EXR file is complete, without decoding it: its header, its chunk table, and where the last chunk ends.

A host may report a frame as written before it is on the disk, and a full disk leaves files with a good beginning. The
layout is that of "OpenEXR File Layout" (openexr.com). Standard library only.
"""

from __future__ import annotations

import io
import os
import struct
from typing import BinaryIO, Dict, Optional, Tuple

__all__ = ["LINES_PER_CHUNK", "has_alpha", "header_of", "problem", "size_of"]

MAGIC = 20000630
TILED, DEEP, MULTIPART = 0x200, 0x800, 0x1000
LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
"""Scanlines in a chunk by compression: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB."""

MOST_ATTRIBUTES, MOST_NAME = 4096, 256

_Header = Dict[str, Tuple[str, bytes]]


def problem(path: str) -> str:
    """Return what is wrong with an EXR file, as words that follow its name; empty if it is complete.

    Of tiled files and files of several parts only header and size are checked.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _problem(file, size)
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (ValueError, struct.error):
        return "is cut off in its header"


def size_of(path: str) -> Optional[Tuple[int, int]]:
    """Return width and height of a file's display window; None where its first header does not tell."""
    try:
        with open(path, "rb") as file:
            file.seek(8)
            left, top, right, bottom = struct.unpack("<4i", _header(file)["displayWindow"][1])
    except (OSError, ValueError, KeyError, struct.error):
        return None
    return right - left + 1, bottom - top + 1


def has_alpha(path: str) -> bool:
    """Return whether the first part of a file has an alpha channel; False where its header does not tell."""
    try:
        with open(path, "rb") as file:
            file.seek(8)
            channels = io.BytesIO(_header(file)["channels"][1])
        names = []
        while name := _word(channels):
            names.append(name)
            channels.read(16)  # type, linearity and sampling
    except (OSError, ValueError, KeyError, struct.error):
        return False
    return any(name.rpartition(".")[2] == "A" for name in names)


def header_of(file: BinaryIO) -> _Header:
    """Read the attributes of a scanline file's header, name to type and bytes; the chunk table follows in the file.

    Raises:
        ValueError: it is no EXR file of one scanline part, or is cut off.
    """
    try:
        magic, flags = struct.unpack("<iI", file.read(8))
        if magic != MAGIC or flags & (TILED | DEEP | MULTIPART):
            raise ValueError("no EXR file of one scanline part")
        return _header(file)
    except struct.error as error:
        raise ValueError("cut off in its header") from error


def _problem(file: BinaryIO, size: int) -> str:
    if size == 0:
        return "is empty"
    head = file.read(8)
    magic, flags = struct.unpack("<iI", head)
    if magic != MAGIC:
        return "is no EXR file"
    header = _header(file)
    if flags & (TILED | DEEP | MULTIPART):
        return "" if size > file.tell() else "is cut off after its header"
    _, top, _, bottom = struct.unpack("<4i", header["dataWindow"][1])
    lines = LINES_PER_CHUNK.get(header["compression"][1][0])
    if lines is None:
        return ""
    count = -(-(bottom - top + 1) // lines)
    table = file.read(8 * count)
    if len(table) < 8 * count:
        return "is cut off in its table of chunks"
    offsets = struct.unpack(f"<{count}Q", table)
    if not all(offsets):
        return "lacks lines that were never written"
    file.seek(max(offsets))
    _, packed = struct.unpack("<ii", file.read(8))
    return "" if max(offsets) + 8 + packed <= size else "is cut off in its last lines"


def _header(file: BinaryIO) -> _Header:
    """Read the attributes of the first part: name to type and bytes.

    Raises:
        ValueError, KeyError, struct.error: it ends before it should.
    """
    found: _Header = {}
    for _ in range(MOST_ATTRIBUTES):
        name = _word(file)
        if not name:
            if "dataWindow" not in found or "compression" not in found:
                raise ValueError("no header")
            return found
        kind = _word(file)
        (length,) = struct.unpack("<i", file.read(4))
        value = file.read(length) if length >= 0 else b""
        if len(value) != length:
            raise ValueError("cut off")
        found[name] = (kind, value)
    raise ValueError("no end of the header")


def _word(file: BinaryIO) -> str:
    made = bytearray()
    while len(made) <= MOST_NAME:
        one = file.read(1)
        if not one:
            raise ValueError("cut off")
        if one == b"\0":
            return made.decode("latin-1")
        made += one
    raise ValueError("no end of a name")
