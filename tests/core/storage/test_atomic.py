"""Atomic files: complete or not there at all, however the writing ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from harmovid.storage import atomic
from harmovid.storage.atomic import LONGEST_NAME_BYTES, WholeFile, replacing, temporary_stem, write_whole


def names(folder: Path) -> list[str]:
    """Return everything in a folder, hidden files too."""
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("durable", [True, False])
def test_what_a_library_writes_takes_the_files_place(tmp_path: Path, durable: bool) -> None:
    """Until the block ends the old file is kept; the temporary name is hidden, and has the suffix if requested."""
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")
    with replacing(path, durable, keep_suffix=durable) as temporary:
        assert os.path.basename(temporary).startswith(".sheet.png.")
        assert temporary.endswith(".png" if durable else ".tmp")
        Path(temporary).write_bytes(b"new")
        assert path.read_bytes() == b"old"

    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["sheet.png"]


def write_badly(path: Path, written: bytes, error: type) -> None:
    """Write something, or nothing, and fail."""
    with replacing(path) as temporary:
        if written:
            Path(temporary).write_bytes(written)
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type) -> None:
    """After any error, also Ctrl-C and before anything was written, the old file is kept and no other is left."""
    path = tmp_path / "weights.pt"
    path.write_bytes(b"old")
    for written in (b"half", b""):
        with pytest.raises(error):
            write_badly(path, written, error)
    assert (names(tmp_path), path.read_bytes()) == (["weights.pt"], b"old")


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    """A library that reports no error and writes no file does not make an empty one."""
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "clip.mp4"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["a" * 251 + ".exr", "ä" * 125 + ".exr", "a" * 100 + "." + "b" * 150, ".hidden"]
)
def test_any_name_that_a_file_system_takes(tmp_path: Path, name: str) -> None:
    """Names of up to 255 bytes work, with any suffix; leftovers of a kill are recognised."""
    assert len(os.fsencode(name)) <= LONGEST_NAME_BYTES
    write_whole(str(tmp_path / name), b"1")
    with replacing(tmp_path / name, keep_suffix=True) as temporary:
        assert temporary_stem(os.path.basename(temporary)) == atomic.stem_of(name)
        Path(temporary).write_bytes(b"2")
    assert (names(tmp_path), (tmp_path / name).read_bytes()) == ([name], b"2")


def test_names_that_are_no_temporary_ones() -> None:
    """A user's own hidden or `.tmp` file is never taken for one of ours."""
    for name in (
        ".plate.exr",
        "plate.0123abcd.tmp",
        ".plate.tmp",
        ".plate.0123abc.tmp",
        ".plate.0123abcd.tmp.a b",
    ):
        assert temporary_stem(name) is None


def test_pieces_become_a_file_that_does_not_replace(tmp_path: Path) -> None:
    """Without the right to replace, a file of that name is an error, and stays as it is; dropped pieces go."""
    path = tmp_path / "plate.1001.exr"
    for _ in range(2):
        file = WholeFile(str(path))
        file.write(b"one ")
        file.write(b"two")
        if path.exists():
            with pytest.raises(FileExistsError):
                file.commit(replace=False)
            file.drop()
        else:
            file.commit(replace=False)
            file.drop()
    assert (names(tmp_path), path.read_bytes()) == (["plate.1001.exr"], b"one two")


def test_a_missing_folder_is_the_systems_own_error(tmp_path: Path) -> None:
    """No folder is made."""
    with pytest.raises(OSError, match="No such file") as caught:
        write_whole(str(tmp_path / "none" / "a.exr"), b"")
    assert caught.value.errno == errno.ENOENT
    assert names(tmp_path) == []
