"""The scheduler's decisions: windows, order, fairness, budget, ends; on a real store and spool, without
sockets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fakes.desk import FRONT, WORKER, Desk
from fakes.peer import spec
from harmovid.errors import FrameMissing
from harmovid_server.main import prefetch
from harmovid_server.main.prefetch import by_turns
from harmovid_server.spool import input_path, job_folder, output_path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a scheduler with one worker and small windows."""
    return Desk(tmp_path, prefetch_frames=3, result_frames=5)


def test_turns_take_one_of_each(desk: Desk) -> None:
    """Interleaving takes the first of each queue, then the second of each."""
    assert by_turns([[1, 2, 3], [10], [100, 200]]) == [1, 10, 100, 2, 200, 3]


def test_a_job_starts_and_learns_its_frame_size_first(desk: Desk) -> None:
    """One frame is asked for until its size is known, then the window is filled, in order."""
    job = desk.submit(frames="5-50")
    assert desk.said("start", job=job)[0]["done"] == []
    assert desk.asked() == [(job, "plate", 5)]
    desk.forget()
    desk.upload(job, "plate", 5)
    assert desk.asked() == [(job, "plate", 6), (job, "plate", 7)]
    assert desk.said("ready", frame=5)


def test_the_window_bounds_frames_in_the_spool_whatever_the_length(desk: Desk) -> None:
    """Never more than lookahead + prefetch frames wait for the engine, nor more results than allowed."""
    job = desk.submit(frames="1-2000", engine="pool")
    assert len(desk.upload_asked()) == 4 + 3
    frame = 0
    most = 0
    while len(desk.board.jobs[job].delivering) + desk.board.jobs[job].counts["COMPUTED"] < 40:
        frame += 1
        if frame not in desk.board.jobs[job].frames or not desk.board.jobs[job].frames[frame].inputs:
            break
        desk.compute(job, [frame])
        desk.hear(WORKER, "release", job=job, attempt=1, frames=[frame])
        desk.upload_asked()
        most = max(most, len(list(job_folder(desk.board.spool.folder, job).rglob("*.exr"))))
    assert most <= 4 + 3 + 5
    assert desk.board.jobs[job].counts["COMPUTED"] <= 4 + 3 + 5


def test_a_frame_is_ready_when_all_its_layers_are_there(desk: Desk) -> None:
    """Layers are asked for together and the worker is told once, when the last has come."""
    job = desk.submit(frames="1-3", layers=["plate", "mask"])
    assert desk.asked() == [(job, "plate", 1), (job, "mask", 1)]
    desk.upload(job, "mask", 1)
    assert not desk.said("ready")
    desk.upload(job, "plate", 1)
    assert desk.said("ready", frame=1)


def test_a_job_goes_from_first_frame_to_done(desk: Desk) -> None:
    """Computed results are delivered in order, acked ones leave the disk, DONE comes with the last ack."""
    job = desk.submit(frames="1-4")
    desk.upload_asked()
    desk.compute(job, [1, 2, 3])
    desk.upload_asked()
    desk.compute(job, [4])
    desk.hear(WORKER, "finished", job=job, attempt=1)
    assert sorted(desk.board.jobs[job].delivering) == [1, 2, 3, 4]
    desk.ack(job, [1, 2, 3])
    assert desk.state(job) == "RUNNING"
    assert not output_path(desk.board.spool.folder, job, 1).exists()
    desk.forget()
    desk.ack(job, [4])
    assert desk.state(job) == "DONE"
    assert desk.said("push", type="STATE")[-1]["body"]["state"] == "DONE"
    assert not job_folder(desk.board.spool.folder, job).exists()
    assert desk.board.spool.used_bytes == 0
    assert desk.board.spool.room_bytes() == min(desk.config.spool_bytes, desk.board.spool.disk_free_bytes())


def test_one_bad_frame_fails_alone(desk: Desk) -> None:
    """A frame that cannot be supplied, or is refused by the worker, is told; its neighbours go on to DONE."""
    job = desk.submit(frames="1-3")
    error = FrameMissing("no file.").to_wire()
    desk.hear(FRONT, "source_failed", job=job, layer="plate", frame=1, error=error)
    assert desk.said("absent", frame=1)
    assert desk.said("push", type="FRAME_FAILED")[0]["body"]["error"]["frame"] == 1
    desk.upload_asked()
    unreadable = {**error, "code": "frame_unreadable"}
    desk.hear(WORKER, "frame_failed", job=job, attempt=1, frame=2, error=unreadable)
    desk.compute(job, [3])
    desk.ack(job, [3])
    assert desk.state(job) == "DONE"
    assert desk.board.ended[job].progress.failed == 2


def test_a_job_without_any_result_has_failed(desk: Desk) -> None:
    """When every frame fails, the job is FAILED and says why."""
    job = desk.submit(frames="1-2")
    for frame in (1, 2):
        error = FrameMissing("no such file.").to_wire()
        desk.hear(FRONT, "source_failed", job=job, layer="plate", frame=frame, error=error)
    assert desk.state(job) == "FAILED"
    state = desk.said("push", type="STATE")[-1]["body"]
    assert "every frame failed" in state["error"]["message"]
    assert "no such file" in state["error"]["message"]


def test_users_take_turns_not_jobs(desk: Desk) -> None:
    """Someone with three jobs gets no more of the asking than someone with one."""
    anna = [desk.submit("anna", "1-100") for _ in range(3)]
    ben = desk.submit("ben", "1-100")
    assert sorted(job for job, _, _ in desk.asked()) == sorted([*anna, ben])
    order = [job.record.user for job in desk.scheduler.flow.order()]
    assert order[:2] in (["anna", "ben"], ["ben", "anna"])
    assert order[2:] == ["anna", "anna"]


def test_places_in_a_worker_go_to_who_has_fewest(tmp_path: Path) -> None:
    """With two places and one user holding both, the next free place goes to the other user."""
    desk = Desk(tmp_path, active_jobs=2)
    anna = [desk.submit("anna", "1-5") for _ in range(4)]
    ben = desk.submit("ben", "1-5")
    running = [job for job in (*anna, ben) if desk.state(job) == "RUNNING"]
    assert running == anna[:2]
    desk.request("anna", "CANCEL", {"job": anna[0]})
    assert desk.state(ben) == "RUNNING"
    assert desk.state(anna[2]) == "QUEUED"


def test_a_waiting_job_is_told_its_place(tmp_path: Path) -> None:
    """QUEUED jobs see their position, and see it change."""
    desk = Desk(tmp_path, active_jobs=1)
    first, second, third = (desk.submit("anna", "1-5") for _ in range(3))
    desk.pump(1.0)
    assert desk.said("push", type="STATE")[-1]["body"]["queue_position"] == 2
    desk.forget()
    desk.request("anna", "CANCEL", {"job": first})
    desk.pump(1.0)
    places = {body["body"]["job"]: body["body"]["queue_position"] for body in desk.said("push", type="STATE")}
    assert places[third] == 1
    assert desk.state(second) == "RUNNING"


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    """One job too many is REJECTed busy, with a time to retry after."""
    desk = Desk(tmp_path, active_jobs=1, queued_jobs=2)
    for _ in range(4):
        kind, body = desk.request("anna", "SUBMIT", {"spec": spec("1-5")})
    assert kind == "REJECT"
    assert body["error"]["code"] == "busy"
    assert body["error"]["retry_after_s"] > 0


def test_a_job_that_waits_for_frames_gives_its_place_up_and_comes_back(tmp_path: Path) -> None:
    """A client that went away does not block the queue; when it comes back with frames its job goes on."""
    desk = Desk(tmp_path, active_jobs=1)
    gone = desk.submit("anna", "1-5")
    waiting = desk.submit("ben", "1-5")
    desk.hear(FRONT, "gone", session=desk.session("anna"))
    assert desk.state(waiting) == "QUEUED"
    desk.pump(3.0)
    assert desk.said("stop", job=gone)
    desk.pump()
    assert desk.state(waiting) == "RUNNING"
    desk.request("ben", "CANCEL", {"job": waiting})
    desk.forget()
    desk.resume("anna", gone)
    assert desk.said("start", job=gone, attempt=2)
    assert desk.asked(gone) == [(gone, "plate", 1)]


def test_the_disk_budget_is_never_promised_twice(tmp_path: Path) -> None:
    """What lies in the spool, plus what was asked for, plus its results, stays within the budget."""
    desk = Desk(tmp_path, prefetch_frames=50, result_frames=100, spool_bytes=20_000)
    jobs = [desk.submit(user, "1-100") for user in ("anna", "ben")]
    for _ in range(10):
        items = desk.asked()
        desk.forget()
        for item in items:
            desk.upload(*item, size=1000)
            assert desk.board.spool.used_bytes <= 20_000
    received = Counter(job for job in jobs for f in desk.board.jobs[job].frames.values() if f.inputs)
    # Each frame takes its 1000 bytes and a promise of 1250 for its result.
    assert received == {jobs[0]: 4, jobs[1]: 4}


def test_a_file_larger_than_thought_is_asked_for_again_with_more_room(desk: Desk) -> None:
    """A frame that outgrows its promise is refused by the front and asked for again with its real size."""
    job = desk.submit(frames="1-3")
    desk.upload(job, "plate", 1, 1000)
    desk.forget()
    error = {"code": "spool_full", "message": "too large", "retryable": True}
    desk.hear(FRONT, "receive_failed", job=job, layer="plate", frame=2, error=error, size=9000)
    needs = [item for need in desk.said("need", job=job) for item in need["items"]]
    assert needs[0][:2] == ("plate", 2)
    assert needs[0][2] >= 9000


def test_a_full_disk_pauses_the_job_then_fails_it_clearly(desk: Desk) -> None:
    """ENOSPC is retried about once a second, and after `full_s` the job fails as SpoolFull, retryable."""
    job = desk.submit(frames="1-3")
    tries = 0
    for _ in range(200):
        if desk.asked(job):
            tries += 1
            desk.forget()
            error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
            desk.hear(FRONT, "receive_failed", job=job, layer="plate", frame=1, error=error, size=0)
        desk.pump(0.5)
        if desk.state(job) != "RUNNING":
            break
    assert desk.state(job) == "FAILED"
    assert 30 <= tries <= 90
    state = desk.said("push", type="STATE")[-1]["body"]
    assert state["error"]["code"] == "spool_full"
    assert state["error"]["retryable"]
    assert "MiB" in state["error"]["message"]


def test_a_disk_that_is_freed_in_time_costs_nothing(desk: Desk) -> None:
    """After a pause the job goes on as if nothing had been."""
    job = desk.submit(frames="1-1")
    error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
    desk.hear(FRONT, "receive_failed", job=job, layer="plate", frame=1, error=error, size=0)
    desk.forget()
    desk.pump(0.5)
    assert not desk.asked(job)
    desk.pump(1.0)
    assert desk.asked(job) == [(job, "plate", 1)]
    desk.upload_asked()
    desk.compute(job, [1])
    desk.ack(job, [1])
    assert desk.state(job) == "DONE"


def test_a_detached_job_expires_and_leaves_nothing(tmp_path: Path) -> None:
    """A job that nobody comes back for is EXPIRED after its time; its files go."""
    desk = Desk(tmp_path, detach_s=0.0)
    job = desk.submit(frames="1-3")
    desk.upload_asked()
    desk.hear(FRONT, "gone", session=desk.session("anna"))
    desk.pump(1.0)
    assert desk.state(job) == "EXPIRED"
    assert not job_folder(desk.board.spool.folder, job).exists()


def test_ended_jobs_are_forgotten_after_a_while(tmp_path: Path) -> None:
    """The record of an ended job is purged from memory and store."""
    desk = Desk(tmp_path, keep_s=0.0)
    job = desk.submit(frames="1-3")
    desk.request("anna", "CANCEL", {"job": job})
    desk.pump(1.0)
    assert job not in desk.board.ended
    assert desk.board.store.jobs() == []


def test_a_late_file_of_a_cancelled_job_changes_nothing(desk: Desk) -> None:
    """Messages about jobs, frames and attempts that are over are dropped."""
    job = desk.submit(frames="1-3")
    desk.upload_asked()
    desk.request("anna", "CANCEL", {"job": job})
    desk.hear(FRONT, "received", job=job, layer="plate", frame=1, size=1, crc=1)
    desk.hear(WORKER, "computed", job=job, attempt=1, frame=1, size=1, crc=1, report={})
    assert desk.state(job) == "CANCELLED"
    assert desk.board.spool.used_bytes == 0


def test_a_malformed_message_of_a_child_is_survived(desk: Desk) -> None:
    """A bug in a child is logged; main and its jobs go on."""
    job = desk.submit(frames="1-3")
    frame = {"job": job, "frame": 1}
    ops = ("received", "computed", "acked", "frame_failed", "release", "finished", "request", "hello")
    for broken in ({}, {"job": 5}, {"job": job}, {**frame, "frame": "x"}, {**frame, "attempt": None}):
        for op in ops:
            desk.hear(FRONT if op in ("received", "acked", "request") else WORKER, op, **broken)
    assert desk.state(job) in ("RUNNING", "FAILED")
    assert desk.asked(job) == [(job, "plate", 1)]


def test_inputs_are_kept_until_released(desk: Desk) -> None:
    """A computed frame's inputs stay for the engine's checkpoint until the worker lets them go."""
    job = desk.submit(frames="1-3")
    desk.upload_asked()
    desk.compute(job, [1])
    path = input_path(desk.board.spool.folder, job, "plate", 1)
    assert path.exists()
    desk.hear(WORKER, "release", job=job, attempt=1, frames=[1, 2])
    assert not path.exists()
    assert input_path(desk.board.spool.folder, job, "plate", 2).exists(), "frame 2 is still owed"


def test_a_very_long_job_takes_memory_only_for_what_it_has_touched(desk: Desk) -> None:
    """A job of 100,000 frames is bookkept in order, and costs the same as a short one until it goes on."""
    job = desk.submit(frames="1-100000")
    assert len(desk.upload_asked()) == 3
    desk.compute(job, [1])
    held = desk.board.jobs[job]
    assert len(held.frames) <= 10
    assert held.progress().total == 100_000
    assert list(held.in_states("COMPUTED")) == [1]


def test_only_so_many_ended_jobs_are_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs are submitted and cancelled, the oldest are forgotten in memory and store."""
    monkeypatch.setattr(prefetch, "ENDED_KEPT", 3)
    jobs = [desk.submit(frames="1-5") for _ in range(5)]
    for job in jobs:
        desk.request("anna", "CANCEL", {"job": job})
    desk.pump()
    assert list(desk.board.ended) == jobs[2:]
    assert len(desk.board.store.jobs()) == 3
