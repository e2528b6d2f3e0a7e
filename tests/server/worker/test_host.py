"""The engines of a worker: loaded once with the server's settings, told, and closed with everything they opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from fakes.engines_for_tests import MemoryEngine
from fakes.exr_files import plate
from fakes.waiting import wait_until
from fakes.worker_rig import Rig
from harmovid.job import EngineInfo
from harmovid_server import engines
from harmovid_server.engines.base import ShotInfo
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.host import IDLE_S, EngineHost

JOBS = 50


def test_an_engine_is_loaded_once_and_told() -> None:
    """The first job activates the engine, what it runs on is reported then, and `close` undoes it."""
    engine = MemoryEngine()
    host = EngineHost([engine], RuntimeSettings(device="cpu"))
    told: List[EngineInfo] = []
    host.on_activated = told.append
    shot = ShotInfo((1, 2), engine.info.check_options({}), ("plate",))

    for _ in range(3):
        host.start(engine, shot).close()
    assert [info.name for info in told] == ["memory"]
    assert told[0].runtime["device"] == "cpu"
    assert engine.activations == 1
    host.close()
    assert engine.activations == 0


def test_an_engine_that_nobody_uses_is_closed_and_loaded_again() -> None:
    """After ten idle minutes an engine is closed, not while a session is open; the next job activates it anew."""
    engine, now = MemoryEngine(), [0.0]
    host = EngineHost([engine], clock=lambda: now[0])
    shot = ShotInfo((1, 2), engine.info.check_options({}), ("plate",))
    session = host.start(engine, shot)
    now[0] += 2 * IDLE_S
    assert host.close_idle() is None
    host.end("memory", session)
    now[0] += IDLE_S - 1
    assert host.close_idle() is None
    now[0] += 1
    thread = host.close_idle()
    assert thread is not None
    thread.join()
    assert engine.activations == 0
    host.end("memory", host.start(engine, shot))
    assert engine.activations == 1
    host.close()
    assert engine.activations == 0


@pytest.mark.slow
def test_fifty_jobs_leave_no_thread_and_no_session(tmp_path: Path) -> None:
    """After 50 jobs, some of which fail, a worker has no more threads than after its first one."""
    engine = MemoryEngine()
    (harmonize,) = engines.load(["harmonize"])
    host = EngineHost([engine, harmonize])
    pool = CodecPool(1)
    try:
        run_one(Rig(tmp_path / "first", pool, host), 0)
        before = threads()
        for index in range(JOBS):
            run_one(Rig(tmp_path / str(index), pool, host), index)
        # The kernel needs a moment to take away a thread that Python has joined.
        wait_until(lambda: threads() <= before)
        assert engine.open == 0
    finally:
        host.close()
        pool.close()


def threads() -> int:
    """Return how many threads this process has, those of libraries included."""
    return len(os.listdir("/proc/self/task"))


def run_one(rig: Rig, index: int) -> None:
    """Run a job of two frames: every third through the networks, every fifth breaks."""
    options: Dict[str, Any] = {"break_at": 2} if index % 5 == 4 else {}
    layers: Tuple[str, ...] = ("plate",)
    name = "memory"
    if index % 3 == 0:
        name, layers, options = "harmonize", ("fg", "bg"), {}
    for layer in layers:
        for number in (1, 2):
            rig.write(layer, number, plate(number))
    rig.start("1-2", engine=name, layers=layers, options=options, ready=(1, 2))
    rig.wait("job_failed" if options else "finished")
    rig.thread.join()
