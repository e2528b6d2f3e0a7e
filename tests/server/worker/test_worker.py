"""The engine process on a real link: hello, heartbeats, parallel jobs, restarts, and its end with main."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from fakes.engines_for_tests import MemoryEngine
from fakes.exr_files import plate, same_pixels
from fakes.running import alive
from fakes.waiting import wait_until
from harmovid import processes
from harmovid.job import JobSpec
from harmovid.pixels import exr
from harmovid_server import engines
from harmovid_server.config import Config
from harmovid_server.ipc import IpcClient, IpcRouter
from harmovid_server.worker import worker as worker_module
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.host import EngineHost
from harmovid_server.worker.worker import Worker, codec_children, runtime_settings

JOBS = ("a" * 32, "b" * 32)


class Main:
    """Main's end of the link, with a spool."""

    def __init__(self, folder: Path) -> None:
        self.spool = folder / "spool"
        self.router = IpcRouter(folder / "link")
        self.heard: List[Tuple[float, Dict[str, Any]]] = []
        self.name = ""

    def prepare(self, job: str, count: int) -> Path:
        """Put a job's frames 1 to `count` into the spool."""
        for name in ("in", "out"):
            (self.spool / job / name).mkdir(parents=True)
        for number in range(1, count + 1):
            exr.write(plate(number), self.spool / job / "in" / f"plate.{number}.exr")
        return self.spool / job

    def start(self, job: str, count: int, attempt: int = 1, engine: str = "null", **options: Any) -> None:
        """Send `start` and `ready` for all frames."""
        spec = JobSpec(job, engine, f"1-{count}", ("plate",), options)
        self.say(
            "start",
            job=job,
            attempt=attempt,
            spec=spec.to_dict(),
            folder=str(self.spool / job),
            done=[],
            failed=[],
        )
        for number in range(1, count + 1):
            self.say("ready", job=job, frame=number)

    def say(self, op: str, **fields: Any) -> None:
        """Send one message to the worker."""
        assert self.router.send(self.name, op, **fields)

    def listen(
        self, until: Callable[[], bool], turn: Callable[[], None] = lambda: None, timeout_s: float = 400
    ) -> None:
        """Take messages until something is true."""
        end = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < end, [m for m in self.heard if m[1]["op"] != "beat"][-5:]
            turn()
            self.router.socket.poll(20)
            for name, message in self.router.receive():
                self.name = name
                self.heard.append((time.monotonic(), message))

    def said(self, op: str, job: str = "") -> List[Dict[str, Any]]:
        """Return the messages of one kind, of one job if given."""
        return [m for _, m in self.heard if m["op"] == op and m.get("job", "") in (job or m.get("job", ""),)]


@pytest.fixture
def main(tmp_path: Path) -> Iterator[Main]:
    """Yield main's end."""
    made = Main(tmp_path)
    yield made
    made.router.close()


@pytest.fixture
def process(main: Main, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Yield a real worker process that has said hello."""
    Config(state=str(tmp_path), codecs=1, engines=("null",)).save(tmp_path / "settings.json")
    arguments = [
        "--link",
        main.router.address,
        "--settings",
        str(tmp_path / "settings.json"),
        "--name",
        "worker-0.1",
    ]
    command = [sys.executable, "-m", "harmovid_server.worker", *arguments, "--parent", str(os.getpid())]
    with subprocess.Popen(command) as child:
        main.listen(lambda: bool(main.said("hello")))
        yield child
        child.kill()


def test_hello_then_a_job_then_beats(main, process) -> None:
    """A real worker announces its engines, does a job with right sizes and checksums, and keeps sending heartbeats."""
    (hello,) = main.said("hello")
    assert hello["role"] == "worker"
    assert [info["name"] for info in hello["engines"]] == ["null"]
    folder = main.prepare(JOBS[0], 3)
    main.start(JOBS[0], 3)
    main.listen(lambda: bool(main.said("finished")))
    for message in main.said("computed"):
        data = (folder / "out" / f"{message['frame']}.exr").read_bytes()
        assert (message["size"], message["crc"]) == (len(data), zlib.crc32(data))
        assert same_pixels(exr.read(data), plate(message["frame"]))
    (activated,) = main.said("activated")
    assert (activated["engine"]["name"], activated["engine"]["runtime"]["device"]) == ("null", "cpu")
    main.listen(lambda: len(main.said("beat")) >= 3)


def test_an_unknown_engine_is_the_jobs_error(main, process) -> None:
    """A job for an unknown engine fails with engine_unknown, and the worker keeps running."""
    main.prepare(JOBS[0], 1)
    main.start(JOBS[0], 1, engine="nil")
    main.listen(lambda: bool(main.said("job_failed")))
    assert main.said("job_failed")[0]["error"]["code"] == "engine_unknown"
    main.start(JOBS[0], 1, attempt=2)
    main.listen(lambda: bool(main.said("finished")))


def test_codec_children_die_with_the_worker(main, process) -> None:
    """kill -9 of the worker leaves no process behind."""
    main.prepare(JOBS[0], 1)
    main.start(JOBS[0], 1)
    main.listen(lambda: bool(main.said("finished")))
    children = processes.children_of(process.pid)
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(alive(pid) for pid in children))


@pytest.fixture
def worker(main: Main) -> Iterator[Worker]:
    """Yield a worker in this process, so that a test can make its engine slow."""
    pool = CodecPool(1)
    link = IpcClient(main.router.address, "worker-0.1")
    host = EngineHost([*engines.load(["null"]), MemoryEngine()])
    made = Worker(link, host, pool)
    link.send("hello", role="worker", engines=[info.to_dict() for info in host.infos()])
    main.listen(lambda: bool(main.said("hello")))
    yield made
    made.close()


def test_jobs_run_side_by_side(main, worker) -> None:
    """Two jobs on one slow engine take turns: both have results before either is finished."""
    for job in JOBS:
        main.prepare(job, 6)
        main.start(job, 6, engine="memory", delay_s=0.05, lag=0)
    main.listen(lambda: len(main.said("finished")) == 2, worker.turn)
    ops = [
        (message["op"], message["job"])
        for _, message in main.heard
        if message["op"] in ("computed", "finished")
    ]
    first_end = next(i for i, (op, _) in enumerate(ops) if op == "finished")
    assert {job for op, job in ops[:first_end] if op == "computed"} == set(JOBS)


def test_a_long_engine_call_does_not_look_dead(main, worker) -> None:
    """While the engine works for three seconds on one frame, heartbeats continue."""
    main.prepare(JOBS[0], 1)
    main.start(JOBS[0], 1, engine="memory", delay_s=3.0, lag=0)
    main.listen(lambda: bool(main.said("finished")), worker.turn)
    assert len(main.said("beat")) >= 3


def test_stopped_and_started_again_at_once(main, worker) -> None:
    """A job that is stopped and started again in the same worker runs as its new attempt, and only as
    that.
    """
    main.prepare(JOBS[0], 6)
    main.start(JOBS[0], 6, engine="memory", delay_s=0.2)
    main.listen(lambda: bool(main.said("computed")), worker.turn)
    main.say("stop", job=JOBS[0])
    main.start(JOBS[0], 6, attempt=2, engine="memory")
    main.listen(lambda: bool(main.said("finished")), worker.turn)
    assert [message["attempt"] for message in main.said("finished")] == [2]
    new = [message["frame"] for message in main.said("computed") if message["attempt"] == 2]
    assert sorted(new) == [1, 2, 3, 4, 5, 6]


def test_one_codec_child_per_core_unless_told() -> None:
    """The number of codec children is the setting, or the cores this process may use."""
    assert codec_children(Config(codecs=3)) == 3
    assert codec_children(Config()) == len(os.sched_getaffinity(0))


def test_each_worker_takes_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two GPUs and two workers the second worker takes the second GPU; a GPU that is named is every worker's."""
    monkeypatch.setattr(worker_module, "count_gpus", lambda environ: 2)
    two = Config(state=str(tmp_path), workers=2, gpu_bytes=1 << 30)

    assert [runtime_settings(two, f"worker-{n}.3").device for n in range(3)] == ["auto:0", "auto:1", "auto:0"]
    assert runtime_settings(two, "worker-0.1").memory == 1 << 30
    assert runtime_settings(replace(two, device="cuda:1"), "worker-0.1").device == "cuda:1"
    assert runtime_settings(replace(two, device="cpu"), "worker-1.1").device == "cpu"
    assert runtime_settings(replace(two, workers=1), "worker-0.1").device == "auto"
