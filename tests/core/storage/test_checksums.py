"""Checksums of chunks and files: the same as zlib's over all the bytes, whatever the lengths."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from harmovid.storage.checksums import RunningSum, chunk_sums, file_crc
from harmovid.transport.wire import CHUNK_BYTES

DATA = os.urandom(3 * CHUNK_BYTES + 12345)


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(DATA)]
)
def test_sums_of_a_file_are_zlibs(size: int, tmp_path: Path) -> None:
    """Every chunk's sum, the whole's and that of a file on disk are what zlib gives for those bytes."""
    data = memoryview(DATA)[:size]
    sums, whole = chunk_sums(data)
    assert whole == zlib.crc32(data)
    assert sums == [zlib.crc32(data[start : start + CHUNK_BYTES]) for start in range(0, size, CHUNK_BYTES)]
    (tmp_path / "file").write_bytes(data)
    assert file_crc(tmp_path / "file") == whole


def test_fragments_may_come_anywhere() -> None:
    """Full chunks at odd places, fragments in between: the whole is still right."""
    running, at = RunningSum(), 0
    for length in (7, CHUNK_BYTES, 1, CHUNK_BYTES, 1000):
        piece = DATA[at : at + length]
        assert running.add(piece) == zlib.crc32(piece)
        at += length
        assert running.whole == zlib.crc32(DATA[:at])


def test_one_changed_bit_changes_the_whole() -> None:
    """A flipped bit in any chunk gives another sum."""
    good = chunk_sums(memoryview(DATA))[1]
    for place in (0, CHUNK_BYTES, len(DATA) - 1):
        bad = bytearray(DATA)
        bad[place] ^= 1
        assert chunk_sums(memoryview(bad))[1] != good


def test_without_isal_the_sums_are_zlibs_own() -> None:
    """A client that has only the standard library sums with zlib, and comes to the same values."""
    script = (
        "import sys; sys.modules['isal'] = None; sys.modules['isal.isal_zlib'] = None\n"
        "import zlib, harmovid.storage.checksums as c; assert c.crc32 is zlib.crc32\n"
        "sys.stdout.write(str(c.chunk_sums(memoryview(bytes(range(256)) * 9000))))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == str(chunk_sums(memoryview(bytes(range(256)) * 9000)))
