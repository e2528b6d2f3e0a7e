"""A disk that is small, full, or freed again: jobs pause and continue, or fail with a clear, retryable error."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from fakes.peer import JOB_S, Peer, frame_bytes, spec
from fakes.running import RunningServer
from fakes.small_disk import fill, small_disk

SIZE = 200_000
WAITING = "waiting for room"
ROUND_S, STILL_ROUNDS = 0.1, 10


def in_whole(peer: Peer, job: str, count: int) -> None:
    """Check that every frame came back once, byte by byte."""
    assert peer.results == {(job, frame): frame_bytes(frame, SIZE) for frame in range(1, count + 1)}
    assert peer.doubled == []


def sized(peer: Peer) -> Peer:
    """Have a peer send frames of `SIZE` bytes."""
    peer.source = lambda layer, frame: frame_bytes(frame, SIZE)
    return peer


def filled(disk: Path, peer: Peer, job: str) -> Path:
    """Fill the disk, again and again with what the job frees, until it waits for room and has nothing to deliver."""
    still = 0
    while still < STILL_ROUNDS:
        filler = fill(disk)
        before, until = len(peer.results), time.monotonic() + ROUND_S
        peer.run(lambda: time.monotonic() > until)  # noqa: B023
        state = peer.state[job]
        if state["state"] == "FAILED":
            break
        waits = WAITING in state["message"] and state["delivered"] == state["computed"]
        still = still + 1 if waits and len(peer.results) == before else 0
    return filler


@pytest.mark.fault
def test_a_clip_far_larger_than_the_disk_goes_through(tmp_path: Path) -> None:
    """200 frames of 0.2 MB pass over an 8 MiB disk, two clients at once, and the disk is empty afterwards."""
    with (
        small_disk(tmp_path / "disk", 8) as disk,
        RunningServer(tmp_path, "--state", str(disk / "s")) as server,
    ):
        with sized(Peer(server.endpoint).start()) as anna, sized(Peer(server.endpoint).start()) as ben:
            jobs = [spec("1-100"), spec("1-100")]
            for peer, job in zip((anna, ben), jobs):
                peer.submit(job)
            finished = 0
            until = time.monotonic() + JOB_S
            while finished < 2 and time.monotonic() < until:
                anna.step(0.001)
                ben.step(0.001)
                ends = (anna.state.get(jobs[0]["job_id"]), ben.state.get(jobs[1]["job_id"]))
                finished = sum(1 for state in ends if state and state["state"] == "DONE")
            assert finished == 2
            in_whole(anna, jobs[0]["job_id"], 100)
            in_whole(ben, jobs[1]["job_id"], 100)
        assert list((disk / "s" / "spool").iterdir()) == []


@pytest.mark.fault
def test_a_disk_filled_by_others_pauses_the_job_until_it_is_freed(tmp_path: Path) -> None:
    """When something else fills the disk the job waits and reports it; after space is freed it completes."""
    with (
        small_disk(tmp_path / "disk", 8) as disk,
        RunningServer(tmp_path, "--state", str(disk / "s")) as server,
        sized(Peer(server.endpoint).start()) as peer,
    ):
        peer.submit(job := spec("1-60", options={"delay_s": 0.01}))
        peer.run(lambda: len(peer.results) >= 5)
        filler = filled(disk, peer, job["job_id"])
        paused = len(peer.results)
        assert WAITING in peer.state[job["job_id"]]["message"]
        until = time.monotonic() + 1.0
        peer.run(lambda: time.monotonic() > until)
        assert len(peer.results) == paused < 60
        filler.unlink()
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        in_whole(peer, job["job_id"], 60)


@pytest.mark.fault
def test_a_disk_that_stays_full_fails_the_job_clearly_and_the_server_lives(tmp_path: Path) -> None:
    """After `full_s` the job is FAILED as spool_full, retryable; once there is room the next job runs."""
    flags = ("--full-s", "1.5")
    with (
        small_disk(tmp_path / "disk", 8) as disk,
        RunningServer(tmp_path, "--state", str(disk / "s"), *flags) as server,
        sized(Peer(server.endpoint).start()) as peer,
    ):
        peer.submit(job := spec("1-60", options={"delay_s": 0.01}))
        peer.run(lambda: len(peer.results) >= 3)
        filler = filled(disk, peer, job["job_id"])
        state = peer.run_to_end(job["job_id"])
        assert state["state"] == "FAILED"
        assert state["error"]["code"] == "spool_full"
        assert state["error"]["retryable"]
        assert "spool-bytes" in state["error"]["fix"]
        filler.unlink()
        peer.results.clear()
        peer.submit(again := spec("1-20"))
        assert peer.run_to_end(again["job_id"])["state"] == "DONE"
        in_whole(peer, again["job_id"], 20)


@pytest.mark.fault
def test_a_budget_below_one_frame_is_said_so(tmp_path: Path) -> None:
    """A spool too small for a single frame and its result fails the job for good, with what it would need."""
    flags = ("--spool-bytes", "300K", "--full-s", "1")
    with RunningServer(tmp_path, *flags) as server, sized(Peer(server.endpoint).start()) as peer:
        peer.submit(job := spec("1-3"))
        state = peer.run_to_end(job["job_id"])
        assert (state["state"], state["error"]["code"]) == ("FAILED", "job")
        assert not state["error"]["retryable"]
        assert "--spool-bytes" in state["error"]["fix"]


@pytest.mark.fault
def test_frames_on_shared_storage_need_not_travel(tmp_path: Path) -> None:
    """A shared layer is read by the server itself; missing frames fail alone; killing the reader loses nothing."""
    show = tmp_path / "show" / "seq"
    show.mkdir(parents=True)
    for frame in range(1, 31):
        if frame != 7:
            (show / f"plate.{frame:04d}.exr").write_bytes(frame_bytes(frame, SIZE))
    with (
        RunningServer(tmp_path, "--root", f"show={show.parent}") as server,
        Peer(server.endpoint).start() as peer,
    ):
        shared = {"plate": "show:seq/plate.####.exr"}
        peer.submit(job := spec("1-30", shared=shared, options={"delay_s": 0.02}))
        peer.run(lambda: len(peer.results) >= 5)

        os.kill(server.child("fetch"), signal.SIGKILL)
        assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        assert peer.failed[job["job_id"], 7]["code"] == "frame_missing"
        assert "show:seq/plate.0007.exr" in peer.failed[job["job_id"], 7]["message"]
        assert not peer.needs
        wanted = {f for f in range(1, 31) if f != 7}
        assert peer.results == {(job["job_id"], frame): frame_bytes(frame, SIZE) for frame in wanted}
        answer = peer.submit(spec("1-3", shared={"plate": "show:../secret.####.exr"}))
        assert answer.body["error"]["code"] == "input"
