"""The dispatcher's decisions: windows, order, fairness, budget, ends; on a real store and spool, without
sockets."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.dispatcher_rig import ENGINES, FRONT, WORKER, DispatcherRig
from fakes.peer import spec
from harmovid.errors import FrameMissing
from harmovid_server.main import prefetch
from harmovid_server.main.prefetch import by_turns
from harmovid_server.spool import input_path, job_folder, output_path


@pytest.fixture
def rig(tmp_path: Path) -> DispatcherRig:
    """Return a dispatcher with one worker and small windows."""
    return DispatcherRig(tmp_path, prefetch_frames=3, result_frames=5)


def test_turns_take_one_of_each(rig: DispatcherRig) -> None:
    """Interleaving takes the first of each queue, then the second of each."""
    assert by_turns([[1, 2, 3], [10], [100, 200]]) == [1, 10, 100, 2, 200, 3]


def test_a_job_starts_and_learns_its_frame_size_first(rig: DispatcherRig) -> None:
    """One frame is requested first; when its size is known the window is filled, in order."""
    job = rig.submit(frames="5-50")
    assert rig.said("start", job=job)[0]["done"] == []
    assert rig.asked() == [(job, "plate", 5)]
    rig.forget()
    rig.upload(job, "plate", 5)
    assert rig.asked() == [(job, "plate", 6), (job, "plate", 7)]
    assert rig.said("ready", frame=5)


def test_the_window_bounds_frames_in_the_spool_whatever_the_length(rig: DispatcherRig) -> None:
    """Never more than lookahead + prefetch frames wait for the engine, nor more results than allowed."""
    job = rig.submit(frames="1-2000", engine="pool")
    assert len(rig.upload_asked()) == 4 + 3
    frame = 0
    most = 0
    while len(rig.state.jobs[job].delivering) + rig.state.jobs[job].counts["COMPUTED"] < 40:
        frame += 1
        if frame not in rig.state.jobs[job].frames or not rig.state.jobs[job].frames[frame].inputs:
            break
        rig.compute(job, [frame])
        rig.hear(WORKER, "release", job=job, attempt=1, frames=[frame])
        rig.upload_asked()
        most = max(most, len(list(job_folder(rig.state.spool.folder, job).rglob("*.exr"))))
    assert most <= 4 + 3 + 5
    assert rig.state.jobs[job].counts["COMPUTED"] <= 4 + 3 + 5


def test_a_frame_is_ready_when_all_its_layers_are_there(rig: DispatcherRig) -> None:
    """Layers are requested together, and the worker gets one message when the last has arrived."""
    job = rig.submit(frames="1-3", layers=["plate", "mask"])
    assert rig.asked() == [(job, "plate", 1), (job, "mask", 1)]
    rig.upload(job, "mask", 1)
    assert not rig.said("ready")
    rig.upload(job, "plate", 1)
    assert rig.said("ready", frame=1)


def test_a_job_goes_from_first_frame_to_done(rig: DispatcherRig) -> None:
    """Computed results are delivered in order, acked ones leave the disk, DONE comes with the last ack."""
    job = rig.submit(frames="1-4")
    rig.upload_asked()
    rig.compute(job, [1, 2, 3])
    rig.upload_asked()
    rig.compute(job, [4])
    rig.hear(WORKER, "finished", job=job, attempt=1)
    assert sorted(rig.state.jobs[job].delivering) == [1, 2, 3, 4]
    rig.ack(job, [1, 2, 3])
    assert rig.job_state(job) == "RUNNING"
    assert not output_path(rig.state.spool.folder, job, 1).exists()
    rig.forget()
    rig.ack(job, [4])
    assert rig.job_state(job) == "DONE"
    assert rig.said("push", type="STATE")[-1]["body"]["state"] == "DONE"
    assert not job_folder(rig.state.spool.folder, job).exists()
    assert rig.state.spool.used_bytes == 0
    assert rig.state.spool.room_bytes() == min(rig.config.spool_bytes, rig.state.spool.disk_free_bytes())


def test_one_bad_frame_fails_alone(rig: DispatcherRig) -> None:
    """A frame that cannot be supplied, or is refused by the worker, is reported; the job still ends as DONE."""
    job = rig.submit(frames="1-3")
    error = FrameMissing("no file.").to_wire()
    rig.hear(FRONT, "source_failed", job=job, layer="plate", frame=1, error=error)
    assert rig.said("absent", frame=1)
    assert rig.said("push", type="FRAME_FAILED")[0]["body"]["error"]["frame"] == 1
    rig.upload_asked()
    unreadable = {**error, "code": "frame_unreadable"}
    rig.hear(WORKER, "frame_failed", job=job, attempt=1, frame=2, error=unreadable)
    rig.compute(job, [3])
    rig.ack(job, [3])
    assert rig.job_state(job) == "DONE"
    assert rig.state.ended[job].progress.failed == 2


def test_a_job_without_any_result_has_failed(rig: DispatcherRig) -> None:
    """When every frame fails, the job is FAILED and says why, and at which file."""
    job = rig.submit(frames="1-2")
    for frame in (1, 2):
        error = FrameMissing("no such file.", frame=frame, layer="plate").to_wire()
        rig.hear(FRONT, "source_failed", job=job, layer="plate", frame=frame, error=error)
    assert rig.job_state(job) == "FAILED"
    state = rig.said("push", type="STATE")[-1]["body"]
    assert state["error"]["message"] == "every frame failed; the first one, 1 of plate: no such file."


def test_users_take_turns_not_jobs(rig: DispatcherRig) -> None:
    """A user with three jobs gets no more frame requests than a user with one."""
    anna = [rig.submit("anna", "1-100") for _ in range(3)]
    ben = rig.submit("ben", "1-100")
    assert sorted(job for job, _, _ in rig.asked()) == sorted([*anna, ben])
    order = [job.record.user for job in rig.dispatcher.prefetcher.order()]
    assert order[:2] in (["anna", "ben"], ["ben", "anna"])
    assert order[2:] == ["anna", "anna"]


def test_places_in_a_worker_go_to_who_has_fewest(tmp_path: Path) -> None:
    """With two places and one user holding both, the next free place goes to the other user."""
    rig = DispatcherRig(tmp_path, active_jobs=2)
    anna = [rig.submit("anna", "1-5") for _ in range(4)]
    ben = rig.submit("ben", "1-5")
    running = [job for job in (*anna, ben) if rig.job_state(job) == "RUNNING"]
    assert running == anna[:2]
    rig.request("anna", "CANCEL", {"job": anna[0]})
    assert rig.job_state(ben) == "RUNNING"
    assert rig.job_state(anna[2]) == "QUEUED"


def test_a_waiting_job_is_told_its_place(tmp_path: Path) -> None:
    """QUEUED jobs see their position, and see it change."""
    rig = DispatcherRig(tmp_path, active_jobs=1)
    first, second, third = (rig.submit("anna", "1-5") for _ in range(3))
    rig.pump(1.0)
    assert rig.said("push", type="STATE")[-1]["body"]["queue_position"] == 2
    rig.forget()
    rig.request("anna", "CANCEL", {"job": first})
    rig.pump(1.0)
    places = {body["body"]["job"]: body["body"]["queue_position"] for body in rig.said("push", type="STATE")}
    assert places[third] == 1
    assert rig.job_state(second) == "RUNNING"


def test_a_full_queue_says_when_to_come_back(tmp_path: Path) -> None:
    """One job too many is REJECTed busy, with a time to retry after."""
    rig = DispatcherRig(tmp_path, active_jobs=1, queued_jobs=2)
    for _ in range(4):
        kind, body = rig.request("anna", "SUBMIT", {"spec": spec("1-5")})
    assert kind == "REJECT"
    assert body["error"]["code"] == "busy"
    assert body["error"]["retry_after_s"] > 0


def test_a_job_that_waits_for_frames_gives_its_place_up_and_comes_back(tmp_path: Path) -> None:
    """A client that went away does not block the queue; when it comes back with frames its job goes on."""
    rig = DispatcherRig(tmp_path, active_jobs=1)
    gone = rig.submit("anna", "1-5")
    waiting = rig.submit("ben", "1-5")
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    assert rig.job_state(waiting) == "QUEUED"
    rig.pump(3.0)
    assert rig.said("stop", job=gone)
    rig.pump()
    assert rig.job_state(waiting) == "RUNNING"
    rig.request("ben", "CANCEL", {"job": waiting})
    rig.forget()
    rig.resume("anna", gone)
    assert rig.said("start", job=gone, attempt=2)
    assert rig.asked(gone) == [(gone, "plate", 1)]


def test_the_disk_budget_is_never_promised_twice(tmp_path: Path) -> None:
    """Frames in the spool, requested frames and their results together stay within the budget."""
    rig = DispatcherRig(tmp_path, prefetch_frames=50, result_frames=100, spool_bytes=20_000)
    jobs = [rig.submit(user, "1-100") for user in ("anna", "ben")]
    for _ in range(10):
        items = rig.asked()
        rig.forget()
        for item in items:
            rig.upload(*item, size=1000)
            assert rig.state.spool.used_bytes <= 20_000
    received = Counter(job for job in jobs for f in rig.state.jobs[job].frames.values() if f.inputs)
    # Each frame takes its 1000 bytes and a reservation of 1250 for its result.
    assert received == {jobs[0]: 4, jobs[1]: 4}


def test_a_file_larger_than_thought_is_asked_for_again_with_more_room(rig: DispatcherRig) -> None:
    """A frame larger than its reservation is refused by the front and requested again with its real size."""
    job = rig.submit(frames="1-3")
    rig.upload(job, "plate", 1, 1000)
    rig.forget()
    error = {"code": "spool_full", "message": "too large", "retryable": True}
    rig.hear(FRONT, "receive_failed", job=job, layer="plate", frame=2, error=error, size=9000)
    needs = [item for need in rig.said("need", job=job) for item in need["items"]]
    assert needs[0][:2] == ("plate", 2)
    assert needs[0][2] >= 9000


@pytest.mark.parametrize("limit", ["spool_bytes", "user_bytes"])
def test_a_spool_that_is_too_small_for_one_frame_ends_the_job(tmp_path: Path, limit: str) -> None:
    """The error comes at once, is not to be tried again, and names the setting and the number."""
    rig = DispatcherRig(tmp_path, **{limit: 1 << 20})
    job = rig.submit(frames="1-3")
    error = {"code": "spool_full", "message": "too large", "retryable": True}
    rig.hear(FRONT, "receive_failed", job=job, layer="plate", frame=1, error=error, size=4 << 20)
    rig.pump(0.5)
    assert rig.job_state(job) == "FAILED"
    told = rig.said("push", type="STATE")[-1]["body"]["error"]
    assert (told["code"], told["retryable"]) == ("job", False)
    assert "holds 1 MiB, and one frame with inputs and result need about 10 MiB" in told["message"]
    assert f"--{limit.replace('_', '-')}" in told["fix"]
    assert "10 MiB or more" in told["fix"]


def test_a_spool_that_is_too_small_for_what_the_engine_sees_is_no_passing_lack(tmp_path: Path) -> None:
    """An engine that looks ahead holds several frames: after `full_s` the error names how much they need."""
    rig = DispatcherRig(tmp_path, spool_bytes=5 << 20, full_s=20.0)
    job = rig.submit(frames="1-30", engine="pool")
    rig.upload_asked(size=1 << 20)
    rig.pump(19.0)
    assert rig.job_state(job) == "RUNNING"
    rig.pump(2.0)
    assert rig.job_state(job) == "FAILED"
    told = rig.said("push", type="STATE")[-1]["body"]["error"]
    assert not told["retryable"]
    assert (
        "5 frames, which the engine has to see at once, with inputs and result need about 13 MiB"
        in told["message"]
    )
    assert "--spool-bytes" in told["fix"]


def test_a_full_disk_pauses_the_job_then_fails_it_clearly(rig: DispatcherRig) -> None:
    """ENOSPC is retried about once a second, and after `full_s` the job fails as SpoolFull, retryable."""
    job = rig.submit(frames="1-3")
    tries = 0
    for _ in range(200):
        if rig.asked(job):
            tries += 1
            rig.forget()
            error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
            rig.hear(FRONT, "receive_failed", job=job, layer="plate", frame=1, error=error, size=0)
        rig.pump(0.5)
        if rig.job_state(job) != "RUNNING":
            break
    assert rig.job_state(job) == "FAILED"
    assert 30 <= tries <= 90
    state = rig.said("push", type="STATE")[-1]["body"]
    assert state["error"]["code"] == "spool_full"
    assert state["error"]["retryable"]
    assert "MiB" in state["error"]["message"]


def test_a_disk_that_is_freed_in_time_costs_nothing(rig: DispatcherRig) -> None:
    """After a pause the job continues normally."""
    job = rig.submit(frames="1-1")
    error = {"code": "spool_full", "message": "No space left on device", "retryable": True}
    rig.hear(FRONT, "receive_failed", job=job, layer="plate", frame=1, error=error, size=0)
    rig.forget()
    rig.pump(0.5)
    assert not rig.asked(job)
    rig.pump(1.0)
    assert rig.asked(job) == [(job, "plate", 1)]
    rig.upload_asked()
    rig.compute(job, [1])
    rig.ack(job, [1])
    assert rig.job_state(job) == "DONE"


def test_a_detached_job_expires_and_leaves_nothing(tmp_path: Path) -> None:
    """A job whose client does not return is EXPIRED after its time, and its files are removed."""
    rig = DispatcherRig(tmp_path, detach_s=0.0)
    job = rig.submit(frames="1-3")
    rig.upload_asked()
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    rig.pump(1.0)
    assert rig.job_state(job) == "EXPIRED"
    assert not job_folder(rig.state.spool.folder, job).exists()


def test_ended_jobs_are_forgotten_after_a_while(tmp_path: Path) -> None:
    """The record of an ended job is purged from memory and store."""
    rig = DispatcherRig(tmp_path, keep_s=0.0)
    job = rig.submit(frames="1-3")
    rig.request("anna", "CANCEL", {"job": job})
    rig.pump(1.0)
    assert job not in rig.state.ended
    assert rig.state.store.jobs() == []


def test_a_late_file_of_a_cancelled_job_changes_nothing(rig: DispatcherRig) -> None:
    """Messages about jobs, frames and attempts that are over are dropped."""
    job = rig.submit(frames="1-3")
    rig.upload_asked()
    rig.request("anna", "CANCEL", {"job": job})
    rig.hear(FRONT, "received", job=job, layer="plate", frame=1, size=1, crc=1)
    rig.hear(WORKER, "computed", job=job, attempt=1, frame=1, size=1, crc=1, report={})
    assert rig.job_state(job) == "CANCELLED"
    assert rig.state.spool.used_bytes == 0


def test_what_an_engine_runs_on_is_in_its_description(rig: DispatcherRig) -> None:
    """ENGINES states the runtime of engines that a worker has loaded, and of no others."""
    runtime = {
        "runtime": "onnxruntime 1",
        "provider": "cpu",
        "device": "cpu",
        "precision": "float32",
        "reason": "",
    }
    for name in ("echo", "nothing"):
        info = replace(ENGINES[0], name=name, version="2", runtime=runtime)
        rig.hear(WORKER, "activated", engine=info.to_dict())

    _, body = rig.request("anna", "ENGINES", {})
    told = {info["name"]: (info["version"], info["runtime"]) for info in body["engines"]}
    assert told == {"echo": ("2", runtime), "pool": ("1", {})}


def test_a_malformed_message_of_a_child_is_survived(rig: DispatcherRig) -> None:
    """A bug in a child is logged; main and its jobs continue."""
    job = rig.submit(frames="1-3")
    frame = {"job": job, "frame": 1}
    ops = ("received", "computed", "acked", "frame_failed", "release", "finished", "request", "hello")
    for broken in ({}, {"job": 5}, {"job": job}, {**frame, "frame": "x"}, {**frame, "attempt": None}):
        for op in ops:
            rig.hear(FRONT if op in ("received", "acked", "request") else WORKER, op, **broken)
    assert rig.job_state(job) in ("RUNNING", "FAILED")
    assert rig.asked(job) == [(job, "plate", 1)]


def test_inputs_are_kept_until_released(rig: DispatcherRig) -> None:
    """A computed frame's inputs are kept for the engine's checkpoint until the worker releases them."""
    job = rig.submit(frames="1-3")
    rig.upload_asked()
    rig.compute(job, [1])
    path = input_path(rig.state.spool.folder, job, "plate", 1)
    assert path.exists()
    rig.hear(WORKER, "release", job=job, attempt=1, frames=[1, 2])
    assert not path.exists()
    assert input_path(rig.state.spool.folder, job, "plate", 2).exists(), "frame 2 is still owed"


def test_a_very_long_job_takes_memory_only_for_what_it_has_touched(rig: DispatcherRig) -> None:
    """Of a job of 100,000 frames main holds only the frames that have been requested; the counts cover all."""
    job = rig.submit(frames="1-100000")
    assert len(rig.upload_asked()) == 3
    rig.compute(job, [1])
    held = rig.state.jobs[job]
    assert len(held.frames) <= 10
    assert held.progress().total == 100_000
    assert list(held.in_states("COMPUTED")) == [1]


def test_only_so_many_ended_jobs_are_remembered(rig: DispatcherRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs are submitted and cancelled, the oldest are removed from memory and store."""
    monkeypatch.setattr(prefetch, "ENDED_KEPT", 3)
    jobs = [rig.submit(frames="1-5") for _ in range(5)]
    for job in jobs:
        rig.request("anna", "CANCEL", {"job": job})
    rig.pump()
    assert list(rig.state.ended) == jobs[2:]
    assert len(rig.state.store.jobs()) == 3
