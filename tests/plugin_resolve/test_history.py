"""The list of versions and of runs: what is there, whatever else lies in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harmovid_resolve import history
from harmovid_resolve.contract import RECORD, Record
from harmovid_resolve.errors import HostError


def put(folder: Path, version: str, started: str) -> None:
    """Write a version's record."""
    place = folder / "clip" / version
    place.mkdir(parents=True)
    record = Record("clip", version, started=started, state="returned")
    (place / RECORD).write_text(json.dumps(record.to_dict()))


def test_versions_are_found_the_newest_first(tmp_path: Path) -> None:
    """From the output folder, from the clip's, and from a version's own; what cannot be read is passed over."""
    put(tmp_path, "v001", "2026-11-29 10:00")
    put(tmp_path, "v002", "2026-11-29 11:00")
    (tmp_path / "clip" / "v003").mkdir()
    (tmp_path / "clip" / "v003" / RECORD).write_text('{"clip": "half')
    (tmp_path / "notes.txt").write_text("x")

    for folder in (tmp_path, tmp_path / "clip"):
        assert [one["version"] for one in history.versions(str(folder))] == ["v002", "v001"]
    (one,) = history.versions(str(tmp_path / "clip" / "v001"))
    assert one["folder"] == str(tmp_path / "clip" / "v001")
    with pytest.raises(HostError, match="no folder"):
        history.versions(str(tmp_path / "none"))


def test_runs_are_noted_line_by_line(tmp_path: Path) -> None:
    """A line that was cut off by a crash is left out, the others stay; a folder that is gone harms nothing."""
    history.note(str(tmp_path), {"job": "a", "state": "done"})
    with open(tmp_path / history.LOG, "a") as file:
        file.write('{"job": "ha\n')
    history.note(str(tmp_path), {"job": "b", "state": "done"})
    history.note(str(tmp_path / "gone"), {"job": "c"})

    assert [line["job"] for line in history.lines(str(tmp_path))] == ["a", "b"]
    assert all(line["time"] for line in history.lines(str(tmp_path)))
    assert history.lines(str(tmp_path / "gone")) == []
