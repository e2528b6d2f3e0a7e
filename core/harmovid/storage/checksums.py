"""CRC-32 of files that are sent in chunks: of each chunk and of the file, reading every byte once.

    running = RunningSum()
    for chunk in chunks:
        crc = running.add(chunk)        # the chunk's own
    running.whole                       # the file's, equal to zlib.crc32 of all of it

CRC-32 is linear: the checksum of A followed by B is that of A, extended by as many zero bytes as B has, XOR that of B
(zlib's `crc32_combine`, which Python does not offer). Extending by one full chunk takes four table look-ups.

If isal is installed (it comes with the server), it is used instead of zlib and is about ten times as fast.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import List, Tuple, Union

try:
    from isal.isal_zlib import crc32
except ImportError:  # without isal: the same checksums, slower
    from zlib import crc32

__all__ = ["CHUNK_BYTES", "Buffer", "RunningSum", "chunk_sums", "crc32", "file_crc"]

Buffer = Union[bytes, bytearray, memoryview]
CHUNK_BYTES = 1 << 20  # the longest chunk of a file (docs/wire.md, "Limits")

_POLYNOMIAL = 0xEDB88320  # polynomial of CRC-32 (IEEE 802.3), bits reversed, as in zlib
_Matrix = Tuple[int, ...]
"""A linear map of 32-bit words: the image of each bit, the lowest first."""


class RunningSum:
    """The checksum of a file so far. `whole` is the CRC-32 of all chunks added."""

    def __init__(self) -> None:
        self.whole = 0

    def add(self, chunk: Buffer) -> int:
        """Add the next chunk and return the chunk's own CRC-32."""
        crc = crc32(chunk)
        if len(chunk) == CHUNK_BYTES:
            self.whole = _past_chunk(self.whole) ^ crc
        else:
            # The last chunk of a file, or a fragment: reading it twice is cheaper than a table for its length.
            self.whole = crc32(chunk, self.whole)
        return crc


def chunk_sums(data: memoryview) -> Tuple[List[int], int]:
    """Return the CRC-32 of each chunk of a file, and that of the whole."""
    running = RunningSum()
    sums = [running.add(data[start : start + CHUNK_BYTES]) for start in range(0, len(data), CHUNK_BYTES)]
    return sums, running.whole


def file_crc(path: Union[str, os.PathLike[str]]) -> int:
    """Return the CRC-32 of a file, which is read chunk by chunk; raise `OSError` if it cannot be read."""
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            crc = crc32(chunk, crc)
    return crc


def _past_chunk(crc: int) -> int:
    """Return `crc` extended by one full chunk of zeros."""
    low, second, third, high = _tables()
    return low[crc & 255] ^ second[crc >> 8 & 255] ^ third[crc >> 16 & 255] ^ high[crc >> 24]


@lru_cache(maxsize=1)
def _tables() -> Tuple[_Matrix, ...]:
    """Return the tables for `_past_chunk`: one for each of the four bytes of a checksum."""
    step: _Matrix = (_POLYNOMIAL, *(1 << bit for bit in range(31)))  # extends by one zero bit
    # The number of bits is a power of two, so repeated squaring is enough.
    for _ in range((8 * CHUNK_BYTES).bit_length() - 1):
        step = tuple(_times(step, column) for column in step)
    return tuple(tuple(_times(step, value << shift) for value in range(256)) for shift in (0, 8, 16, 24))


def _times(matrix: _Matrix, word: int) -> int:
    """Return the product of `matrix` and `word`."""
    result, bit = 0, 0
    while word:
        if word & 1:
            result ^= matrix[bit]
        word >>= 1
        bit += 1
    return result
