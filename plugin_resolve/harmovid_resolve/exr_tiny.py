"""Small EXR files with the standard library only, for the self-test inside Resolve: written uncompressed.

    write("/tmp/p.1001.exr", rows)              # rows of (r, g, b)
    red = read("/tmp/p.1001.exr")["R"]          # rows of floats

`read` takes scanline files with half and float channels, uncompressed or with ZIP or ZIPS, as Resolve writes them. The
layout is that of "OpenEXR File Layout" (openexr.com); for pictures of a few hundred pixels.
"""

from __future__ import annotations

import struct
import zlib
from typing import Dict, List, Sequence, Tuple

from harmovid_resolve.exr_file import LINES_PER_CHUNK, header_of

__all__ = ["read", "write"]

HALF, FLOAT = 1, 2
NONE, ZIPS, ZIP = 0, 2, 3

Rows = List[List[float]]


def write(path: str, rows: Sequence[Sequence[Tuple[float, float, float]]]) -> None:
    """Write rows of `(r, g, b)` as an uncompressed float file.

    Raises:
        OSError: it cannot be written.
    """
    width, height = len(rows[0]), len(rows)
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    channels = (
        b"".join(name + b"\0" + struct.pack("<iB3xii", FLOAT, 0, 1, 1) for name in (b"B", b"G", b"R")) + b"\0"
    )
    attributes = (
        ("channels", "chlist", channels),
        ("compression", "compression", bytes([NONE])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1.0)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0.0, 0.0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1.0)),
    )
    head = struct.pack("<iI", 20000630, 2)
    for name, kind, value in attributes:
        head += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(value)) + value
    head += b"\0"
    first, size = len(head) + 8 * height, 8 + 12 * width
    table = struct.pack(f"<{height}Q", *(first + size * line for line in range(height)))
    with open(path, "wb") as file:
        file.write(head + table)
        for line, row in enumerate(rows):
            values = [pixel[channel] for channel in (2, 1, 0) for pixel in row]
            file.write(struct.pack(f"<2i{len(values)}f", line, 12 * width, *values))


def read(path: str) -> Dict[str, Rows]:
    """Return each channel's rows.

    Raises:
        ValueError: it is cut off, or of an unsupported kind.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        header = header_of(file)
        left, top, right, bottom = struct.unpack("<4i", header["dataWindow"][1])
        width, height, packing = right - left + 1, bottom - top + 1, header["compression"][1][0]
        if packing not in (NONE, ZIPS, ZIP):
            raise ValueError(f"compression {packing} is not read here")
        channels = _channels(header["channels"][1])
        found: Dict[str, Rows] = {name: [[] for _ in range(height)] for name, _ in channels}
        chunks = -(-height // LINES_PER_CHUNK[packing])
        for offset in struct.unpack(f"<{chunks}Q", file.read(8 * chunks)):
            file.seek(offset)
            line, size = struct.unpack("<2i", file.read(8))
            lines = min(LINES_PER_CHUNK[packing], bottom + 1 - line)
            data = _unpacked(file.read(size), lines * width * sum(2 * kind for _, kind in channels))
            _spread(data, channels, width, range(line - top, line - top + lines), found)
    return found


def _channels(value: bytes) -> List[Tuple[str, int]]:
    """Return the names and types of the channels, in the file's order."""
    found, at = [], 0
    while value[at : at + 1] not in (b"", b"\0"):
        end = value.index(b"\0", at)
        (kind,) = struct.unpack_from("<i", value, end + 1)
        if kind not in (HALF, FLOAT):
            raise ValueError("a channel of whole numbers is not read here")
        found.append((value[at:end].decode("latin-1"), kind))
        at = end + 17
    return found


def _unpacked(data: bytes, size: int) -> bytes:
    """Return a chunk's bytes; a chunk that compression does not make smaller is stored uncompressed."""
    if len(data) == size:
        return data
    try:
        flat = zlib.decompress(data)
    except zlib.error as error:
        raise ValueError(f"a chunk cannot be unpacked: {error}") from error
    plain = bytearray(flat[:1])
    for step in flat[1:]:
        plain.append((plain[-1] + step - 128) & 255)
    middle = (len(plain) + 1) // 2
    made = bytearray(len(plain))
    made[0::2], made[1::2] = plain[:middle], plain[middle:]
    return bytes(made)


def _spread(
    data: bytes, channels: List[Tuple[str, int]], width: int, lines: range, found: Dict[str, Rows]
) -> None:
    """Add the values of a chunk to the rows of each channel."""
    at = 0
    for line in lines:
        for name, kind in channels:
            form = f"<{width}{'e' if kind == HALF else 'f'}"
            found[name][line] = list(struct.unpack_from(form, data, at))
            at += struct.calcsize(form)
