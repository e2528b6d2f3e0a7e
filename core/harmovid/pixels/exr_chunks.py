"""The chunk table of an EXR file: how many chunks there must be, and whether each lies whole within the file.

A file that was cut off, or whose writer died, has holes in its table or chunks past its end. The decoding
library would read what there is (it rebuilds the table, warns, and leaves pixels out); a frame with holes is
unreadable here. Layout: "OpenEXR File Layout" (openexr.com, read 2026-11), "Chunk Layout".
"""

from __future__ import annotations

from typing import List

import numpy as np
import numpy.typing as npt

from harmovid.errors import FrameUnreadable
from harmovid.pixels.exr_header import Buffer, PartHeader
from harmovid.pixels.exr_parse import MENDS, ExrHeader

LINES_PER_CHUNK = {
    "none": 1, "rle": 1, "zips": 1, "zip": 16, "piz": 32, "pxr24": 16, "b44": 32, "b44a": 32,
    "dwaa": 32, "dwab": 256, "htj2k256": 256, "htj2k32": 32, "lj2k": 256, "zstd": 1,
}  # fmt: skip
"""Scan lines per chunk (the same document; those after dwab measured with OpenEXR 3.5.3)."""

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

    Errors:
        FrameUnreadable: a part of several claims another number of chunks than its windows and tiles make.
    """
    for part in header.parts if len(header.parts) > 1 else ():
        if part.get("chunkCount") != chunk_count(part):
            raise FrameUnreadable("An EXR part has a wrong chunk count.", fix=MENDS["damaged"])
    return 8 * sum(chunk_count(part) for part in header.parts)


def check_table(table: Buffer, header: ExrHeader, file_bytes: int) -> npt.NDArray[np.uint64]:
    """Return every part's chunk offsets one after the other, having checked that each points into the file.

    Args:
        table: the file's bytes from `header.size_bytes` on, `table_bytes(header)` of them if the file has so
            many.
        header: the file's headers.
        file_bytes: size of the whole file.

    Errors:
        FrameUnreadable: the file ends within the table, or some chunks were never written.
    """
    size = table_bytes(header)
    if len(table) < size:
        raise FrameUnreadable("The file ends before its pixels.", fix=MENDS["damaged"])
    offsets = np.frombuffer(table, "<u8", size // 8)
    missing = int(np.count_nonzero((offsets < header.size_bytes + size) | (offsets >= file_bytes)))
    if missing:
        raise FrameUnreadable(
            f"The file is incomplete: {missing} of {len(offsets)} blocks of pixels are missing.",
            fix=MENDS["damaged"],
        )
    return offsets


def check_complete(buffer: Buffer, header: ExrHeader) -> None:
    """Check that every chunk of a whole file in `buffer` lies within it.

    Errors:
        FrameUnreadable: blocks are missing or run over the end of the file.
    """
    offsets = check_table(memoryview(buffer)[header.size_bytes :], header, len(buffer))
    multipart = 4 if len(header.parts) > 1 else 0
    data = np.frombuffer(buffer, np.uint8)
    start = 0
    cut = 0
    for part in header.parts:
        count = chunk_count(part)
        # A chunk starts with its part number (multi-part only), its place (y, or tile x, y, level x, y) and
        # its size.
        head = multipart + (16 if part.tiled else 4) + 4
        at = offsets[start : start + count].astype(np.int64)
        fits = at + head <= len(data)
        spots = at[fits][:, None] + np.arange(head - 4, head)
        sizes = data[spots].view("<i4")[:, 0].astype(np.int64)
        whole = (sizes >= 0) & (at[fits] + head + sizes <= len(data))
        cut += count - int(np.count_nonzero(whole))
        start += count
    if cut:
        raise FrameUnreadable(
            f"The file is cut off or damaged: {cut} of {len(offsets)} blocks of pixels are not whole.",
            fix=MENDS["damaged"],
        )
