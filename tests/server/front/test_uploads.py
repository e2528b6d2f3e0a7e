"""One incoming file: complete and checked, or not there at all."""

from __future__ import annotations

import os
import resource
import zlib
from pathlib import Path

import pytest
from harmovid.errors import FrameCorrupt, ProtocolError
from harmovid_server.front.uploads import Upload
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEY = ("a" * 32, "plate", 1001)
DATA = bytes(range(256)) * 40


def chunks(data: bytes, size: int) -> list[tuple[int, int, bytes]]:
    """Return (offset, crc, bytes) of each chunk."""
    return [(at, zlib.crc32(data[at : at + size]), data[at : at + size]) for at in range(0, len(data), size)]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, len(DATA) + 1))
def test_a_file_arrives_whole_in_chunks_of_any_size(tmp_path: Path, size: int) -> None:
    """The last chunk, and no earlier one, puts the file in its place with every byte."""
    target = tmp_path / "plate.1001.exr"
    target.unlink(missing_ok=True)
    upload = Upload(KEY, len(DATA), zlib.crc32(DATA), target)
    *first, last = chunks(DATA, size)
    for chunk in first:
        assert not upload.take(*chunk)
        assert not target.exists()
    assert upload.take(*last)
    assert target.read_bytes() == DATA
    assert os.listdir(tmp_path) == ["plate.1001.exr"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: (c[0], c[1] ^ 1, c[2]), "damaged"),
        (lambda c: (c[0], c[1], c[2][:-1] + b"!"), "damaged"),
        (lambda c: (c[0] + 1, c[1], c[2]), "out of order"),
        (lambda c: (0, c[1], c[2]), "out of order"),
    ],
)
def test_a_bad_chunk_ends_the_file_and_the_rest_is_ignored(
    tmp_path: Path, change: object, reason: str
) -> None:
    """Damaged and misplaced chunks are found at once; no file is left, and later chunks are only counted."""
    upload = Upload(KEY, len(DATA), zlib.crc32(DATA), tmp_path / "plate.1001.exr")
    first, second, *rest = chunks(DATA, 3000)
    upload.take(*first)
    with pytest.raises(FrameCorrupt, match=reason):
        upload.take(*change(second))  # type: ignore[operator]
    for chunk in rest:
        assert not upload.take(*chunk)
    assert upload.ignored
    assert os.listdir(tmp_path) == []


def test_a_wrong_checksum_of_the_whole_is_found_at_the_end(tmp_path: Path) -> None:
    """Chunks with right checksums do not make a good file if the file's own checksum differs."""
    upload = Upload(KEY, len(DATA), zlib.crc32(DATA) ^ 1, tmp_path / "plate.1001.exr")
    *first, last = chunks(DATA, 3000)
    for chunk in first:
        upload.take(*chunk)
    with pytest.raises(FrameCorrupt, match="whole file"):
        upload.take(*last)
    assert os.listdir(tmp_path) == []


def test_more_bytes_than_announced_are_a_breach(tmp_path: Path) -> None:
    """A file cannot grow beyond what META said, neither while it is written nor while it is ignored."""
    for target in (tmp_path / "plate.1001.exr", None):
        upload = Upload(KEY, 10, 0, target)
        with pytest.raises(ProtocolError, match="after its end"):
            upload.take(0, zlib.crc32(DATA), DATA)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_known_before_a_byte_has_travelled(tmp_path: Path) -> None:
    """Space for the whole file is reserved at META; if there is none, no file is left."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            Upload(KEY, 1 << 20, 0, tmp_path / "plate.1001.exr")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_a_failure_is_reported_once(tmp_path: Path) -> None:
    """A report that is due at the end of an ignored file is sent then, and only once."""
    upload = Upload(KEY, 10, 0, None)
    told: list[str] = []
    upload.failure = lambda: told.append("full")
    upload.tell_failure()
    upload.tell_failure()
    assert told == ["full"]
