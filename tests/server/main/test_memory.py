"""Main forgets jobs: what it holds depends on how many jobs it remembers, not on how many it has had."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from fakes.dispatcher_rig import WORKER, DispatcherRig
from harmovid_server.main import prefetch

REMEMBERED, ROUNDS = 20, 40


def run_one(rig: DispatcherRig, user: str, end: str) -> None:
    """Have one job run to one of its ends."""
    job = rig.submit(user, "1-3")
    rig.upload_asked()
    if end == "done":
        rig.compute(job, [1, 2, 3])
        rig.ack(job, [1, 2, 3])
    elif end == "cancelled":
        rig.request(user, "CANCEL", {"job": job})
    elif end == "failed":
        error = {"code": "engine_failed", "message": "broke.", "retryable": False}
        attempt = rig.state.jobs[job].record.attempt
        rig.hear(WORKER, "job_failed", job=job, attempt=attempt, error=error)
    rig.pump(1.0)
    rig.forget()


def objects(rig: DispatcherRig) -> int:
    """Return how many Python objects the garbage collector knows that are reachable from main's state."""
    seen: set[int] = set()
    waiting: list[Any] = [rig.state, rig.dispatcher]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type) or callable(one) or type(one).__name__ == "module":
            continue
        seen.add(id(one))
        waiting += gc.get_referents(one)
    return len(seen)


def test_main_holds_no_more_after_many_jobs_than_after_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once as many jobs as are remembered have ended, further ones of every end and user leave nothing behind."""
    monkeypatch.setattr(prefetch, "ENDED_KEPT", REMEMBERED)
    rig = DispatcherRig(tmp_path)
    ends = ("done", "cancelled", "failed")
    for number in range(REMEMBERED + 10):
        run_one(rig, f"user-{number % 5}", ends[number % 3])
    before = objects(rig)
    for number in range(ROUNDS):
        run_one(rig, f"user-{number % 5}", ends[number % 3])
    grown = objects(rig) - before

    assert len(rig.state.ended) == REMEMBERED
    assert rig.state.jobs == {}
    # A job that is remembered takes some dozens of objects; one that leaked each would be ROUNDS times as many.
    assert grown < ROUNDS, f"{grown} objects more after {ROUNDS} jobs"
    assert list((tmp_path / "spool").iterdir()) == []
    assert rig.state.spool.used_bytes == 0
