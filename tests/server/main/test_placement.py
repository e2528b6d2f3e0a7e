"""Workers come and go: attempts, strikes, quarantine, and what a new start of the server finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.desk import FRONT, WORKER, Desk
from fakes.peer import frame_bytes
from harmovid_server.main import recovery
from harmovid_server.spool import PART, input_path, job_folder, output_path

SECOND = "worker-0.2"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a scheduler with one worker."""
    return Desk(tmp_path, prefetch_frames=4)


def test_a_job_goes_on_where_its_dead_worker_stopped(desk: Desk) -> None:
    """The next attempt knows what is done, and gets every frame that is in the spool, done ones too."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    desk.compute(job, [1, 2])
    desk.hear(WORKER, "release", job=job, attempt=1, frames=[1])
    desk.ack(job, [1])
    desk.kill(WORKER)
    desk.forget()
    desk.hello(SECOND)
    start = desk.said("start", job=job)[0]
    assert (start["attempt"], start["done"], start["failed"]) == (2, [1, 2], [])
    assert [body["frame"] for body in desk.said("ready")] == [2, 3, 4]
    assert desk.state(job) == "RUNNING"


def test_messages_of_an_earlier_attempt_are_dropped(desk: Desk) -> None:
    """A worker that was replaced cannot speak for the job any more."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    desk.kill(WORKER)
    desk.hello(SECOND)
    desk.hear(WORKER, "computed", job=job, attempt=1, frame=1, size=1, crc=1, report={})
    desk.hear(SECOND, "frame_failed", job=job, attempt=1, frame=2, error={"code": "x"})
    desk.hear(WORKER, "job_failed", job=job, attempt=2, error={"code": "engine_failed"})
    assert desk.state(job) == "RUNNING"
    assert desk.board.jobs[job].counts["COMPUTED"] == 0


def test_a_finished_file_counts_even_if_its_message_was_lost(desk: Desk) -> None:
    """What a worker renamed into place before it died is a result; what it was writing is removed."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    output_path(desk.board.spool.folder, job, 1).write_bytes(frame_bytes(1))
    half = output_path(desk.board.spool.folder, job, 2).with_name("2.exr" + PART)
    half.write_bytes(b"half")
    desk.kill(WORKER)
    assert desk.said("deliver", frame=1)
    assert not half.exists()


def test_three_deaths_without_a_frame_fail_the_job(desk: Desk) -> None:
    """A job that only kills workers is FAILED as engine_failed, and stays so."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    for number in range(1, 4):
        assert desk.state(job) == "RUNNING"
        desk.kill(f"worker-0.{number}")
        desk.hello(f"worker-0.{number + 1}")
    assert desk.state(job) == "FAILED"
    assert desk.said("push", type="STATE")[-1]["body"]["error"]["code"] == "engine_failed"


def test_progress_clears_the_strikes(desk: Desk) -> None:
    """A job that gets a frame done between deaths is not given up."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    for number in range(1, 7):
        desk.kill(f"worker-0.{number}")
        desk.hello(f"worker-0.{number + 1}")
        if number % 2:
            desk.compute(job, [number // 2 + 1], worker=f"worker-0.{number + 1}")
    assert desk.state(job) == "RUNNING"


def test_an_innocent_job_is_not_condemned_with_a_guilty_one(desk: Desk) -> None:
    """After a death suspects run one at a time: the innocent proves itself, only the guilty fails."""
    guilty, innocent = desk.submit("anna", "1-8"), desk.submit("ben", "1-8")
    desk.upload_asked()
    number = 1
    while desk.state(guilty) == "RUNNING" and number < 12:
        worker = f"worker-0.{number}"
        if desk.board.jobs[guilty].worker == worker:
            desk.kill(worker)
            number += 1
            desk.hello(f"worker-0.{number}")
        elif desk.board.jobs[innocent].worker == worker:
            desk.compute(innocent, [1], worker=worker)
        desk.pump(1.0)
    assert desk.state(guilty) == "FAILED"
    assert desk.state(innocent) == "RUNNING"
    assert number <= 5


def test_a_dead_front_forgets_sessions_not_jobs(desk: Desk) -> None:
    """When the front dies every job is detached; a new session resumes it and gets the same frames asked."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    desk.compute(job, [1])
    desk.kill(FRONT)
    assert desk.board.jobs[job].session is None
    desk.forget()
    desk.hear("front.2", "hello", role="front")
    assert not desk.said("deliver")
    desk.resume("anna", job)
    assert [body["frame"] for body in desk.said("deliver")] == [1]
    assert [child for child, op, _ in desk.heap if op == "need"] == ["front.2"]


def test_a_new_start_takes_jobs_up_where_they_were(desk: Desk) -> None:
    """After kill -9 of main received inputs and results are still there; nothing is lost."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    desk.compute(job, [1, 2])
    desk.ack(job, [1])
    held = desk.board.spool.used_bytes
    desk.reopen()
    assert desk.board.spool.used_bytes == held
    start = desk.said("start", job=job)[0]
    assert (start["attempt"], start["done"]) == (2, [1, 2])
    desk.forget()
    desk.resume("anna", job)
    assert [body["frame"] for body in desk.said("deliver")] in ([1, 2], [2])
    assert min(frame for _, _, frame in desk.asked()) >= 1


def test_what_the_spool_lost_is_asked_for_again(desk: Desk) -> None:
    """Missing or cut inputs are asked for again; lost results are made again, without the checkpoint."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    desk.compute(job, [1])
    spool = desk.board.spool.folder
    input_path(spool, job, "plate", 2).unlink()
    input_path(spool, job, "plate", 3).write_bytes(b"cut")
    output_path(spool, job, 1).unlink()
    checkpoint = job_folder(spool, job) / "state.npz"
    checkpoint.write_bytes(b"state")
    desk.reopen()
    states = {number: frame.state for number, frame in desk.board.jobs[job].frames.items()}
    assert states[1] == "RECEIVED"
    assert (states[2], states[3], states[4]) == ("WANT", "WANT", "RECEIVED")
    assert not checkpoint.exists()
    desk.resume("anna", job)
    assert {frame for _, _, frame in desk.asked()} >= {2, 3}


def test_after_a_power_cut_checksums_decide(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With another boot id a file of the right size and wrong bytes does not count."""
    job = desk.submit(frames="1-8")
    desk.upload_asked(size=1000)
    input_path(desk.board.spool.folder, job, "plate", 2).write_bytes(b"\0" * 1000)
    boot = tmp_path / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr(recovery, "BOOT_ID", boot)
    desk.reopen()
    states = {number: frame.state for number, frame in desk.board.jobs[job].frames.items()}
    assert (states[1], states[2], states[3]) == ("RECEIVED", "WANT", "RECEIVED")


def test_a_start_sweeps_what_belongs_to_nobody(desk: Desk) -> None:
    """Unknown folders, unfinished files and files that the store does not know are removed."""
    job = desk.submit(frames="1-8")
    desk.upload_asked()
    spool = desk.board.spool.folder
    stray = [
        spool / ("f" * 32) / "in" / "plate.1.exr",
        spool / job / "in" / ("plate.7.exr" + PART),
        spool / job / "in" / "plate.8.exr",
        spool / job / "out" / ("1.exr" + PART),
    ]
    for path in stray:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    desk.reopen()
    assert [path for path in stray if path.exists()] == []


def test_ended_jobs_are_known_after_a_new_start(desk: Desk) -> None:
    """STATUS and idempotent SUBMIT still know a job that was done before the restart."""
    job = desk.submit(frames="1-2")
    desk.upload_asked()
    desk.compute(job, [1, 2])
    desk.ack(job, [1, 2])
    desk.reopen()
    (row,) = desk.request("anna", "STATUS", {"job": job})[1]["jobs"]
    assert (row["state"], row["total"], row["delivered"]) == ("DONE", 2, 2)


def test_a_job_of_an_engine_that_is_gone_fails_clearly(desk: Desk) -> None:
    """After a restart with fewer engines the job says so instead of waiting for ever."""
    job = desk.submit(frames="1-2")
    desk.board.jobs[job].record.state = "QUEUED"
    desk.reopen(workers=0)
    desk.hear("worker-0.1", "hello", role="worker", engines=[])
    desk.resume("anna", job)
    assert desk.state(job) == "FAILED"
    assert desk.board.ended[job].record.error is not None
    assert desk.board.ended[job].record.error["code"] == "engine_unknown"


def test_a_worker_that_finds_the_disk_full_is_tried_again(desk: Desk) -> None:
    """A worker's spool_full is a pause, not the job's end."""
    job = desk.submit(frames="1-2")
    desk.upload_asked()
    error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
    desk.hear(WORKER, "job_failed", job=job, attempt=1, error=error)
    assert desk.state(job) == "RUNNING"
    desk.forget()
    desk.pump(0.5)
    assert not desk.said("start")
    desk.pump(1.0)
    assert desk.said("start", job=job, attempt=2)


def test_a_disk_that_stays_full_for_the_worker_fails_the_job(desk: Desk) -> None:
    """Being started again and again is no progress: after `full_s` the job fails as spool_full."""
    job = desk.submit(frames="1-2")
    desk.upload_asked()
    error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
    for attempt in range(1, 200):
        desk.hear(WORKER, "job_failed", job=job, attempt=attempt, error=error)
        desk.pump(1.1)
        if desk.state(job) == "FAILED":
            break
    assert desk.state(job) == "FAILED"
    assert desk.board.config.full_s - 2 <= attempt * 1.1 <= desk.board.config.full_s + 4
    assert desk.said("push", type="STATE")[-1]["body"]["error"]["code"] == "spool_full"
