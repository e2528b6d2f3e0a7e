"""The chunk table of an EXR file: how many chunks there must be, and whether each is completely inside the file.

A truncated file, or one whose writer died, has holes in its table or chunks past its end. The OpenEXR library would
read the rest (it rebuilds the table, warns, and leaves pixels out); here such a frame is unreadable. Layout: "OpenEXR
File Layout" (openexr.com, read 2026-11), "Chunk Layout".
"""

from __future__ import annotations

from typing import List, Tuple

import numpy as np
import numpy.typing as npt

from harmovid.errors import FrameUnreadable
from harmovid.pixels.exr.header import Buffer, PartHeader
from harmovid.pixels.exr.parse import FIXES, ExrHeader

LINES_PER_CHUNK = {
    "none": 1, "rle": 1, "zips": 1, "zip": 16, "piz": 32, "pxr24": 16, "b44": 32, "b44a": 32,
    "dwaa": 32, "dwab": 256, "htj2k256": 256, "htj2k32": 32, "lj2k": 256, "zstd": 1,
}  # fmt: skip
"""Scan lines per chunk (same document; the compressions after dwab measured with OpenEXR 3.5.3)."""

_ONE_LEVEL, _MIPMAP, _RIPMAP = range(3)
_ROUND_UP = 1


def chunk_count(header: PartHeader) -> int:
    """Return how many chunks a part with this header has."""
    height, width = header.shape
    if not header.tiled:
        return -(-height // LINES_PER_CHUNK[header.compression])
    tile_width, tile_height, mode = header.get("tiles")
    columns = _level_sizes(width, mode)
    rows = _level_sizes(height, mode)
    if mode & 15 == _RIPMAP:
        levels = [(w, h) for h in rows for w in columns]
    else:
        longest = max(len(columns), len(rows)) if mode & 15 == _MIPMAP else 1
        levels = [(columns[min(i, len(columns) - 1)], rows[min(i, len(rows) - 1)]) for i in range(longest)]
    return sum(-(-w // tile_width) * -(-h // tile_height) for w, h in levels)


def _level_sizes(size: int, mode: int) -> List[int]:
    """Return a side's length at each level, full size first."""
    sizes = [size]
    while mode & 15 != _ONE_LEVEL and sizes[-1] > 1:
        step = len(sizes)
        up = (1 << step) - 1 if mode >> 4 == _ROUND_UP else 0
        sizes.append(max(1, (size + up) >> step))
    return sizes


def table_bytes(header: ExrHeader) -> int:
    """Return the size of the chunk table, which follows the headers.

    Raises:
        FrameUnreadable: in a file of several parts, one claims a number of chunks that does not match its size.
    """
    for part in header.parts if len(header.parts) > 1 else ():
        if part.get("chunkCount") != chunk_count(part):
            raise FrameUnreadable("An EXR part has a wrong chunk count.", fix=FIXES["damaged"])
    return 8 * sum(chunk_count(part) for part in header.parts)


def check_table(table: Buffer, header: ExrHeader, file_bytes: int) -> npt.NDArray[np.uint64]:
    """Return the chunk offsets of all parts in order, after checking that each points into the file.

    Args:
        table: the file's bytes from `header.size_bytes` on, `table_bytes(header)` of them if available.
        header: the file's headers.
        file_bytes: size of the whole file.

    Raises:
        FrameUnreadable: the file ends within the table, or some chunks were never written.
    """
    size = table_bytes(header)
    if len(table) < size:
        raise FrameUnreadable("The file ends before its pixels.", fix=FIXES["damaged"])
    offsets = np.frombuffer(table, "<u8", size // 8)
    missing = int(np.count_nonzero((offsets < header.size_bytes + size) | (offsets >= file_bytes)))
    if missing:
        raise FrameUnreadable(
            f"The file is incomplete: {missing} of {len(offsets)} blocks of pixels are missing.",
            fix=FIXES["damaged"],
        )
    return offsets


def last_chunk(offsets: npt.NDArray[np.uint64], header: ExrHeader) -> Tuple[int, int]:
    """Return the offset of the last chunk in the file, and the number of bytes before its pixels.

    A chunk begins with its part number (only in files with several parts), its position (y; or tile x, y, level x, y)
    and, in four bytes, the size of its pixels.
    """
    index = int(np.argmax(offsets))
    ends = np.cumsum([chunk_count(part) for part in header.parts])
    part = header.parts[int(np.searchsorted(ends, index, side="right"))]
    return int(offsets[index]), (4 if len(header.parts) > 1 else 0) + (16 if part.tiled else 4) + 4


def check_last(start: Buffer, at: int, file_bytes: int) -> None:
    """Check that the last chunk is completely inside the file; then those before it are too.

    Args:
        start: its bytes before its pixels, as `last_chunk` says.
        at: where it begins.
        file_bytes: size of the whole file.

    Raises:
        FrameUnreadable: it extends beyond the end of the file.
    """
    size = int.from_bytes(bytes(start[-4:]), "little", signed=True)
    if size < 0 or at + len(start) + size > file_bytes:
        raise FrameUnreadable("The file is cut off in its last block of pixels.", fix=FIXES["damaged"])
