"""Checksums kept with a result's file."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from harmovid.transport.wire import CHUNK_BYTES
from harmovid_server import stored_sums
from harmovid_server.stored_sums import read_sums, write_summed


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, 2 * CHUNK_BYTES + 77])
def test_a_file_keeps_its_chunks_sums(tmp_path: Path, size: int) -> None:
    """What is read back are zlib's sums of the chunks; the file holds the data, the return is its whole sum."""
    data = os.urandom(size)
    assert write_summed(tmp_path / "a", data) == zlib.crc32(data)
    assert (tmp_path / "a").read_bytes() == data
    with open(tmp_path / "a", "rb") as file:
        found = read_sums(file.fileno(), size)
    if found is None:
        pytest.skip("this file system keeps no attributes")
    assert found == tuple(zlib.crc32(data[at : at + CHUNK_BYTES]) for at in range(0, size, CHUNK_BYTES))


def test_a_file_without_sums_has_none(tmp_path: Path) -> None:
    """A file without stored checksums, or of another size than theirs, has none that are used."""
    (tmp_path / "plain").write_bytes(b"x")
    write_summed(tmp_path / "short", b"x" * 10)
    for name, size in (("plain", 1), ("short", CHUNK_BYTES + 1)):
        with open(tmp_path / name, "rb") as file:
            assert read_sums(file.fileno(), size) is None


def test_a_file_system_without_attributes_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If extended attributes cannot be written the file is still complete."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(stored_sums.os, "setxattr", refuse)
    assert write_summed(tmp_path / "a", b"abc") == zlib.crc32(b"abc")
    assert (tmp_path / "a").read_bytes() == b"abc"
