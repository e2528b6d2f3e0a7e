"""Frames that the engine sees and nobody waits for: handles, and what is done when a job begins anew."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Dict, List

import pytest
from fakes.dispatcher_rig import FRONT, WORKER, DispatcherRig
from fakes.peer import frame_bytes, spec
from harmovid.errors import FrameMissing
from harmovid.job import JobSpec
from harmovid.transport import wire
from harmovid_server.main.state import ServerState
from harmovid_server.spool import input_path

GONE = FrameMissing("no such file.").to_wire()


@pytest.fixture
def rig(tmp_path: Path) -> DispatcherRig:
    """Return a dispatcher with one worker, that asks for three frames at a time."""
    return DispatcherRig(tmp_path, prefetch_frames=3, result_frames=2)


def show(rig: DispatcherRig, job: str, frames: List[int]) -> None:
    """Say what the engine has to see, as the worker that has the job does."""
    rig.hear(WORKER, "show", job=job, attempt=rig.state.jobs[job].record.attempt, frames=frames)


def release(rig: DispatcherRig, job: str, frames: List[int]) -> None:
    """Say that inputs are needed no more."""
    rig.hear(WORKER, "release", job=job, attempt=rig.state.jobs[job].record.attempt, frames=frames)


def inputs(state: ServerState, job: str) -> List[str]:
    """Return the names of the inputs in a job's spool."""
    return sorted(path.name for path in (state.spool.folder / job / "in").iterdir())


def crcs(frames: List[int]) -> Dict[int, int]:
    """Return the checksums of results as the rig makes them."""
    return {frame: zlib.crc32(frame_bytes(frame, 900, "result")) for frame in frames}


def through(rig: DispatcherRig, job: str) -> List[int]:
    """Upload what is asked for and release it, until nothing more is; return the frames in that order."""
    seen: List[int] = []
    while items := rig.asked(job):
        rig.forget()
        for _, layer, frame in items:
            rig.upload(job, layer, frame)
            seen.append(frame)
        release(rig, job, seen)
    return seen


def test_context_is_asked_for_in_order_and_counts_for_nothing(rig: DispatcherRig) -> None:
    """Handles are requested before and after the range, told to the worker, and are in no count of the job."""
    job = rig.submit(frames="4-5", engine="pool", context="2-3,5-7")
    show(rig, job, [2, 3, 6, 7])
    assert [frame for _, _, frame in rig.upload_asked()] == [2, 3, 4, 5, 6, 7]
    progress = rig.state.jobs[job].progress()
    assert (progress.total, progress.received, progress.message) == (2, 2, "")
    release(rig, job, [2, 3])
    assert inputs(rig.state, job) == [f"plate.{frame}.exr" for frame in (4, 5, 6, 7)]
    rig.compute(job, [4, 5])
    rig.ack(job, [4, 5])
    assert rig.job_state(job) == "DONE"
    assert (rig.state.ended[job].progress.total, rig.state.ended[job].progress.delivered) == (2, 2)
    assert rig.state.spool.used_bytes == 0
    assert rig.state.spool.held_bytes(job) == 0


def test_more_context_than_the_window_passes_through(rig: DispatcherRig) -> None:
    """However much context there is, the spool holds a window of it, and the job's own frames come in the end."""
    job = rig.submit(frames="41-42", context="1-40")
    show(rig, job, list(range(1, 41)))
    assert "shown frames beside" in rig.state.jobs[job].progress().message
    assert len(rig.asked(job)) <= 5
    assert through(rig, job) == list(range(1, 43))
    assert inputs(rig.state, job) == ["plate.41.exr", "plate.42.exr"]


def test_a_job_begun_anew_asks_for_what_is_done_as_well(rig: DispatcherRig) -> None:
    """A server that lost its store, a client with results: the worker is shown them, and they are not sent again."""
    body = spec("1-6", engine="pool")
    job = str(body["job_id"])
    rig.request("anna", "SUBMIT", {"spec": body})
    rig.resume("anna", job, crcs([1, 2, 3, 5]))
    start = rig.said("start", job=job)[-1]
    assert start["done"] == [1, 2, 3, 5]
    show(rig, job, [1, 2, 3, 5])
    assert list(dict.fromkeys(through(rig, job))) == [1, 2, 3, 4, 5, 6]
    rig.compute(job, [4, 6])
    assert [deliver["frame"] for deliver in rig.said("deliver")] == [4, 6]
    rig.ack(job, [4, 6])
    assert rig.job_state(job) == "DONE"


def test_a_frame_that_is_acknowledged_while_it_is_asked_for_is_not_forgotten(rig: DispatcherRig) -> None:
    """A frame that is to be shown, whose result is acknowledged meanwhile: it is asked for once, and by each client."""
    job = rig.submit(frames="1-3", engine="pool")
    rig.upload_asked()
    rig.compute(job, [1])
    release(rig, job, [1])
    rig.kill(WORKER)
    rig.hello("worker-0.2")
    assert rig.asked(job) == [(job, "plate", 1)]
    rig.forget()
    rig.hear("worker-0.2", "show", job=job, attempt=2, frames=[1])
    rig.ack(job, [1])
    assert rig.asked(job) == []
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    rig.resume("anna", job, crcs([1]))
    assert rig.asked(job) == [(job, "plate", 1)]
    rig.upload(job, "plate", 1)
    assert rig.state.spool.held_bytes(job) == rig.state.spool.used_bytes + 2 * 1250  # the results of 2 and 3


def settled_while_it_arrives(rig: DispatcherRig) -> str:
    """Have frame 1 arrive just after the client has said that it has its result, and return the job."""
    job = rig.submit(frames="1-10", engine="pool")
    assert rig.asked() == [(job, "plate", 1)]
    body = {"job": job, "have": wire.pack_have(crcs([1]))}
    request = {
        "op": "request",
        "session": rig.session("anna"),
        "user": "anna",
        "type": "RESUME",
        "body": body,
        "ref": 1,
    }
    rig.dispatcher.handle(FRONT, request)
    put(rig, job)
    rig.dispatcher.handle(FRONT, arrived(job))
    rig.forget()
    return job


def put(rig: DispatcherRig, job: str) -> Path:
    """Put frame 1 into the spool, as the front does, and return its path."""
    path = input_path(rig.state.spool.folder, job, "plate", 1)
    path.write_bytes(frame_bytes(1, 1000, "plate"))
    return path


def arrived(job: str) -> Dict[str, Any]:
    """Return the front's message that frame 1 has come."""
    crc = zlib.crc32(frame_bytes(1, 1000, "plate"))
    return {"op": "received", "job": job, "layer": "plate", "frame": 1, "size": 1000, "crc": crc}


def test_a_frame_that_is_sent_twice_is_not_deleted_as_its_first_copy(rig: DispatcherRig) -> None:
    """The first copy was of no use any more; the second may come before main has got round to deleting that."""
    job = settled_while_it_arrives(rig)
    rig.dispatcher.pump()
    rig.sent += rig.state.flush()
    assert rig.asked() == [(job, "plate", 1)]
    path = put(rig, job)
    rig.state.delete_unused()

    assert path.exists()
    assert [rig.state.spool.held_bytes(job)] == [limit for *_, limit in rig.said("need")[0]["items"]]
    assert "ready" in [op for _, op, _ in rig.hear(FRONT, **arrived(job))]


def test_a_frame_that_is_wanted_again_is_not_deleted(rig: DispatcherRig) -> None:
    """It was of no use when it came, and the worker asks for it before main has got round to deleting it."""
    job = settled_while_it_arrives(rig)
    rig.pump()
    rig.upload(job, "plate", 1)
    release(rig, job, [1])
    rig.dispatcher.handle(FRONT, arrived(job))
    path = put(rig, job)
    attempt = rig.state.jobs[job].record.attempt
    rig.dispatcher.handle(WORKER, {"op": "show", "job": job, "attempt": attempt, "frames": [1]})
    rig.dispatcher.handle(FRONT, arrived(job))
    rig.pump()

    assert path.exists()
    assert inputs(rig.state, job) == ["plate.1.exr"]


def test_a_frame_that_has_gone_again_is_asked_for_once_more(rig: DispatcherRig) -> None:
    """What the front says it has stored counts only while it is there: no worker is told to read a missing file."""
    job = rig.submit(frames="1-10", engine="pool")
    rig.forget()
    said = rig.hear(FRONT, **arrived(job))

    assert "ready" not in [op for _, op, _ in said]
    assert rig.asked() == [(job, "plate", 1)]


def test_an_engine_without_memory_is_shown_nothing(rig: DispatcherRig) -> None:
    """What was asked for before the worker said so is dropped: handles, and what arrives of them later."""
    job = rig.submit(frames="4-5", context="1-3")
    rig.upload(job, "plate", 1)
    rig.forget()
    show(rig, job, [])
    assert inputs(rig.state, job) == []
    assert [frame for _, _, frame in rig.asked(job)] == [4, 5]
    rig.upload(job, "plate", 2)
    assert inputs(rig.state, job) == []


@pytest.mark.parametrize("done", [False, True])
def test_what_cannot_be_shown_is_no_failed_frame(rig: DispatcherRig, done: bool) -> None:
    """A neighbour or a finished frame whose file is gone: the worker hears of it, the client's counts do not change."""
    body: Dict[str, Any] = spec("3-4") if not done else spec("2-4")
    body["context"] = "2" if not done else ""
    job = str(body["job_id"])
    rig.request("anna", "SUBMIT", {"spec": JobSpec.from_dict(body).to_dict()})
    if done:
        rig.resume("anna", job, crcs([2]))
    show(rig, job, [2])
    rig.hear(FRONT, "source_failed", job=job, layer="plate", frame=2, error=GONE)
    assert rig.said("absent", job=job, frame=2)
    assert not rig.said("push", type="FRAME_FAILED")
    assert [frame for frame in through(rig, job) if frame != 2] == [3, 4]
    rig.compute(job, [3, 4])
    rig.ack(job, [3, 4])
    assert rig.job_state(job) == "DONE"
    assert rig.state.ended[job].progress.failed == 0


def test_a_client_that_comes_back_is_asked_for_context_again(rig: DispatcherRig) -> None:
    """Requests of a lost session are void, for context as for all else; meanwhile the job counts as waiting."""
    job = rig.submit(frames="4-5", context="1-3")
    show(rig, job, [1, 2, 3])
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    assert rig.state.jobs[job].starved
    rig.forget()
    rig.resume("anna", job)
    assert through(rig, job) == [1, 2, 3, 4, 5]


def test_context_outlives_the_server(rig: DispatcherRig) -> None:
    """After kill -9 the new worker learns at once what is in the spool, and only the rest is requested."""
    job = rig.submit(frames="4-5", context="1-3")
    show(rig, job, [1, 2, 3])
    for frame in (1, 2):
        rig.upload(job, "plate", frame)
    rig.reopen()
    rig.resume("anna", job)
    show(rig, job, [1, 2, 3])
    assert [ready["frame"] for ready in rig.said("ready")] == [1, 2]
    assert rig.asked(job)[0] == (job, "plate", 3)
    rig.forget()
    rig.upload(job, "plate", 3)
    assert [ready["frame"] for ready in rig.said("ready")] == [3]
    assert set(rig.state.store.counts(job)) <= {"RECEIVED", "WANT"}
    assert rig.state.jobs[job].progress().received == 0


def test_all_frames_together_are_bounded(rig: DispatcherRig) -> None:
    """Context counts for the most frames that a job may have."""
    kind, body = rig.request("anna", "SUBMIT", {"spec": spec("1-60000", context="60001-120000")})
    assert (kind, body["error"]["code"]) == ("REJECT", "pattern")
