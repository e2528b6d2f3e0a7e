"""Shared storage: which paths a client may name; nothing outside a root is ever opened."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest
from harmovid.errors import FrameMissing, FrameRefused, HarmoVidError, InputError, PatternError
from harmovid_server.fetch.roots import Roots, copy
from harmovid_server.spool import PART
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

SECRET = b"not for clients"


@pytest.fixture
def show(tmp_path: Path) -> Path:
    """Return a root with one frame in it, and a secret beside it."""
    (tmp_path / "secret.1001.exr").write_bytes(SECRET)
    folder = tmp_path / "show" / "seq" / "010"
    folder.mkdir(parents=True)
    (folder / "plate.1001.exr").write_bytes(b"frame 1001")
    return tmp_path / "show"


@pytest.fixture
def roots(show: Path) -> Roots:
    """Return the roots of a server with one of them."""
    return Roots({"show": str(show)})


def read(roots: Roots, text: str, frame: int = 1001) -> bytes:
    """Return what a client would get for "root:pattern"."""
    handle = roots.open(roots.check(text), frame)
    try:
        return os.read(handle, 1 << 20)
    finally:
        os.close(handle)


def test_a_frame_below_a_root_is_read(roots: Roots) -> None:
    """The good case: a named root, folders, a pattern."""
    assert read(roots, "show:seq/010/plate.####.exr") == b"frame 1001"


@pytest.mark.parametrize(
    "text",
    [
        "", "show", "other:plate.####.exr", "/etc/passwd", "show:/etc/passwd", "show:../secret.####.exr",
        "show:seq/../../secret.####.exr", "show:seq/./010/plate.####.exr", "show:seq//010/plate.####.exr",
        "show:", "show:seq/", "show:..", "show:seq/010\\..\\plate.####.exr", "show:seq/010/plate\0.exr",
    ],
)  # fmt: skip
def test_what_leads_out_is_refused_before_anything_is_opened(roots: Roots, text: str) -> None:
    """Absolute paths, dots, unknown roots and odd characters are an input error at SUBMIT."""
    with pytest.raises((InputError, PatternError)):
        roots.check(text)


def test_links_are_not_followed_wherever_they_stand(roots: Roots, show: Path) -> None:
    """A link as the file, as a folder, or to the root's own inside is refused as FrameMissing."""
    (show / "seq" / "link.1001.exr").symlink_to(show.parent / "secret.1001.exr")
    (show / "out").symlink_to(show.parent)
    (show / "inner").symlink_to(show / "seq" / "010")
    for text in ("show:seq/link.####.exr", "show:out/secret.####.exr", "show:inner/plate.####.exr"):
        with pytest.raises(FrameMissing, match="cannot be opened"):
            read(roots, text)


def test_the_root_itself_may_be_a_link(show: Path) -> None:
    """The root's own path is set by the operator and may contain links."""
    (show.parent / "mount").symlink_to(show)
    assert read(Roots({"m": str(show.parent / "mount")}), "m:seq/010/plate.####.exr") == b"frame 1001"


def test_a_folder_swapped_for_a_link_in_between_does_not_lead_out(
    roots: Roots, show: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even at the worst moment, between the opening of two folders, a swap is refused."""
    real, outside = os.open, show.parent / "outside" / "010"
    outside.mkdir(parents=True)
    (outside / "plate.1001.exr").write_bytes(SECRET)

    def swap(path: object, flags: int, *args: object, **more: object) -> int:
        if path == "010":
            (show / "seq" / "010").rename(show / "seq" / "moved")
            (show / "seq" / "010").symlink_to(outside)
        return real(path, flags, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(FrameMissing):
        read(roots, "show:seq/010/plate.####.exr")


def test_what_is_no_file_is_refused(roots: Roots, show: Path) -> None:
    """Folders, pipes and empty files are refused, and a pipe does not hang the server."""
    folder = show / "seq" / "010"
    (folder / "dir.1001.exr").mkdir()
    os.mkfifo(folder / "pipe.1001.exr")
    (folder / "empty.1001.exr").touch()
    for name in ("dir", "pipe", "empty"):
        with pytest.raises(FrameRefused):
            read(roots, f"show:seq/010/{name}.####.exr")


def test_a_missing_frame_names_itself_without_the_servers_paths(roots: Roots, show: Path) -> None:
    """The error contains the client's own path and the frame, not the place where the root is mounted."""
    with pytest.raises(FrameMissing) as caught:
        read(roots, "show:seq/010/plate.####.exr", 1002)
    assert "show:seq/010/plate.1002.exr" in str(caught.value)
    assert str(show) not in str(caught.value)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="show:/.#%d\\ \0\n~$@1aé", max_size=40))
@example("show:seq/010/../../../secret.####.exr")
def test_no_text_reads_the_secret(show: Path, text: str) -> None:
    """Whatever is written after the colon, what lies outside the root never comes back."""
    roots = Roots({"show": str(show)})
    for candidate in (text, "show:" + text):
        try:
            data = read(roots, candidate)
        except HarmoVidError:
            continue
        assert data != SECRET


def test_copying_is_whole_or_not_at_all(roots: Roots, show: Path, tmp_path: Path) -> None:
    """A copy has the file's size and checksum; if it fails no file is left."""
    data = os.urandom(3 << 20)
    (show / "big.1.exr").write_bytes(data)
    beats: list[int] = []
    handle = roots.open(roots.check("show:big.#.exr"), 1)
    assert copy(handle, tmp_path / "1.exr", lambda: beats.append(1)) == (len(data), zlib.crc32(data))
    os.close(handle)
    assert (tmp_path / "1.exr").read_bytes() == data
    assert len(beats) == 3
    handle = roots.open(roots.check("show:big.#.exr"), 1)
    with pytest.raises(OSError, match="No such file"):
        copy(handle, tmp_path / "gone" / "1.exr", lambda: None)
    os.close(handle)
    assert not list(tmp_path.glob("**/*" + PART))
