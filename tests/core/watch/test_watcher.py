"""A watched folder with a reference server: which jobs run and wait, their status, and restarts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from core.reference_server import ReferenceServer
from core.tiny_exr import tiny_exr
from harmovid.client import Client
from harmovid.errors import InputError
from harmovid.watch import status as states
from harmovid.watch.watcher import RETRY_S, Watcher


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time, a moment later at every call."""
        self.now += 0.001
        return self.now


@pytest.fixture
def client(server: ReferenceServer) -> Iterator[Client]:
    """Yield a client of the reference server."""
    with Client(server.address) as it:
        yield it


def drop(folder: Path, name: str = "shot", frames: range = range(1, 4), words: str = "") -> Path:
    """Drop a plate and its job file; return the job file."""
    plate = folder / name
    plate.mkdir(exist_ok=True)
    for frame in frames:
        (plate / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame / 64))
    job = folder / f"{name}.job"
    job.write_text(f"[job]\nengine = null\nplate = {name}/\n{words}", encoding="utf-8")
    return job


def state_of(job: Path) -> str:
    """Return the state beside a job file."""
    status = states.load(job)
    return "" if status is None else status.state


def test_a_job_runs_at_the_second_look_and_only_once(tmp_path: Path, client: Client) -> None:
    """A dropped job waits one look, runs at the next, and is left alone afterwards."""
    job = drop(tmp_path)
    watcher = Watcher(tmp_path, client)

    assert watcher.step() == []
    assert state_of(job) == states.WAITING
    assert watcher.step() == [job]
    assert state_of(job) == states.DONE
    assert watcher.step() == []
    results = sorted(path.name for path in (tmp_path / "shot.out").iterdir())
    assert results == ["p.0001.exr", "p.0002.exr", "p.0003.exr"]


def test_files_that_still_change_are_not_taken(tmp_path: Path, client: Client) -> None:
    """While frames are still arriving the job waits."""
    job = drop(tmp_path)
    watcher = Watcher(tmp_path, client)
    for frame in (4, 5):
        assert watcher.step() == []
        drop(tmp_path, frames=range(frame, frame + 1))

    assert watcher.step() == []
    assert watcher.step() == [job]
    assert len(list((tmp_path / "shot.out").glob("p.*.exr"))) == 5


def test_jobs_run_in_the_order_in_which_they_came(tmp_path: Path, client: Client) -> None:
    """The oldest job file is first, whatever its name."""
    second, first = drop(tmp_path, "a"), drop(tmp_path, "b")
    os.utime(first, ns=(10, 10))
    watcher = Watcher(tmp_path, client)
    watcher.step()

    assert watcher.step() == [first, second]


def test_a_job_that_cannot_start_says_why_and_starts_when_it_can(tmp_path: Path, client: Client) -> None:
    """Missing frames are named in the status; once they are there, the job runs."""
    job = tmp_path / "shot.job"
    job.write_text("[job]\nengine = null\nplate = shot/\n", encoding="utf-8")
    said: list[str] = []
    watcher = Watcher(tmp_path, client, said.append)
    for _ in range(3):
        assert watcher.step() == []
    assert state_of(job) == states.BLOCKED
    assert len(said) == 1
    assert "shot" in said[0]

    drop(tmp_path)
    watcher.step()

    assert watcher.step() == [job]
    assert state_of(job) == states.DONE


def test_a_changed_job_file_is_run_again(tmp_path: Path, client: Client) -> None:
    """Another output for the same plate is another job; the first results stay."""
    job = drop(tmp_path)
    watcher = Watcher(tmp_path, client)
    watcher.step(), watcher.step()
    drop(tmp_path, words="out = again/\n")
    watcher.step()

    assert watcher.step() == [job]
    assert (tmp_path / "again" / "p.0001.exr").is_file()
    assert (tmp_path / "shot.out" / "p.0001.exr").is_file()


def test_results_that_are_not_its_own_are_never_replaced(tmp_path: Path, client: Client) -> None:
    """A job whose results exist already is refused with a message, and the files are not changed."""
    job = drop(tmp_path, words="out = mine/\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "p.0001.exr").write_bytes(b"somebody's work")
    watcher = Watcher(tmp_path, client)
    for _ in range(3):
        watcher.step()

    status = states.load(job)
    assert status is not None
    assert status.state == states.BLOCKED
    assert "already" in status.error
    assert (tmp_path / "mine" / "p.0001.exr").read_bytes() == b"somebody's work"


def test_a_server_that_is_away_is_tried_again(tmp_path: Path, client: Client) -> None:
    """Without a server the job is blocked; it is not retried at every check, and runs when the server is back."""
    job = drop(tmp_path)
    clock = Clock()
    gone = Watcher(tmp_path, Client("tcp://127.0.0.1:9", timeout_s=0.2), clock=clock)
    gone.step()
    status = states.load(job)
    assert status is not None
    assert status.state == states.BLOCKED
    assert status.fix
    gone._client = client
    assert gone.step() == []
    assert gone.step() == []

    clock.now += RETRY_S
    gone.step()

    assert gone.step() == [job]
    assert state_of(job) == states.DONE


def test_a_job_that_was_killed_goes_on(tmp_path: Path, client: Client) -> None:
    """A job whose status says running is continued by the next watcher."""
    job = drop(tmp_path)
    states.Status(states.RUNNING, digest="of an earlier run").save(job)
    watcher = Watcher(tmp_path, client)
    watcher.step()

    assert watcher.step() == [job]
    assert state_of(job) == states.DONE


def test_status_is_whole_json(tmp_path: Path, client: Client) -> None:
    """The status names results, counts and what was said of every frame."""
    job = drop(tmp_path)
    watcher = Watcher(tmp_path, client)
    watcher.step(), watcher.step()

    told: dict[str, Any] = json.loads(job.with_suffix(states.SUFFIX).read_text(encoding="utf-8"))

    assert (told["state"], told["frames"], told["delivered"]) == ("done", 3, 3)
    assert Path(told["results"]) == tmp_path / "shot.out"
    assert sorted(told["reports"]) == ["1", "2", "3"]


def test_hidden_and_foreign_files_are_no_jobs(tmp_path: Path, client: Client) -> None:
    """Files of macOS, folders and other names are ignored."""
    (tmp_path / "._shot.job").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "notes.txt").write_text("[job]\nengine = null\n")
    watcher = Watcher(tmp_path, client)

    assert watcher.step() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["._shot.job", "notes.txt"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path, client: Client) -> None:
    """Watching nothing is an error, not a long wait."""
    with pytest.raises(InputError, match="no folder"):
        Watcher(tmp_path / "none", client)
