"""`--events`: a job's course as NDJSON, for a job that goes well, one with failed frames, and ones that end badly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core.reference_server import ReferenceServer
from core.tiny_exr import tiny_exr
from harmovid.cli import main

pytestmark = pytest.mark.usefixtures("own_settings")


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Return the pattern of a plate with the frames 1001 to 1005."""
    (tmp_path / "in").mkdir()
    for frame in range(1001, 1006):
        (tmp_path / "in" / f"plate.{frame}.exr").write_bytes(tiny_exr(value=frame / 2048))
    return tmp_path / "in" / "plate.####.exr"


def deflicker(
    plate: Path, server: ReferenceServer, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command with --events; return its exit code, its events, and stderr."""
    out = str(plate.parents[1] / "out" / "plate.####.exr")
    code = main(
        [
            "deflicker",
            str(plate),
            "-o",
            out,
            "--engine",
            "null",
            "--server",
            server.address,
            "--events",
            *words,
        ]
    )
    printed = capsys.readouterr()
    return code, [json.loads(line) for line in printed.out.splitlines()], printed.err


def test_every_frame_is_reported_once_and_the_end_is_the_answer(
    plate: Path, server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """queued comes first, then one event per frame with its file, done last; nothing else is on stdout."""
    code, events, _ = deflicker(plate, server, capsys)

    assert code == 0
    first, *frames, last = events
    assert (first["event"], first["engine"], first["frames"], first["resumed"]) == ("queued", "null", 5, 0)
    assert {event["event"] for event in frames} == {"frame"}
    assert sorted(event["frame"] for event in frames) == list(range(1001, 1006))
    assert [event["done"] for event in frames] == [1, 2, 3, 4, 5]
    assert all(Path(event["file"]).exists() and event["state"] == "written" for event in frames)
    assert (last["event"], last["ok"], last["exit"], last["state"]) == ("done", True, 0, "DONE")
    assert {event["job"] for event in events} == {first["job"]}


def test_failed_frames_and_warnings_are_events(
    plate: Path, server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gap is warned of before the start, fails with its code and fix, and done carries exit code 3."""
    Path(str(plate).replace("####", "1003")).unlink()
    code, events, _ = deflicker(plate, server, capsys, "--frames", "1001-1005")

    assert code == 3
    assert events[0]["event"] == "warning"
    assert "1003" in events[0]["message"]
    (failed,) = [event for event in events if event.get("state") == "failed"]
    assert (failed["event"], failed["frame"], failed["error"]["code"]) == ("frame", 1003, "frame_missing")
    assert failed["error"]["fix"]
    assert sorted(event["frame"] for event in events if event["event"] == "frame") == list(range(1001, 1006))
    assert (events[-1]["event"], events[-1]["exit"], events[-1]["ok"]) == ("done", 3, False)


def test_what_ends_a_job_before_it_began_is_an_event(
    plate: Path, server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results in the way, a wrong flag, two forms at once: one event "failed" with the exit code and the fix."""
    deflicker(plate, server, capsys)
    for words, exit_code, error in (
        ((), 6, "output"),
        (("--nonsense",), 2, "input"),
        (("--json",), 2, "input"),
    ):
        code, events, err = deflicker(plate, server, capsys, *words)
        assert code == exit_code
        assert [event["event"] for event in events] == ["failed"]
        assert (events[0]["exit"], events[0]["error"]["code"]) == (exit_code, error)
        assert events[0]["error"]["fix"]
        assert "Traceback" not in err


def test_a_server_that_refuses_ends_with_failed(
    plate: Path, server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error of the running job is the last event, with its code, after queued."""
    (plate.parents[1] / "out" / "plate.1002.exr").mkdir(parents=True)
    code, events, _ = deflicker(plate, server, capsys, "--overwrite")

    assert code == 6
    kinds = [event["event"] for event in events]
    assert "queued" in kinds
    assert kinds[-1] == "failed"
    assert (events[-1]["exit"], events[-1]["error"]["code"], events[-1]["error"]["frame"]) == (
        6,
        "output",
        1002,
    )


def test_a_watched_folder_tells_events_of_each_job(
    tmp_path: Path, server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """watch --events names the job file in every event and ends each job with done."""
    folder = tmp_path / "drop"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        for frame in (1, 2):
            (folder / name / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame / 64))
        (folder / f"{name}.job").write_text(f"[job]\nengine = null\nplate = {name}/\n", encoding="utf-8")
    words = ["watch", str(folder), "--once", "--every", "0.01", "--events", "--server", server.address]

    assert main(words) == 0

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for name in ("one.job", "two.job"):
        kinds = [event["event"] for event in events if event["job_file"] == name]
        assert kinds == ["queued", "frame", "frame", "done"]
    for event in events:
        if event["event"] == "done":
            assert event["state"] == "DONE"
            assert event["seconds"] > 0


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e300"])
def test_a_pause_that_cannot_be_waited_is_refused(
    tmp_path: Path, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """watch --every takes no pause that would spin or overflow."""
    assert main(["watch", str(tmp_path), "--once", "--every", seconds]) == 2

    assert "--every is" in capsys.readouterr().err


def test_a_job_file_that_cannot_run_is_reported_once(
    tmp_path: Path, server: ReferenceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often the folder is looked at, a job without inputs is one event "failed" with its reason."""
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "bad.job").write_text("[job]\nengine = null\nplate = none/\n", encoding="utf-8")
    words = ["watch", str(folder), "--once", "--every", "0.01", "--events", "--server", server.address]

    assert main(words) == 1

    (event,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (event["event"], event["job_file"], event["ok"]) == ("failed", "bad.job", False)
    assert event["error"]["message"]
