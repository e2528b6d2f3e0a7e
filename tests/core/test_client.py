"""A client's run against a server that misbehaves on purpose: nothing is lost, doubled or damaged."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any, Callable, Dict, List

import pytest
from core.ends import MemorySink, MemorySource, plate
from core.reference_server import ReferenceServer
from harmovid.client import Client, Job, JobHandle
from harmovid.errors import (
    EngineFailed,
    EngineUnknown,
    FrameCorrupt,
    FrameMissing,
    JobCancelled,
    JobUnknown,
    OutputError,
    ServerBusy,
    Unreachable,
)
from harmovid.job import CANCELLED, DONE, FAILED, JobSpec, Progress, new_job_id
from harmovid.transport import wire

MIB = 1024 * 1024


def spec(frames: str = "1001-1020", engine: str = "null") -> JobSpec:
    """Return a job with a fresh id."""
    return JobSpec(new_job_id(), engine, frames, ("plate",))


def big(size: int) -> Callable[[int], bytes]:
    """Return a maker of frames of `size` bytes."""
    return lambda frame: plate(frame).ljust(size, bytes([frame % 251]))


def until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    """Wait for something to become true, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def test_every_frame_comes_back_as_the_engine_made_it(server: ReferenceServer) -> None:
    """All results are the bytes the server sent, progress is reported, and the sink is told of the end."""
    sink, told, results = MemorySink(), [], []
    job = spec()
    result = Client(server.address).run(
        job,
        MemorySource(),
        sink,
        on_progress=told.append,
        on_result=lambda f, r: results.append((f, dict(r))),
    )
    assert sink.results == {frame: plate(frame) for frame in range(1001, 1021)}
    assert sorted(results) == [(frame, {"engine": "null"}) for frame in range(1001, 1021)]
    assert (result.job_id, result.progress.state, result.progress.delivered) == (job.job_id, DONE, 20)
    assert (result.failed, result.resumed, sink.state) == ({}, 0, DONE)
    assert result.bytes_sent == result.bytes_received == sum(len(plate(f)) for f in range(1001, 1021))
    assert told[0].state == "QUEUED"
    assert told[-1].state == DONE


def test_files_larger_than_the_credit_pass_both_ways(server: ReferenceServer) -> None:
    """A 20 MiB frame needs credit on the way, and the server never sees more than it granted."""
    make, sink = big(20 * MIB + 7), MemorySink()
    Client(server.address).run(spec("1-3"), MemorySource(make), sink)
    assert sink.results == {frame: make(frame) for frame in (1, 2, 3)}
    assert "ERROR" not in server.log


def test_a_missing_frame_fails_alone(server: ReferenceServer) -> None:
    """The job goes on without the frame, and its error comes back as what it was."""
    sink = MemorySink()
    failed: Dict[int, str] = {}
    result = Client(server.address).run(
        spec("1-6"),
        MemorySource(missing=[3]),
        sink,
        on_failed=lambda frame, error: failed.update({frame: error.code}),
    )
    assert failed == {3: "frame_missing"}
    assert sorted(sink.results) == [1, 2, 4, 5, 6]
    assert list(result.failed) == [3]
    assert isinstance(result.failed[3], FrameMissing)
    assert (result.failed[3].frame, result.failed[3].layer) == (3, "plate")
    assert result.progress.state == DONE


def test_a_source_that_raises_oserror_fails_the_frame_only(server: ReferenceServer) -> None:
    """A host's own source need not know our errors."""

    def make(frame: int) -> bytes:
        if frame == 2:
            raise OSError("stale file handle")
        return plate(frame)

    result = Client(server.address).run(spec("1-3"), MemorySource(make), MemorySink())
    assert result.failed[2].code == "frame_unreadable"
    assert "stale file handle" in result.failed[2].message


def test_a_bug_in_a_source_ends_the_run(server: ReferenceServer) -> None:
    """An exception that is no frame error is not swallowed."""

    def make(frame: int) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Client(server.address).run(spec("1-3"), MemorySource(make), MemorySink())


def test_a_file_beyond_the_servers_limit_is_not_sent(server: ReferenceServer) -> None:
    """The limit in WELCOME is kept before a byte travels."""
    result = Client(server.address).run(spec("1-2"), MemorySource(big((1 << 26) + 1)), MemorySink())
    assert {error.code for error in result.failed.values()} == {"frame_refused"}
    assert result.bytes_sent == 0


@pytest.mark.parametrize("error", [EngineUnknown("none such."), ServerBusy("queue full.", retry_after_s=7.0)])
def test_a_rejected_job_raises_what_the_server_says(server: ReferenceServer, error: Exception) -> None:
    """The first SUBMIT's REJECT is raised at once, with its hints."""
    server.faults.reject = error  # type: ignore[assignment]
    with pytest.raises(type(error)) as caught:
        Client(server.address).run(spec(), MemorySource(), MemorySink())
    assert caught.value.retry_after_s == error.retry_after_s  # type: ignore[attr-defined]


def test_cancel_reaches_the_server(server: ReferenceServer) -> None:
    """Setting the event cancels the job there and raises here, within a second."""
    sink, event, job = MemorySink(), threading.Event(), spec("1-500")

    def watch(progress: Progress) -> None:
        if progress.delivered >= 5:
            event.set()

    with pytest.raises(JobCancelled):
        Client(server.address).run(job, MemorySource(), sink, on_progress=watch, cancel_event=event)
    assert server.jobs[job.job_id].state == CANCELLED
    assert sink.state == CANCELLED
    assert 5 <= len(sink.results) < 500


@pytest.mark.parametrize("keep_jobs", [True, False])
def test_a_server_that_dies_and_returns_is_found_again(server: ReferenceServer, keep_jobs: bool) -> None:
    """The job ends complete and no result is written twice, even if the server forgot everything."""
    sink = MemorySink()
    killed: List[bool] = []

    def on_result(frame: int, report: Any) -> None:
        if len(sink.writes) >= 30 and not killed:
            killed.append(True)
            threading.Thread(target=server.restart, args=(keep_jobs,)).start()

    result = Client(server.address).run(spec("1-120"), MemorySource(), sink, on_result=on_result)
    assert killed
    assert result.progress.state == DONE
    assert sink.results == {frame: plate(frame) for frame in range(1, 121)}
    assert len(sink.writes) == 120
    assert server.log.count("RESUME") >= 1


def test_a_connection_lost_within_a_file_starts_the_file_again(server: ReferenceServer) -> None:
    """Half a result is forgotten with its session, and comes whole in the next one."""
    make, sink = big(30 * MIB), MemorySink()
    sink.gate.clear()
    handle = Client(server.address).start(Job(spec("1-4"), MemorySource(make), sink))
    until(lambda: server.bytes_out > 40 * MIB, 20)
    server.restart()
    sink.gate.set()
    assert handle.result().progress.state == DONE
    assert sink.results == {frame: make(frame) for frame in range(1, 5)}
    assert sorted(sink.writes) == [1, 2, 3, 4]


def test_doubled_results_are_acknowledged_and_written_once(server: ReferenceServer) -> None:
    """A result that comes again is taken for what it is."""
    server.faults.doubled_results = True
    sink = MemorySink()
    Client(server.address).run(spec("1-30"), MemorySource(), sink)
    assert sorted(sink.writes) == list(range(1, 31))
    assert len(server.sent_meta) > 30


def test_a_damaged_result_is_asked_for_again(server: ReferenceServer) -> None:
    """A flipped bit never reaches the sink."""
    server.faults.damaged_results = 2
    sink = MemorySink()
    result = Client(server.address).run(spec("1-3"), MemorySource(), sink)
    assert sink.results == {frame: plate(frame) for frame in (1, 2, 3)}
    assert server.log.count("RESULT_BAD") == 2
    assert result.failed == {}


def test_an_input_refused_for_its_checksum_is_sent_again(server: ReferenceServer) -> None:
    """FRAME_BAD makes the client read and send the file again."""
    server.faults.refused_inputs = 2
    sink = MemorySink()
    Client(server.address).run(spec("7"), MemorySource(), sink)
    assert sink.results == {7: plate(7)}
    assert server.log.count("META") == 3


def test_an_input_refused_three_times_is_given_up(server: ReferenceServer) -> None:
    """The frame fails as corrupt; the next one is not affected."""
    server.faults.refused_inputs = wire.SEND_TRIES
    server._window = 1
    result = Client(server.address).run(spec("7-8"), MemorySource(), MemorySink())
    assert isinstance(result.failed[7], FrameCorrupt)
    assert list(result.failed) == [7]
    assert server.log.count("META") == wire.SEND_TRIES + 1


def test_without_credit_the_client_waits_and_stays_alive(server: ReferenceServer) -> None:
    """A server that grants nothing gets 16 MiB and signs of life, and the rest when it grants again."""
    server.faults.withheld_credit = True
    sink = MemorySink()
    clock = Clock()
    handle = Client(server.address, clock=clock).start(Job(spec("1"), MemorySource(big(40 * MIB)), sink))
    until(lambda: server.bytes_in == wire.CREDIT_BYTES)
    for pings in (1, 2):
        clock.ahead_s += 1.1 * wire.PING_S
        until(lambda pings=pings: server.log.count("PING") >= pings)
    assert server.bytes_in == wire.CREDIT_BYTES
    server.faults.withheld_credit = False
    server.do(lambda: server.grant(next(iter(server.sessions.values())), wire.CREDIT_BYTES))
    assert handle.result().progress.state == DONE
    assert server.log.count("HELLO") == 1


def test_a_slow_sink_holds_the_stream_back(server: ReferenceServer) -> None:
    """While the sink stands still, the client takes no more than its credit and the results that wait."""
    server._window = 40
    sink = MemorySink()
    sink.gate.clear()
    handle = Client(server.address).start(Job(spec("1-40"), MemorySource(big(4 * MIB)), sink))
    until(lambda: server.bytes_in == 160 * MIB)
    time.sleep(0.5)
    assert server.bytes_out <= wire.CREDIT_BYTES + 5 * 4 * MIB
    assert "BYE" not in server.log
    sink.gate.set()
    assert handle.result().progress.delivered == 40


def test_a_job_that_failed_raises_its_error(server: ReferenceServer) -> None:
    """STATE FAILED carries the engine's error; what was delivered stays."""
    server.faults.fail_job_at_ack = 5
    sink = MemorySink()
    with pytest.raises(EngineFailed, match="the engine broke"):
        Client(server.address).run(spec(), MemorySource(), sink)
    assert sink.state == FAILED


def test_a_job_that_failed_before_runs_again_under_a_new_id(server: ReferenceServer) -> None:
    """The same command after a failure starts a new job, and what the sink has is not computed again."""
    server.faults.fail_job_at_ack = 5
    sink, job = MemorySink(), spec()
    with pytest.raises(EngineFailed):
        Client(server.address).run(job, MemorySource(), sink)
    server.faults.fail_job_at_ack = None
    kept = dict(sink.results)
    result = Client(server.address).run(job, MemorySource(), sink)
    assert result.job_id != job.job_id
    assert sink.ids == [job.job_id, job.job_id, result.job_id]
    assert result.resumed == len(kept) >= 5
    assert sorted(sink.writes) == list(range(1001, 1021))


def test_results_lost_after_the_end_are_made_again_under_a_new_id(server: ReferenceServer) -> None:
    """A finished job whose results the user deleted is run anew for those frames."""
    sink, job = MemorySink(), spec("1-8")
    Client(server.address).run(job, MemorySource(), sink)
    del sink.results[3], sink.results[4]
    result = Client(server.address).run(job, MemorySource(), sink)
    assert result.job_id != job.job_id
    assert sorted(sink.writes[8:]) == [3, 4]


def test_a_finished_job_is_recognized(server: ReferenceServer) -> None:
    """A client that died between the last ACK and the end learns at once that all is done."""
    sink, job = MemorySink(), spec("1-8")
    Client(server.address).run(job, MemorySource(), sink)
    result = Client(server.address).run(job, MemorySource(), sink)
    assert (result.job_id, result.resumed, result.progress.state) == (job.job_id, 8, DONE)
    assert len(sink.writes) == 8


def test_a_sink_that_cannot_write_stops_the_run_and_the_job_stays(server: ReferenceServer) -> None:
    """OutputError is raised, the server keeps the job, and the next run goes on where this one stopped."""
    job, source = spec("1-30"), MemorySource()
    full = MemorySink(error=OutputError("the disk is full."), error_at=9)
    with pytest.raises(OutputError, match="the disk is full"):
        Client(server.address).run(job, source, full)
    assert full.state == ""
    assert 9 not in full.results
    sink = MemorySink()
    sink.results.update(full.results)
    result = Client(server.address).run(job, source, sink)
    assert (result.job_id, result.resumed) == (job.job_id, len(full.results))
    assert sorted(sink.writes + full.writes) == list(range(1, 31))


class Clock:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return time.monotonic() + self.ahead_s


class Lost:
    """Notes, as `on_progress`, how often the connection was lost."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, progress: Progress) -> None:
        """Take the progress."""
        self.times += "connection lost" in progress.message


def test_a_silent_server_is_left_and_found_again(server: ReferenceServer) -> None:
    """A server whose loop hangs for longer than 4 s is given up by the connection but not by the run."""
    sink, clock, lost = MemorySink(), Clock(), Lost()
    handle = Client(server.address, patience_s=1e6, clock=clock).start(
        Job(spec("1-400"), MemorySource(), sink), on_progress=lost
    )
    until(lambda: len(sink.results) > 5)
    server.faults.mute = True
    clock.ahead_s += wire.SILENT_S + 0.7
    until(lambda: lost.times > 0)
    server.faults.mute = False
    server.sessions.clear()
    assert handle.result().progress.state == DONE
    assert len(sink.writes) == 400


def test_patience_ends(server: ReferenceServer) -> None:
    """A server that stays away is Unreachable after `patience_s`, and the message says how to go on."""
    sink, clock, lost = MemorySink(), Clock(), Lost()
    sink.gate.clear()
    handle = Client(server.address, patience_s=3600.0, clock=clock).start(
        Job(spec("1-99"), MemorySource(), sink), on_progress=lost
    )
    until(lambda: bool(server.sent_meta))
    server.__exit__()
    sink.gate.set()
    until(lambda: lost.times > 1)
    assert not handle.done
    clock.ahead_s += 3601.0
    with pytest.raises(Unreachable, match="run the same command again"):
        handle.result()
    assert sink.state == ""


def test_a_run_can_be_cancelled_while_the_server_is_away(server: ReferenceServer) -> None:
    """Cancel does not wait for the server to come back."""
    lost = Lost()
    handle = Client(server.address, patience_s=1e6).start(
        Job(spec("1-500"), MemorySource(), MemorySink()), on_progress=lost
    )
    until(lambda: len(server.acks) > 3)
    server.__exit__()
    until(lambda: lost.times > 0)
    handle.cancel()
    with pytest.raises(JobCancelled):
        handle.result()


def test_the_callback_form_reports_its_end(server: ReferenceServer) -> None:
    """`start` returns at once; `on_done` is called in the job's thread with the handle."""
    ended: List[JobHandle] = []
    with Client(server.address) as client:
        handle = client.start(Job(spec(), MemorySource(), MemorySink()), on_done=ended.append)
        assert handle.wait(300)
        assert handle.done
        assert handle.result().progress.state == DONE
        until(lambda: ended == [handle])


def test_closing_the_client_cancels_what_it_started(server: ReferenceServer) -> None:
    """A host that closes leaves no job behind."""
    job = spec("1-5000")
    with Client(server.address) as client:
        handle = client.start(Job(job, MemorySource(), MemorySink()))
        until(lambda: job.job_id in server.jobs)
    with pytest.raises(JobCancelled):
        handle.result()
    assert server.jobs[job.job_id].state == CANCELLED


def test_two_runs_at_once_do_not_disturb_each_other(server: ReferenceServer) -> None:
    """Each run has its own session; both jobs end complete."""
    client = Client(server.address)
    sinks = [MemorySink(), MemorySink()]
    handles = [client.start(Job(spec("1-60"), MemorySource(), sink)) for sink in sinks]
    assert [handle.result().progress.state for handle in handles] == [DONE, DONE]
    assert sinks[0].results == sinks[1].results == {frame: plate(frame) for frame in range(1, 61)}


def test_questions_are_answered(server: ReferenceServer) -> None:
    """Engines, status, cancel and ping work without a data socket."""
    client, job = Client(server.address), spec("1-3")
    assert [engine.name for engine in client.engines()] == ["null"]
    assert client.status() == []
    client.run(replace(job, label="sh010"), MemorySource(), MemorySink())
    (status,) = client.status(job.job_id)
    assert (status.engine, status.label, status.progress.state) == ("null", "sh010", DONE)
    assert client.cancel(job.job_id).state == DONE
    assert client.ping() > 0
    with pytest.raises(JobUnknown):
        client.status(new_job_id())
    with pytest.raises(JobUnknown):
        client.cancel(new_job_id())
