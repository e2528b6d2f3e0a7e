"""Workers come and go: attempts, crashes, quarantine, and what a new start of the server finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.dispatcher_rig import FRONT, WORKER, DispatcherRig
from fakes.peer import frame_bytes
from harmovid_server.main import recovery
from harmovid_server.spool import PART, input_path, job_folder, output_path

SECOND = "worker-0.2"


@pytest.fixture
def rig(tmp_path: Path) -> DispatcherRig:
    """Return a dispatcher with one worker."""
    return DispatcherRig(tmp_path, prefetch_frames=4)


def test_a_job_goes_on_where_its_dead_worker_stopped(rig: DispatcherRig) -> None:
    """The next attempt knows what is done, and gets every frame that is in the spool, done ones too."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    rig.compute(job, [1, 2])
    rig.hear(WORKER, "release", job=job, attempt=1, frames=[1])
    rig.ack(job, [1])
    rig.kill(WORKER)
    rig.forget()
    rig.hello(SECOND)
    start = rig.said("start", job=job)[0]
    assert (start["attempt"], start["done"], start["failed"]) == (2, [1, 2], [])
    assert [body["frame"] for body in rig.said("ready")] == [2, 3, 4]
    assert rig.job_state(job) == "RUNNING"


def test_messages_of_an_earlier_attempt_are_dropped(rig: DispatcherRig) -> None:
    """A worker that was replaced cannot speak for the job any more."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    rig.kill(WORKER)
    rig.hello(SECOND)
    rig.hear(WORKER, "computed", job=job, attempt=1, frame=1, size=1, crc=1, report={})
    rig.hear(SECOND, "frame_failed", job=job, attempt=1, frame=2, error={"code": "x"})
    rig.hear(WORKER, "job_failed", job=job, attempt=2, error={"code": "engine_failed"})
    assert rig.job_state(job) == "RUNNING"
    assert rig.state.jobs[job].counts["COMPUTED"] == 0


def test_a_finished_file_counts_even_if_its_message_was_lost(rig: DispatcherRig) -> None:
    """What a worker renamed into place before it died is a result; what it was writing is removed."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    output_path(rig.state.spool.folder, job, 1).write_bytes(frame_bytes(1))
    half = output_path(rig.state.spool.folder, job, 2).with_name("2.exr" + PART)
    half.write_bytes(b"half")
    rig.kill(WORKER)
    assert rig.said("deliver", frame=1)
    assert not half.exists()


def test_three_deaths_without_a_frame_fail_the_job(rig: DispatcherRig) -> None:
    """A job that only kills workers is FAILED as engine_failed, and stays so."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    for number in range(1, 4):
        assert rig.job_state(job) == "RUNNING"
        rig.kill(f"worker-0.{number}")
        rig.hello(f"worker-0.{number + 1}")
    assert rig.job_state(job) == "FAILED"
    assert rig.said("push", type="STATE")[-1]["body"]["error"]["code"] == "engine_failed"


def test_a_lost_engine_is_a_new_attempt_in_the_same_worker(rig: DispatcherRig) -> None:
    """What ran a job's engine elsewhere is gone: its next attempt knows what is done; nobody else is disturbed."""
    job, other = rig.submit("anna", "1-8"), rig.submit("ben", "1-8")
    rig.upload_asked()
    rig.compute(job, [1, 2])
    rig.forget()
    rig.hear(WORKER, "engine_lost", job=job, attempt=1)
    (start,) = rig.said("start")
    assert (start["job"], start["attempt"], start["done"]) == (job, 2, [1, 2])
    assert rig.state.jobs[other].record.attempt == 1
    assert rig.state.jobs[job].record.crashes == 0
    # Once more by the attempt that is over: dropped.
    rig.hear(WORKER, "engine_lost", job=job, attempt=1)
    assert rig.state.jobs[job].record.attempt == 2


def test_three_lost_engines_without_a_frame_fail_the_job(rig: DispatcherRig) -> None:
    """A job that only costs engines is FAILED as engine_failed; the worker takes the next job."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    for attempt in (1, 2, 3):
        assert rig.job_state(job) == "RUNNING"
        rig.hear(WORKER, "engine_lost", job=job, attempt=attempt)
    assert rig.job_state(job) == "FAILED"
    assert rig.said("push", type="STATE")[-1]["body"]["error"]["code"] == "engine_failed"
    assert rig.job_state(rig.submit(frames="1-8")) == "RUNNING"


def test_progress_clears_the_strikes(rig: DispatcherRig) -> None:
    """A job that gets a frame done between deaths is not given up."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    for number in range(1, 7):
        rig.kill(f"worker-0.{number}")
        rig.hello(f"worker-0.{number + 1}")
        if number % 2:
            rig.compute(job, [number // 2 + 1], worker=f"worker-0.{number + 1}")
    assert rig.job_state(job) == "RUNNING"


def test_an_innocent_job_is_not_condemned_with_a_guilty_one(rig: DispatcherRig) -> None:
    """After a death suspects run one at a time: the innocent proves itself, only the guilty fails."""
    guilty, innocent = rig.submit("anna", "1-8"), rig.submit("ben", "1-8")
    rig.upload_asked()
    number = 1
    while rig.job_state(guilty) == "RUNNING" and number < 12:
        worker = f"worker-0.{number}"
        if rig.state.jobs[guilty].worker == worker:
            rig.kill(worker)
            number += 1
            rig.hello(f"worker-0.{number}")
        elif rig.state.jobs[innocent].worker == worker:
            rig.compute(innocent, [1], worker=worker)
        rig.pump(1.0)
    assert rig.job_state(guilty) == "FAILED"
    assert rig.job_state(innocent) == "RUNNING"
    assert number <= 5


def test_a_dead_front_forgets_sessions_not_jobs(rig: DispatcherRig) -> None:
    """When the front dies every job is detached; a new session resumes it and gets the same frames asked."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    rig.compute(job, [1])
    rig.kill(FRONT)
    assert rig.state.jobs[job].session is None
    rig.forget()
    rig.hear("front.2", "hello", role="front")
    assert not rig.said("deliver")
    rig.resume("anna", job)
    assert [body["frame"] for body in rig.said("deliver")] == [1]
    assert [child for child, op, _ in rig.sent if op == "need"] == ["front.2"]


def test_a_new_start_takes_jobs_up_where_they_were(rig: DispatcherRig) -> None:
    """After kill -9 of main received inputs and results are still there; nothing is lost."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    rig.compute(job, [1, 2])
    rig.ack(job, [1])
    held = rig.state.spool.used_bytes
    rig.reopen()
    assert rig.state.spool.used_bytes == held
    start = rig.said("start", job=job)[0]
    assert (start["attempt"], start["done"]) == (2, [1, 2])
    rig.forget()
    rig.resume("anna", job)
    assert [body["frame"] for body in rig.said("deliver")] in ([1, 2], [2])
    rig.hear(WORKER, "show", job=job, attempt=rig.state.jobs[job].record.attempt, frames=[])
    assert min(frame for _, _, frame in rig.asked()) >= 1


def test_what_the_spool_lost_is_asked_for_again(rig: DispatcherRig) -> None:
    """Missing or cut inputs are asked for again; lost results are made again, without the checkpoint."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    rig.compute(job, [1])
    spool = rig.state.spool.folder
    input_path(spool, job, "plate", 2).unlink()
    input_path(spool, job, "plate", 3).write_bytes(b"cut")
    output_path(spool, job, 1).unlink()
    checkpoint = job_folder(spool, job) / "state.npz"
    checkpoint.write_bytes(b"state")
    rig.reopen()
    states = {number: frame.state for number, frame in rig.state.jobs[job].frames.items()}
    assert states[1] == "RECEIVED"
    assert (states[2], states[3], states[4]) == ("WANT", "WANT", "RECEIVED")
    assert not checkpoint.exists()
    rig.resume("anna", job)
    assert {frame for _, _, frame in rig.asked()} >= {2, 3}


def test_after_a_power_cut_checksums_decide(
    rig: DispatcherRig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With another boot id a file of the right size and wrong bytes does not count."""
    job = rig.submit(frames="1-8")
    rig.upload_asked(size=1000)
    input_path(rig.state.spool.folder, job, "plate", 2).write_bytes(b"\0" * 1000)
    boot = tmp_path / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr(recovery, "BOOT_ID", boot)
    rig.reopen()
    states = {number: frame.state for number, frame in rig.state.jobs[job].frames.items()}
    assert (states[1], states[2], states[3]) == ("RECEIVED", "WANT", "RECEIVED")


def test_a_start_sweeps_what_belongs_to_nobody(rig: DispatcherRig) -> None:
    """Unknown folders, unfinished files and files that the store does not know are removed."""
    job = rig.submit(frames="1-8")
    rig.upload_asked()
    spool = rig.state.spool.folder
    stray = [
        spool / ("f" * 32) / "in" / "plate.1.exr",
        spool / job / "in" / ("plate.7.exr" + PART),
        spool / job / "in" / "plate.8.exr",
        spool / job / "out" / ("1.exr" + PART),
    ]
    for path in stray:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    rig.reopen()
    assert [path for path in stray if path.exists()] == []


def test_ended_jobs_are_known_after_a_new_start(rig: DispatcherRig) -> None:
    """STATUS and idempotent SUBMIT still know a job that was done before the restart."""
    job = rig.submit(frames="1-2")
    rig.upload_asked()
    rig.compute(job, [1, 2])
    rig.ack(job, [1, 2])
    rig.reopen()
    (row,) = rig.request("anna", "STATUS", {"job": job})[1]["jobs"]
    assert (row["state"], row["total"], row["delivered"]) == ("DONE", 2, 2)


def test_a_job_of_an_engine_that_is_gone_fails_clearly(rig: DispatcherRig) -> None:
    """After a restart with fewer engines the job says so instead of waiting for ever."""
    job = rig.submit(frames="1-2")
    rig.state.jobs[job].record.state = "QUEUED"
    rig.reopen(workers=0)
    rig.hear("worker-0.1", "hello", role="worker", engines=[])
    rig.resume("anna", job)
    assert rig.job_state(job) == "FAILED"
    assert rig.state.ended[job].record.error is not None
    assert rig.state.ended[job].record.error["code"] == "engine_unknown"


def test_a_worker_that_finds_the_disk_full_is_tried_again(rig: DispatcherRig) -> None:
    """A worker's spool_full is a pause, not the job's end."""
    job = rig.submit(frames="1-2")
    rig.upload_asked()
    error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
    rig.hear(WORKER, "job_failed", job=job, attempt=1, error=error)
    assert rig.job_state(job) == "RUNNING"
    rig.forget()
    rig.pump(0.5)
    assert not rig.said("start")
    rig.pump(1.0)
    assert rig.said("start", job=job, attempt=2)


def test_a_disk_that_stays_full_for_the_worker_fails_the_job(rig: DispatcherRig) -> None:
    """Being started again and again is no progress: after `full_s` the job fails as spool_full."""
    job = rig.submit(frames="1-2")
    rig.upload_asked()
    error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
    for attempt in range(1, 200):
        rig.hear(WORKER, "job_failed", job=job, attempt=attempt, error=error)
        rig.pump(1.1)
        if rig.job_state(job) == "FAILED":
            break
    assert rig.job_state(job) == "FAILED"
    assert rig.state.config.full_s - 2 <= attempt * 1.1 <= rig.state.config.full_s + 4
    assert rig.said("push", type="STATE")[-1]["body"]["error"]["code"] == "spool_full"
