"""A job's own results and foreign files: after a kill, after a repair, after a result was edited."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from core.reference_server import ReferenceServer
from core.tiny_exr import tiny_exr
from core.watch.test_watcher import drop, state_of
from harmovid.client import Client
from harmovid.watch import ledger
from harmovid.watch import status as states
from harmovid.watch.status import Status
from harmovid.watch.watcher import Watcher


@pytest.fixture
def client(server: ReferenceServer) -> Iterator[Client]:
    """Yield a client of the reference server."""
    with Client(server.address) as it:
        yield it


def told(job: Path) -> Status:
    """Return the status beside a job file."""
    status = states.load(job)
    assert status is not None
    return status


def looked(folder: Path, client: Client, times: int = 3) -> None:
    """Let a new watcher check a folder a few times."""
    watcher = Watcher(folder, client)
    for _ in range(times):
        watcher.step()


def journals(folder: Path) -> list[str]:
    """Return the journals beside results."""
    return [path.name for path in folder.glob(".harmovid-*.journal")]


def test_a_job_found_running_replaces_no_foreign_result(tmp_path: Path, client: Client) -> None:
    """A status of "running" does not allow replacing files that are not in this job's journal."""
    job = drop(tmp_path)
    looked(tmp_path, client)
    done = told(job)
    others = tmp_path / "shot.out" / "p.0002.exr"
    others.write_bytes(b"somebody's paint")
    replace(done, state=states.RUNNING).save(job)

    looked(tmp_path, client)

    assert state_of(job) == states.BLOCKED
    assert "1 results are there already: frames 2 " in told(job).error
    assert others.read_bytes() == b"somebody's paint"


def test_a_kill_between_the_last_result_and_the_status_is_no_end(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is kept until the status has the job's end: the next watcher writes that without a new run."""
    job = drop(tmp_path)
    # As after a kill at that moment: the results are written, the journal lies there, the status still says running.
    with monkeypatch.context() as patch:
        patch.setattr("harmovid.watch.watcher.forget", lambda journal: None)
        looked(tmp_path, client, 2)
    assert len(journals(tmp_path / "shot.out")) == 1
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "shot.out").glob("p.*.exr")}
    replace(told(job), state=states.RUNNING, written={}).save(job)

    looked(tmp_path, client)

    assert state_of(job) == states.DONE
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "shot.out").glob("p.*.exr")} == before
    assert journals(tmp_path / "shot.out") == []


def test_a_repaired_frame_is_done_again(tmp_path: Path, client: Client) -> None:
    """An incomplete job runs again when its missing frame has come; its own results are replaced, none is refused."""
    job = drop(tmp_path, words="frames = 1-4\n")
    looked(tmp_path, client)
    assert state_of(job) == states.INCOMPLETE
    assert list(told(job).failed) == ["4"]

    (tmp_path / "shot" / "p.0004.exr").write_bytes(tiny_exr(value=4 / 64))
    looked(tmp_path, client)

    assert state_of(job) == states.DONE
    assert (tmp_path / "shot.out" / "p.0004.exr").read_bytes() == tiny_exr(value=4 / 64)


def test_changed_inputs_replace_own_results_only(tmp_path: Path, client: Client) -> None:
    """A plate that was rendered again is run again, but not if a result was edited; the status then says so."""
    job = drop(tmp_path)
    looked(tmp_path, client)
    plate = tmp_path / "shot" / "p.0001.exr"
    plate.write_bytes(tiny_exr(value=0.5))
    looked(tmp_path, client)
    assert state_of(job) == states.DONE
    assert (tmp_path / "shot.out" / "p.0001.exr").read_bytes() == tiny_exr(value=0.5)

    painted = tmp_path / "shot.out" / "p.0003.exr"
    painted.write_bytes(b"paint")
    looked(tmp_path, client)
    assert state_of(job) == states.DONE, "nothing but the result has changed: there is nothing to do"
    plate.write_bytes(tiny_exr(value=0.25))
    looked(tmp_path, client)

    assert state_of(job) == states.BLOCKED
    assert "3" in told(job).error
    assert painted.read_bytes() == b"paint"
    painted.unlink()
    looked(tmp_path, client)
    assert state_of(job) == states.DONE


def test_a_plate_that_goes_away_leaves_the_end_as_it_was(tmp_path: Path, client: Client) -> None:
    """Cleaning up the inputs of a done job is no error."""
    job = drop(tmp_path)
    looked(tmp_path, client)
    for path in (tmp_path / "shot").iterdir():
        path.unlink()
    looked(tmp_path, client)

    assert state_of(job) == states.DONE


def test_what_a_status_remembers_is_checked_against_the_files(tmp_path: Path) -> None:
    """Same size and time, or the same bytes under another time, is the same result; anything else is not."""
    pattern = tmp_path / "p.####.exr"
    for frame in (1, 2, 3):
        (tmp_path / f"p.{frame:04d}.exr").write_bytes(b"abc")
    times = {n: (tmp_path / f"p.{n:04d}.exr").stat().st_mtime_ns for n in (1, 2, 3)} | {4: 9}
    crc = 0x352441C2  # CRC-32 of "abc"
    status = Status(
        states.DONE, pattern=str(pattern), written={str(n): [3, crc, times[n]] for n in (1, 2, 3, 4)}
    )
    os.utime(tmp_path / "p.0002.exr", ns=(5, 5))
    (tmp_path / "p.0003.exr").write_bytes(b"abd")
    os.utime(tmp_path / "p.0003.exr", ns=(7, 7))

    assert ledger.own_results(status) == {str(tmp_path / "p.0001.exr"), str(tmp_path / "p.0002.exr")}
    assert ledger.own_results(None) == frozenset()
    assert ledger.own_results(replace(status, pattern="")) == frozenset()
