"""A folder per clip, in it one per version, and in that a record that is there whole or as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harmovid_resolve import versions
from harmovid_resolve.contract import RECORD, Record
from harmovid_resolve.errors import HostError


@pytest.mark.parametrize(
    ("clip", "name"),
    [
        ("plate.[1001-1024].exr", "plate"),
        ("A001_C002.mov", "A001_C002"),
        ("../../etc/passwd", "etc_passwd"),
        ("sh 010: day", "sh_010_day"),
        ("...", "clip"),
        ("Ümlaut", "Ümlaut"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_clips_name_is_safe_as_a_folder(clip: str, name: str) -> None:
    """Neither separators nor what a system refuses gets into a path; a name never leads out of the folder."""
    assert versions.safe_name(clip) == name


def test_versions_are_counted_and_never_shared(tmp_path: Path) -> None:
    """Each call makes the next folder; a name of one's own is made once."""
    made = [Path(versions.new_version(str(tmp_path), "p.exr", "")).relative_to(tmp_path) for _ in range(3)]
    assert [str(path) for path in made] == ["p/v001", "p/v002", "p/v003"]
    assert versions.new_version(str(tmp_path), "p.exr", "look A").endswith("p/look_A")
    with pytest.raises(HostError, match="has a version look A already"):
        versions.new_version(str(tmp_path), "p.exr", "look A")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way is an error with another way."""
    (tmp_path / "p").write_text("a file")
    with pytest.raises(HostError, match=r"no folder can be made in .*Choose another output folder"):
        versions.new_version(str(tmp_path), "p.exr", "")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """It comes back with its changes, leaves no other file, and a damaged one is an error."""
    record = versions.save(str(tmp_path), Record("p", "v001", wanted="1001-1004"), state="partly")
    assert versions.load(str(tmp_path)) == record
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]
    assert json.loads((tmp_path / RECORD).read_text())["state"] == "partly"
    (tmp_path / RECORD).write_text('{"clip": ')
    with pytest.raises(HostError, match="cannot be read"):
        versions.load(str(tmp_path))
    with pytest.raises(HostError, match="cannot be read"):
        versions.load(str(tmp_path / "none"))
