"""`harmovid engines`, `status` and `cancel` against a reference server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core.ends import MemorySink, MemorySource
from core.reference_server import ReferenceServer
from harmovid.cli import main
from harmovid.client import Client, Job
from harmovid.errors import JobCancelled
from harmovid.job import CANCELLED, JobSpec, new_job_id


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ReferenceServer) -> None:
    """Set the environment to the reference server, without other settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HARMOVID_SERVER", server.address)
    for name in ("HARMOVID_KEY", "HARMOVID_CLIENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def run_job(server: ReferenceServer, label: str = "shot", frames: str = "1-3") -> str:
    """Run a job to its end and return its id."""
    job = JobSpec(new_job_id(), "null", frames, ("plate",), label=label)
    Client(server.address).run(job, MemorySource(), MemorySink())
    return job.job_id


def test_engines_are_listed_as_the_server_describes_them(
    server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table names the engine and who described it; JSON carries the whole description."""
    assert main(["engines"]) == 0
    text = capsys.readouterr().out
    assert "null" in text
    assert server.address in text

    assert main(["engines", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [engine["target"] for engine in answer["engines"]] == ["plate"]


def test_status_shows_all_jobs_or_one_by_its_beginning(
    server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """`status` lists all jobs, or with the first letters of an id only that job."""
    one, two = run_job(server, "one"), run_job(server, "two")

    assert main(["status", "--json"]) == 0
    assert {job["job_id"] for job in json.loads(capsys.readouterr().out)["jobs"]} == {one, two}
    assert main(["status", one[:12], "--json"]) == 0
    assert [job["state"] for job in json.loads(capsys.readouterr().out)["jobs"]] == ["DONE"]
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["JOB", "STATE", "DONE"]
    assert any(line.startswith(two[:8]) and "3/3" in line for line in lines)


def test_cancel_stops_a_running_job(server: ReferenceServer, capsys: pytest.CaptureFixture[str]) -> None:
    """`cancel` with an id's beginning cancels the job that another client is running."""
    sink = MemorySink()
    sink.gate.clear()
    job = JobSpec(new_job_id(), "null", "1-50", ("plate",))
    handle = Client(server.address).start(Job(job, MemorySource(), sink))
    while job.job_id not in server.jobs:
        assert not handle.wait(0.01)

    assert main(["cancel", job.job_id[:10], "--json"]) == 0
    sink.gate.set()

    assert json.loads(capsys.readouterr().out)["job"]["state"] == CANCELLED
    with pytest.raises(JobCancelled):
        handle.result()


@pytest.mark.parametrize("command", ["status", "cancel"])
def test_a_job_that_is_none_of_ours_is_reported(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An id that matches no job of ours ends with exit code 2 and says where to look."""
    assert main([command, "feed"]) == 2
    assert "harmovid status" in capsys.readouterr().err


def test_status_needs_a_server_that_outlives_its_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a server there is nothing to ask, and the message says how to name one."""
    monkeypatch.delenv("HARMOVID_SERVER")

    assert main(["status"]) == 2
    assert "--server" in capsys.readouterr().err
