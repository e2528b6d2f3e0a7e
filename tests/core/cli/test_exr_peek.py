"""The first bytes of files that call themselves EXR."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from harmovid import errors
from harmovid.cli.exr_peek import MAGIC, Peek, peek


def write(path: Path, data: bytes) -> Path:
    """Write `data` to `path` and return it."""
    path.write_bytes(data)
    return path


def exr(flags: int) -> bytes:
    """Return the first bytes of an EXR with the given version flags."""
    return struct.pack("<II", MAGIC, 2 | flags) + b"channels\0chlist\0"


@pytest.mark.parametrize(
    ("flags", "tiled", "multipart"), [(0, False, False), (0x200, True, False), (0x1400, False, True)]
)
def test_flags_of_real_heads(tmp_path: Path, flags: int, tiled: bool, multipart: bool) -> None:
    """Scanline, tiled and multi-part files are told apart, with their size."""
    path = write(tmp_path / "a.exr", exr(flags))

    assert peek(path, 7, "plate") == Peek(size=path.stat().st_size, tiled=tiled, multipart=multipart)


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"", errors.FrameUnreadable, "empty"),
        (b"\x89PNG\r\n\x1a\n0000", errors.FrameUnreadable, "PNG"),
        (b"\x76\x2f\x31", errors.FrameUnreadable, "no EXR"),
        (b"version https://git-lfs.github.com/spec/v1\n", errors.FrameUnreadable, "LFS"),
        (exr(0x800), errors.FrameRefused, "deep"),
    ],
)
def test_what_is_no_usable_exr_is_told(tmp_path: Path, data: bytes, error: type, said: str) -> None:
    """Empty, renamed and deep files raise the frame error that names frame, layer and kind."""
    path = write(tmp_path / "a.exr", data)

    with pytest.raises(error, match=said) as caught:
        peek(path, 12, "bg")

    assert (caught.value.frame, caught.value.layer) == (12, "bg")
    assert caught.value.fix


def test_a_missing_file_is_a_missing_frame(tmp_path: Path) -> None:
    """No file is FrameMissing, not unreadable."""
    with pytest.raises(errors.FrameMissing):
        peek(tmp_path / "none.exr", 1, "plate")
