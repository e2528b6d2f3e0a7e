"""The checksums of a result's chunks, stored with its file: computed once while it is written, sent by the front.

    crc = write_summed(path, data)           # in the codec child; returns the whole file's CRC-32
    sums = read_sums(handle, size)           # in the front; None if the file system has no attributes

They are stored in the extended attribute `user.harmovid.sums` (xattr(7)): little-endian CRC-32 of each chunk of
`wire.CHUNK_BYTES`. So the front reads a result's bytes only once, to send them, and a later change on disk
is noticed by the client.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Optional, Tuple

from harmovid.storage.checksums import RunningSum
from harmovid.transport.wire import CHUNK_BYTES

ATTRIBUTE = "user.harmovid.sums"


def write_summed(path: Path, data: bytes) -> int:
    """Write a file and the checksums of its chunks; return the CRC-32 of the file.

    Raises:
        OSError: it cannot be written.
    """
    view, running, sums = memoryview(data), RunningSum(), []
    with open(path, "wb", buffering=0) as file:
        for start in range(0, len(view), CHUNK_BYTES):
            chunk = view[start : start + CHUNK_BYTES]
            sums.append(running.add(chunk))
            # The chunk is still in the CPU's cache.
            while chunk:
                chunk = chunk[file.write(chunk) :]
        # Some file systems have no attributes, or too little space for them: the front then computes the checksums.
        with contextlib.suppress(OSError):
            os.setxattr(file.fileno(), ATTRIBUTE, struct.pack(f"<{len(sums)}I", *sums))
    return running.whole


def read_sums(handle: int, size: int) -> Optional[Tuple[int, ...]]:
    """Return the CRC-32 of each chunk of an open file of `size` bytes; None if they are not stored."""
    count = -(-size // CHUNK_BYTES)
    try:
        packed = os.getxattr(handle, ATTRIBUTE)
    except OSError:
        return None
    return struct.unpack(f"<{count}I", packed) if len(packed) == 4 * count else None
