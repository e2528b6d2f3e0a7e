"""What clients ask: admission, idempotency, ownership, resuming, cancelling."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from fakes.dispatcher_rig import FRONT, WORKER, DispatcherRig
from fakes.peer import frame_bytes, spec


@pytest.fixture
def rig(tmp_path: Path) -> DispatcherRig:
    """Return a dispatcher with one worker."""
    return DispatcherRig(tmp_path, prefetch_frames=3)


def crc(frame: int) -> int:
    """Return the checksum of the result that `DispatcherRig.compute` makes."""
    return zlib.crc32(frame_bytes(frame, 900, "result"))


def test_engines_are_listed_as_the_worker_described_them(rig: DispatcherRig) -> None:
    """ENGINES returns every engine with its options."""
    kind, body = rig.request("anna", "ENGINES", {})
    assert kind == "ENGINE_LIST"
    assert [engine["name"] for engine in body["engines"]] == ["echo", "pool"]
    assert body["engines"][0]["options"][0]["name"] == "amount"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"engine": "magic"}, "engine_unknown"),
        ({"options": {"amout": 1.0}}, "option"),
        ({"frames": "10-1"}, "pattern"),
        ({"frames": "1-200000"}, "pattern"),
        ({"layers": ["mask"]}, "input"),
        ({"layers": ["plate", "depth"]}, "input"),
        ({"layers": ["plate", "plate"]}, "input"),
        ({"shared": {"plate": "show:a.####.exr"}}, "input"),
        ({"colorspace": {"bg": "ACEScg"}}, "input"),
        ({"output": {"strength": 9.0}}, "option"),
    ],
)
def test_a_job_that_cannot_be_done_is_rejected_at_once(
    rig: DispatcherRig, change: dict[str, object], code: str
) -> None:
    """Every mistake in a specification is a REJECT with its own code and the fix."""
    kind, body = rig.request("anna", "SUBMIT", {"spec": spec(**change)})
    assert kind == "REJECT"
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    assert rig.state.jobs == {}


def test_submitting_twice_is_one_job(rig: DispatcherRig) -> None:
    """The same id with the same specification is the same job, in its present state."""
    job = spec("1-5")
    assert rig.request("anna", "SUBMIT", {"spec": job})[0] == "ACCEPT"
    rig.upload_asked()
    kind, body = rig.request("anna", "SUBMIT", {"spec": job})
    assert (kind, body["state"], body["received"]) == ("ACCEPT", "RUNNING", 3)
    assert len(rig.state.jobs) == 1


def test_the_same_id_with_another_content_is_a_conflict(rig: DispatcherRig) -> None:
    """Neither another specification nor another user gets at a job through its id."""
    job = spec("1-5")
    rig.request("anna", "SUBMIT", {"spec": job})
    for user, other in (("anna", {**job, "frames": "1-6"}), ("ben", job)):
        kind, body = rig.request(user, "SUBMIT", {"spec": other})
        assert (kind, body["error"]["code"]) == ("REJECT", "job_conflict")


def test_another_user_sees_nothing(rig: DispatcherRig) -> None:
    """STATUS, CANCEL and RESUME of somebody else's job say that there is none."""
    job = rig.submit("anna")
    assert rig.request("ben", "STATUS", {})[1]["jobs"] == []
    answers = [rig.request("ben", kind, {"job": job}) for kind in ("STATUS", "CANCEL")]
    answers.append(rig.resume("ben", job))
    assert [body["error"]["code"] for _, body in answers] == ["job_unknown"] * 3
    assert rig.job_state(job) == "RUNNING"


def test_status_lists_own_jobs_newest_first(rig: DispatcherRig) -> None:
    """STATUS shows running and ended jobs with engine, label and age."""
    first, second = rig.submit("anna", label="one"), rig.submit("anna", label="two")
    rig.request("anna", "CANCEL", {"job": first})
    jobs = rig.request("anna", "STATUS", {})[1]["jobs"]
    assert [(job["label"], job["state"]) for job in jobs] == [("two", "RUNNING"), ("one", "CANCELLED")]
    assert jobs[0]["engine"] == "echo"
    (row,) = rig.request("anna", "STATUS", {"job": second})[1]["jobs"]
    assert row.pop("spec")["job_id"] == second
    assert row == jobs[0] | {"age_s": pytest.approx(0, abs=5)}


def test_cancelling_stops_everything_and_says_so(rig: DispatcherRig) -> None:
    """CANCEL tells worker, front and client, frees the disk, and is harmless when repeated."""
    job = rig.submit()
    rig.upload_asked()
    kind, body = rig.request("anna", "CANCEL", {"job": job})
    assert (kind, body["state"]) == ("ACCEPT", "CANCELLED")
    assert rig.said("stop", job=job)
    assert rig.said("forget", job=job)
    assert rig.said("push", type="STATE")[-1]["body"]["state"] == "CANCELLED"
    assert rig.state.spool.used_bytes == 0
    assert rig.request("anna", "CANCEL", {"job": job})[1]["state"] == "CANCELLED"


def test_resume_sends_only_what_the_client_lacks(rig: DispatcherRig) -> None:
    """What the client has counts as acked, what it has not is sent, what is missing is asked for again."""
    job = rig.submit(frames="1-20")
    rig.upload_asked()
    rig.compute(job, [1, 2, 3])
    assert {body["frame"] for body in rig.said("deliver")} == {1, 2, 3}
    asked = {frame for _, _, frame in rig.asked()}
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    rig.sessions["anna"] = b"second session.."
    rig.forget()
    kind, body = rig.resume("anna", job, {1: crc(1), 2: crc(2)})
    assert (kind, body["delivered"]) == ("ACCEPT", 2)
    assert [body["frame"] for body in rig.said("deliver")] == [3]
    assert {frame for _, _, frame in rig.asked()} == asked
    assert all(need["session"] == b"second session.." for need in rig.said("need"))


def test_a_result_with_another_checksum_is_sent_again(rig: DispatcherRig) -> None:
    """A file on the client's disk that is not our result does not count as one."""
    job = rig.submit(frames="1-2")
    rig.upload_asked()
    rig.compute(job, [1])
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    rig.forget()
    rig.resume("anna", job, {1: crc(1) ^ 1})
    assert [body["frame"] for body in rig.said("deliver")] == [1]


def test_the_answer_to_resume_comes_before_what_it_sets_off(rig: DispatcherRig) -> None:
    """ACCEPT first, then failed frames, then the state: as docs/wire.md orders them."""
    job = rig.submit(frames="1-3")
    error = {"code": "frame_missing", "message": "gone", "retryable": False}
    rig.hear(FRONT, "source_failed", job=job, layer="plate", frame=1, error=error)
    rig.forget()
    rig.resume("anna", job)
    kinds = [body["type"] for _, op, body in rig.sent if op in ("reply", "push")]
    assert kinds == ["ACCEPT", "FRAME_FAILED", "STATE"]


def test_a_new_session_takes_the_job_over(rig: DispatcherRig) -> None:
    """The session that resumes owns the job; the earlier one is told and gets nothing more."""
    job = rig.submit(frames="1-9")
    rig.sessions["anna"] = b"second session.."
    rig.forget()
    rig.resume("anna", job)
    assert rig.said("forget", job=job)
    assert rig.said("push", type="ERROR")[0]["body"]["scope"] == "job"
    assert rig.asked() == [(job, "plate", 1)]
    assert rig.said("need")[0]["session"] == b"second session.."


def test_a_known_job_waits_for_resume_before_it_asks(rig: DispatcherRig) -> None:
    """After SUBMIT of a known job by a new session nothing is asked until RESUME, or a second later."""
    job = spec("1-9")
    rig.request("anna", "SUBMIT", {"spec": job})
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    rig.forget()
    rig.request("anna", "SUBMIT", {"spec": job})
    assert not rig.asked()
    rig.pump(1.1)
    assert rig.asked() == [(job["job_id"], "plate", 1)]


def test_a_server_that_lost_its_store_does_not_do_again_what_the_client_has(rig: DispatcherRig) -> None:
    """Files that this server never made count at RESUME; the worker starts again without those frames."""
    job = rig.submit(frames="1-4")
    assert rig.said("start", job=job)[0]["done"] == []
    rig.forget()
    kind, body = rig.resume("anna", job, {1: 11, 2: 22})
    assert (kind, body["delivered"]) == ("ACCEPT", 2)
    assert rig.said("stop", job=job)
    assert rig.said("start", job=job, attempt=2)[0]["done"] == [1, 2]
    rig.upload_asked()
    rig.compute(job, [3, 4])
    rig.ack(job, [3, 4])
    assert rig.job_state(job) == "DONE"


def test_an_acked_result_that_is_lost_is_made_again(rig: DispatcherRig) -> None:
    """A running job whose client lost a file after its ack computes that frame once more."""
    job = rig.submit(frames="1-4")
    rig.upload_asked()
    rig.compute(job, [1])
    rig.hear(WORKER, "release", job=job, attempt=1, frames=[1])
    rig.ack(job, [1])
    rig.forget()
    rig.resume("anna", job)
    assert rig.said("start", job=job, attempt=2)[0]["done"] == []
    assert (job, "plate", 1) in rig.asked()


def test_an_ended_job_is_told_again_to_who_has_its_results(rig: DispatcherRig) -> None:
    """RESUME of a DONE job repeats failed frames and the final state, if the client still has everything."""
    job = rig.submit(frames="1-2")
    rig.upload_asked()
    rig.compute(job, [1])
    error = {"code": "frame_unreadable", "message": "cut off", "retryable": False}
    rig.hear(WORKER, "frame_failed", job=job, attempt=1, frame=2, error=error)
    rig.ack(job, [1])
    rig.forget()
    assert rig.resume("anna", job, {1: crc(1)})[1]["state"] == "DONE"
    assert [body["type"] for body in rig.said("push")] == ["FRAME_FAILED", "STATE"]
    kind, body = rig.resume("anna", job)
    assert (kind, body["error"]["code"]) == ("REJECT", "job_unknown")


def test_a_third_bad_result_fails_the_frame(rig: DispatcherRig) -> None:
    """When the front gives a result up, the frame fails and the job goes on."""
    job = rig.submit(frames="1-2")
    rig.upload_asked()
    rig.compute(job, [1, 2])
    error = {"code": "frame_corrupt", "message": "checksum", "retryable": True}
    body = {"job": job, "frame": 1, "error": error}
    rig.hear(
        FRONT, "request", session=rig.session("anna"), user="anna", type="RESULT_BAD", body=body, ref=None
    )
    assert rig.said("push", type="FRAME_FAILED")[0]["body"]["frame"] == 1
    rig.ack(job, [2])
    assert rig.job_state(job) == "DONE"


def test_a_draining_server_takes_no_new_job_but_knows_the_old_ones(rig: DispatcherRig) -> None:
    """While draining SUBMIT is REJECTed retryable, running jobs go on to their end, and then it is quiet."""
    job = rig.submit(frames="1-1")
    rig.dispatcher.drain(30.0)
    rig.pump()
    assert rig.said("drain", deadline_s=30.0)
    kind, body = rig.request("ben", "SUBMIT", {"spec": spec("1-5")})
    assert (kind, body["error"]["code"], body["error"]["retryable"]) == ("REJECT", "draining", True)
    assert not rig.dispatcher.quiet()
    rig.upload_asked()
    rig.compute(job, [1])
    rig.ack(job, [1])
    assert rig.dispatcher.quiet()
