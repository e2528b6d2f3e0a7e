"""Log lines: one JSON object each, from every process, with the job they are about."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from core.tiny_exr import tiny_exr
from fakes.peer import Peer, spec
from fakes.running import RunningServer
from harmovid_server.codec.codec import Codec
from harmovid_server.logs import JsonLines, TextLines, about, of_job

JOB, OTHER = "a" * 32, "b" * 32


class Lines(logging.Handler):
    """Keeps lines as JSON and as text, formatted where they are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.json: List[Dict[str, Any]] = []
        self.text: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.json.append(json.loads(JsonLines().format(record)))
        self.text.append(TextLines().format(record))


@pytest.fixture
def lines() -> Any:
    """Yield what is logged meanwhile."""
    handler, root = Lines(), logging.getLogger("harmovid")
    level = root.level
    root.setLevel(logging.INFO)  # also forgets what other tests have found to be too quiet
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_line_carries_the_job_that_is_worked_on(lines: Lines) -> None:
    """Within `of_job` every line has the job, in this thread only; a line that names one keeps its own."""
    log = logging.getLogger("harmovid.worker")
    with of_job(JOB):
        log.info("inside")
        log.info("of another", extra=about(job=OTHER))
        thread = threading.Thread(target=lambda: log.info("elsewhere"))
        thread.start()
        thread.join()
    log.info("outside")

    assert [line.get("job") for line in lines.json] == [JOB, OTHER, None, None]
    assert lines.text[0].endswith(f"inside job={JOB}")
    assert all({"time", "level", "process", "pid", "event"} <= set(line) for line in lines.json)


def test_a_fault_in_a_codec_task_names_its_job(lines: Lines) -> None:
    """What breaks in a codec child is logged with job, task and frame."""
    codec = Codec()
    body, _ = codec.do({"task": "proxy", "job": JOB, "frame": 7, "plan": {"nonsense": 1}, "paths": {}}, ())
    assert "error" in body
    (line,) = lines.json
    assert (line["job"], line["task"], line["frame"], line["process"]) == (JOB, "proxy", 7, "codec")
    assert "trace" in line


def test_every_line_of_every_process_is_json(tmp_path: Path) -> None:
    """A real server with --log-json: jobs that work and one that breaks, and not a line that is not an object."""
    with RunningServer(tmp_path, "--log-json", "--codecs", "1", echo=False) as server:
        with Peer(server.endpoint).start() as peer:
            peer.source = lambda layer, frame: tiny_exr(value=frame / 8) if frame != 2 else b"no EXR at all"
            peer.submit(job := spec("1-3", engine="null"))
            assert peer.run_to_end(job["job_id"])["state"] == "DONE"
            assert list(peer.failed) == [(job["job_id"], 2)]
        assert server.terminate() == 0
    found = [json.loads(line) for line in server.log.splitlines()]
    assert all({"time", "level", "process", "pid", "event"} <= set(line) for line in found)
    mains = {line["pid"] for line in found if line["process"] == "main"}
    assert len(mains) == 1, "a line of main has main's process id, also one about a child"
    assert {line["process"] for line in found} >= {"main", "front", "worker"}
    assert {line["process"] for line in found if line.get("job") == job["job_id"]} >= {"main", "worker"}
    loaded = next(line for line in found if line["event"] == "engine loaded")
    assert loaded["job"] == job["job_id"], "an engine's own lines are the job's, too"


def test_what_ends_a_process_is_a_line_too() -> None:
    """Uncaught exceptions, of a thread as well, and warnings are JSON lines with their trace."""
    code = (
        "import threading, warnings\n"
        "from harmovid_server.logs import set_up\n"
        "set_up('info', as_json=True)\n"
        "warnings.warn('old', stacklevel=1)\n"
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()\n"
        "raise ValueError('over')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in found] == ["warning", "critical", "critical"]
    assert "ZeroDivisionError" in found[1]["trace"]
    assert "ValueError: over" in found[2]["trace"]
