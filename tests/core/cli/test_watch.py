"""`harmovid watch`: once over a folder, its answer, its exit codes; and kill -9 in the middle."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from core.reference_server import ReferenceServer
from core.tiny_exr import tiny_exr
from fakes.watch_kills import kill_often
from harmovid.cli import main
from harmovid.storage.locks import LockedFile
from harmovid.watch import status as states

FRAMES = 40
KILLS = 12


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ReferenceServer) -> None:
    """Set the environment to the reference server, without other settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HARMOVID_SERVER", server.address)
    for name in ("HARMOVID_KEY", "HARMOVID_CLIENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def drop(folder: Path, name: str, frames: int = 3) -> Path:
    """Drop a plate and its job file into a folder."""
    (folder / name).mkdir(parents=True)
    for frame in range(1, frames + 1):
        (folder / name / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame / 64))
    job = folder / f"{name}.job"
    job.write_text(f"[job]\nengine = null\nplate = {name}/\n", encoding="utf-8")
    return job


def test_once_runs_what_is_there_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --once every job runs, the answer lists their states, and the exit code is 0."""
    folder = tmp_path / "drop"
    drop(folder, "one"), drop(folder, "two")

    assert main(["watch", str(folder), "--once", "--every", "0.01", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["jobs"] == {"one.job": "done", "two.job": "done"}
    assert len(list((folder / "two.out").glob("p.*.exr"))) == 3


def test_a_job_that_cannot_start_makes_exit_code_1(tmp_path: Path) -> None:
    """With --once the exit code shows that a job waits for its frames."""
    folder = tmp_path / "drop"
    drop(folder, "one")
    (folder / "bad.job").write_text("[job]\nengine = null\nplate = none/\n")

    assert main(["watch", str(folder), "--once", "--every", "0.01"]) == 1


def test_two_watchers_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second watcher of a folder ends at once and says so."""
    with LockedFile.take(str(tmp_path / ".harmovid-watch.lock"), "taken"):
        assert main(["watch", str(tmp_path), "--once"]) == 6


@pytest.mark.parametrize("words", [["none"], [".", "--every", "0"]])
def test_what_cannot_be_watched_is_refused(tmp_path: Path, words: list[str]) -> None:
    """A folder that is not there, or no time between two looks, is a usage error."""
    assert main(["watch", str(tmp_path / words[0]), *words[1:]]) == 2


@pytest.mark.fault
def test_kill_9_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """Killed at random moments and started again, the watcher brings every frame once, whole, and no leftovers."""
    folder = tmp_path / "drop"
    jobs = [drop(folder, name, FRAMES) for name in ("one", "two", "three")]
    command = [sys.executable, "-m", "harmovid.cli", "watch", str(folder), "--every", "0.02"]
    chance = random.Random(5)
    for _ in range(KILLS):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.2, 1.2))  # the random moment of the kill, not a wait for an event
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert main(["watch", str(folder), "--once", "--every", "0.01"]) == 0

    for job in jobs:
        status = states.load(job)
        assert status is not None
        assert status.state == states.DONE
        found = sorted(path.name for path in Path(status.results).iterdir())
        assert found == [f"p.{frame:04d}.exr" for frame in range(1, FRAMES + 1)]
        for name in found:
            assert (Path(status.results) / name).read_bytes() == (job.with_suffix("") / name).read_bytes()


@pytest.mark.fault
@pytest.mark.slow
def test_kill_9_loses_nothing_of_films(tmp_path: Path, server: ReferenceServer) -> None:
    """Killed while films are decoded, run and written again, the watcher ends with every frame and film as it should.

    `bench/watch_kills.py` does it as often as asked.
    """
    tally = kill_often(tmp_path, server.address, kills=6, seed=11)

    assert tally.kills == 6
    assert tally.wrong == []
