"""The job store: committed changes survive, others do not, foreign files are refused."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from fakes.small_disk import fill, small_disk
from harmovid.errors import InputError
from harmovid.job import JobSpec, OutputSpec
from harmovid_server.main.store import ACKED, COMPUTED, DEAD, FrameRecord, JobRecord, Store

SPEC = JobSpec(
    "ab" * 16, "deflicker", "1001-1100x2,-5", ("plate", "mask"), {"amount": 0.5, "mode": "fast"},
    {"plate": "ACEScg"}, OutputSpec("comp", 0.5, True, False), {"plate": "show:a.####.exr"}, "shot 10",
)  # fmt: skip


def record(**more: object) -> JobRecord:
    """Return a job's record."""
    return JobRecord(SPEC, "anna", "RUNNING", created_s=5.0, seen_s=6.0, **more)  # type: ignore[arg-type]


def test_a_committed_job_comes_back_as_it_was(tmp_path: Path) -> None:
    """Specification, counters and error survive closing and opening."""
    store = Store.open(tmp_path / "jobs.sqlite")
    before = record(attempt=3, crashes=1, error={"code": "engine_failed"}, ended_s=9.0)
    store.put_job(before)
    store.close()
    assert Store.open(tmp_path / "jobs.sqlite").jobs() == [before]


def test_frames_come_back_with_results_errors_and_inputs(tmp_path: Path) -> None:
    """Each frame keeps its state, its result's size and checksum, its report, its error and its inputs."""
    store = Store.open(tmp_path / "jobs.sqlite")
    store.put_frame(SPEC.job_id, 1001, FrameRecord(COMPUTED, 10, 2**32 - 1, {"stops": 0.25}))
    store.put_frame(SPEC.job_id, -5, FrameRecord(DEAD, error={"code": "frame_missing"}))
    store.put_input(SPEC.job_id, 1003, "plate", 77, 5)
    store.commit()
    frames = store.frames(SPEC.job_id)
    assert frames[1001] == FrameRecord(COMPUTED, 10, 2**32 - 1, {"stops": 0.25})
    assert frames[-5].error == {"code": "frame_missing"}
    assert frames[1003].inputs == {"plate": (77, 5)}
    assert store.counts(SPEC.job_id) == {COMPUTED: 1, DEAD: 1}


def test_what_was_not_committed_is_gone(tmp_path: Path) -> None:
    """After a kill between two commits a batch is there completely or not at all."""
    store = Store.open(tmp_path / "jobs.sqlite")
    store.put_job(record())
    store.commit()
    store.put_frame(SPEC.job_id, 1001, FrameRecord(ACKED))
    store.drop_inputs(SPEC.job_id)
    again = Store.open(tmp_path / "jobs.sqlite")
    assert again.frames(SPEC.job_id) == {}
    assert len(again.jobs()) == 1


def test_dropping_a_job_leaves_nothing_of_it(tmp_path: Path) -> None:
    """A forgotten job has no rows left in any table."""
    store = Store.open(tmp_path / "jobs.sqlite")
    store.put_job(record())
    store.put_frame(SPEC.job_id, 1, FrameRecord(ACKED))
    store.put_input(SPEC.job_id, 2, "plate", 1, 1)
    store.drop_job(SPEC.job_id)
    store.close()
    again = Store.open(tmp_path / "jobs.sqlite")
    assert again.jobs() == []
    assert again.frames(SPEC.job_id) == {}


def test_a_store_of_another_schema_is_refused(tmp_path: Path) -> None:
    """A store that another version wrote is named, not guessed at and not overwritten."""
    path = tmp_path / "jobs.sqlite"
    plain = sqlite3.connect(path)
    plain.execute("PRAGMA user_version=99")
    plain.close()
    with pytest.raises(InputError, match="schema 99"):
        Store.open(path)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """A damaged or foreign file is an error with a fix."""
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database, and long enough to be read as one" * 100)
    with pytest.raises(InputError, match="cannot be used"):
        Store.open(path)


def test_a_full_disk_is_waited_out_without_losing_a_write(tmp_path: Path) -> None:
    """SQLite takes back a transaction that does not fit; the store writes it again until it does."""
    with small_disk(tmp_path / "disk", 16) as disk:
        store = Store.open(disk / "jobs.sqlite")
        filler = fill(disk)
        store.put_job(record())
        for frame in range(20000):
            store.put_frame(SPEC.job_id, frame, FrameRecord(ACKED, report={"note": "x" * 100}))
        timer = threading.Timer(1.2, filler.unlink)
        timer.start()
        store.commit()
        assert not filler.exists(), "what did not fit cannot have been written before there was room"
        timer.join()
        assert store.counts(SPEC.job_id) == {ACKED: 20000}
        store.close()


def test_a_disk_full_to_the_last_byte_still_takes_what_has_to_be_said(tmp_path: Path) -> None:
    """Hundreds of changes, an ending job among them, are kept although the disk never has a byte left."""
    with small_disk(tmp_path / "disk", 8) as disk:
        store = Store.open(disk / "jobs.sqlite")
        store.put_job(record())
        store.commit()
        fill(disk)
        for frame in range(400):
            store.put_frame(SPEC.job_id, frame, FrameRecord(DEAD, error={"code": "spool_full"}))
            store.commit()
        store.drop_job(SPEC.job_id)
        store.close()
        assert Store.open(disk / "jobs.sqlite").jobs() == []
