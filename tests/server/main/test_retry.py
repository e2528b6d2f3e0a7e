"""RETRY: failed frames of a job that has not ended are requested and computed once more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.dispatcher_rig import FRONT, WORKER, DispatcherRig

GONE = {"code": "frame_missing", "message": "gone", "retryable": False}


@pytest.fixture
def rig(tmp_path: Path) -> DispatcherRig:
    """Return a dispatcher with one worker."""
    return DispatcherRig(tmp_path, prefetch_frames=3)


def with_failed_frame(rig: DispatcherRig, **more: object) -> str:
    """Return a job of frames 1 to 4: 1 is delivered, 2 has failed, 3 is with the worker, 4 is not here yet."""
    job = rig.submit(frames="1-4", **more)
    rig.upload(job, "plate", 1)
    rig.compute(job, [1])
    rig.ack(job, [1])
    rig.hear(FRONT, "source_failed", job=job, layer="plate", frame=2, error=GONE)
    rig.upload(job, "plate", 3)
    rig.forget()
    return job


def test_failed_frames_are_made_and_the_others_are_not_made_twice(rig: DispatcherRig) -> None:
    """The frame is requested in a new attempt, what is done stays done, each result is delivered once: DONE."""
    job = with_failed_frame(rig)
    kind, body = rig.request("anna", "RETRY", {"job": job})
    assert (kind, body["state"], body["failed"], body["delivered"]) == ("ACCEPT", "RUNNING", 0, 1)
    (start,) = rig.said("start", job=job)
    assert (start["attempt"], start["done"], start["failed"]) == (2, [1], [])
    assert (job, "plate", 2) in rig.asked()
    rig.upload_asked()
    rig.compute(job, [2, 3, 4])
    delivered = sorted(body["frame"] for body in rig.said("deliver", job=job))
    rig.ack(job, [2, 3, 4])
    assert delivered == [2, 3, 4]
    assert rig.job_state(job) == "DONE"
    assert rig.state.ended[job].progress.failed == 0


def test_what_the_earlier_attempt_still_says_changes_nothing(rig: DispatcherRig) -> None:
    """A failure or a result that a worker reports for the attempt before is dropped."""
    job = with_failed_frame(rig)
    rig.request("anna", "RETRY", {"job": job})
    rig.hear(WORKER, "frame_failed", job=job, attempt=1, frame=2, error=GONE)
    rig.hear(WORKER, "computed", job=job, attempt=1, frame=2, size=5, crc=1, report={})
    progress = rig.state.jobs[job].progress()
    assert (progress.failed, progress.computed) == (0, 1)


def test_it_may_fail_again_and_be_retried_again(rig: DispatcherRig) -> None:
    """Each failure is reported to the client, each retry is counted and logged; without failed frames none is."""
    job = with_failed_frame(rig)
    rig.request("anna", "RETRY", {"job": job})
    rig.hear(FRONT, "source_failed", job=job, layer="plate", frame=2, error=GONE)
    assert rig.said("push", type="FRAME_FAILED")[-1]["body"]["frame"] == 2
    for _ in range(2):
        assert rig.request("anna", "RETRY", {"job": job})[1]["failed"] == 0
    assert rig.state.jobs[job].record.attempt == 3
    noted = [json.loads(line) for line in rig.config.audit_file.read_text().splitlines()]
    assert [line["frames"] for line in noted if line["event"] == "retried"] == [1, 1]
    assert [["retried"], 2] in rig.state.tally.plain()["counts"]["harmovid_frames"]


def test_a_retry_survives_the_server(rig: DispatcherRig) -> None:
    """A server that is killed right after it still wants the frame."""
    job = with_failed_frame(rig)
    rig.request("anna", "RETRY", {"job": job})
    rig.reopen()
    rig.resume("anna", job, {1: rig.state.jobs[job].frames[1].crc})
    assert (job, "plate", 2) in rig.asked()
    assert rig.state.jobs[job].progress().failed == 0


def test_a_job_whose_client_is_away_waits_for_it(rig: DispatcherRig) -> None:
    """Nothing can be requested then; the client that comes back is asked for the frame."""
    job = with_failed_frame(rig)
    rig.hear(FRONT, "gone", session=rig.session("anna"))
    rig.forget()
    rig.request("ben", "STATUS", {})
    assert rig.request("anna", "STATUS", {"job": job})[1]["jobs"][0]["connected"] is False
    rig.request("anna", "RETRY", {"job": job})
    assert rig.asked() == []
    rig.resume("anna", job, {1: rig.state.jobs[job].frames[1].crc})
    assert (job, "plate", 2) in rig.asked()
    assert rig.request("anna", "STATUS", {"job": job})[1]["jobs"][0]["connected"] is True


def test_a_job_that_has_ended_stays_as_it_is(rig: DispatcherRig) -> None:
    """Its client is gone, so that nobody could send the frames; STATUS still tells what it was."""
    job = with_failed_frame(rig, label="sh010")
    rig.request("anna", "CANCEL", {"job": job})
    kind, body = rig.request("anna", "RETRY", {"job": job})
    assert (kind, body["state"], body["failed"]) == ("ACCEPT", "CANCELLED", 1)
    (row,) = rig.request("anna", "STATUS", {"job": job})[1]["jobs"]
    assert (row["connected"], row["spec"]["frames"], row["spec"]["label"]) == (False, "1-4", "sh010")
    assert "spec" not in rig.request("anna", "STATUS", {})[1]["jobs"][0]


def test_a_specification_too_long_for_an_answer_is_left_out(rig: DispatcherRig) -> None:
    """The longest range that a job may have would not fit beside the rest; the job is listed all the same."""
    frames = ",".join(str(number) for number in range(100_000, 190_000, 2))
    job = rig.submit(frames=frames)
    (row,) = rig.request("anna", "STATUS", {"job": job})[1]["jobs"]
    assert (row["total"], "spec" in row) == (45_000, False)
