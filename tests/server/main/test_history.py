"""What a server remembers of frames: written line by line, read in pieces, bounded, gone with its job."""

from __future__ import annotations

from pathlib import Path

import pytest
from harmovid_server.main import history
from harmovid_server.main.history import History
from harmovid_server.spool import preview_path

JOB, OTHER = "0" * 32, "1" * 32


def computed(frame: int, **report: object) -> dict:
    """Return the line of a computed frame."""
    return {"frame": frame, "state": "computed", "report": report}


def test_lines_come_back_in_order_and_only_new_ones(tmp_path: Path) -> None:
    """Reading goes on where it stopped, through a restart too."""
    kept = History(tmp_path, 1 << 20)
    kept.begin(JOB)
    kept.note(JOB, computed(1, gain=0.5))
    lines, at = kept.read(JOB, 0)
    assert lines == [computed(1, gain=0.5)]
    kept.note(JOB, {"frame": 2, "state": "failed", "error": {"message": "no"}})
    again = History(tmp_path, 1 << 20)
    again.restore([JOB])
    assert again.read(JOB, at)[0] == [{"frame": 2, "state": "failed", "error": {"message": "no"}}]
    assert again.read(JOB, again.read(JOB, at)[1])[0] == []


def test_a_long_job_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece ends with a whole line, and the pieces together are all lines."""
    monkeypatch.setattr(history, "READ_BYTES", 200)
    kept = History(tmp_path, 1 << 20)
    for frame in range(50):
        kept.note(JOB, computed(frame, word="x" * 20))
    found, at, pieces = [], 0, 0
    while True:
        lines, after = kept.read(JOB, at)
        if after == at:
            break
        found, at, pieces = found + lines, after, pieces + 1
    assert [line["frame"] for line in found] == list(range(50))
    assert pieces > 10


@pytest.mark.parametrize(
    "report",
    [{"long": "x" * (70 << 10)}, {"nan": float("nan")}, {"odd": {1, 2}}, {"deep": [[[[[[[[[1]]]]]]]]]}],
)
def test_a_report_that_cannot_travel_is_left_out(tmp_path: Path, report: dict) -> None:
    """The frame itself is noted all the same."""
    kept = History(tmp_path, 1 << 20)
    kept.note(JOB, computed(7, **report))
    assert kept.read(JOB, 0)[0] == [{"frame": 7, "state": "computed"}]


def test_the_oldest_jobs_go_when_there_is_too_much(tmp_path: Path) -> None:
    """Bytes of lines and previews count; the job that is being written stays."""
    kept = History(tmp_path, 3000)
    for job in (JOB, OTHER):
        kept.begin(job)
        preview_path(tmp_path, job, 1, "after").write_bytes(b"x" * 2000)
        kept.note(job, computed(1), 2000)
    assert kept.preview(JOB, 1, "after") is None
    assert kept.read(JOB, 0)[0] == []
    assert kept.preview(OTHER, 1, "after") == b"x" * 2000


def test_nothing_is_kept_where_nothing_should_be(tmp_path: Path) -> None:
    """A budget of 0 writes no line."""
    kept = History(tmp_path, 0)
    kept.begin(JOB)
    kept.note(JOB, computed(1))
    assert kept.read(JOB, 0) == ([], 0)


def test_what_is_left_of_unknown_jobs_goes_at_a_start(tmp_path: Path) -> None:
    """Only the jobs that the store knows keep their history."""
    kept = History(tmp_path, 1 << 20)
    kept.note(JOB, computed(1))
    kept.note(OTHER, computed(1))
    History(tmp_path, 1 << 20).restore([OTHER])
    assert [path.name for path in tmp_path.iterdir()] == [OTHER]


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """A file where the folder should be: lines are left out, and nothing is raised."""
    (tmp_path / "history").write_text("in the way")
    kept = History(tmp_path / "history", 1 << 20)
    kept.begin(JOB)
    kept.note(JOB, computed(1))
    assert kept.read(JOB, 0) == ([], 0)
    kept.forget(JOB)
