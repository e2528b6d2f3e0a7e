"""One job's run, from SUBMIT to its final state, over as many sessions as it takes (docs/wire.md, 5 to 7).

`Client.run` uses it; see there for what goes in and comes out. The loop below waits on the sockets and on a
wake-up from the two disk threads, and does everything else in between without blocking.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Mapping, Optional

from harmovid.errors import (
    HarmoVidError,
    JobCancelled,
    JobError,
    JobUnknown,
    Unreachable,
    WireError,
    from_wire,
)
from harmovid.frames import FrameRange
from harmovid.job import CANCELLED, EXPIRED, FAILED, FINAL_STATES, QUEUED, JobSpec, Progress, new_job_id
from harmovid.keys import KeyPair
from harmovid.storage.files import Sink, Source
from harmovid.transport import wire
from harmovid.transport.connection import Clock, Connection
from harmovid.transport.transfer import Downloader, Uploader
from harmovid.transport.waker import DaemonExecutor, Waker

# The longest wait of the loop: how late a cancel or a silent server is noticed.
TICK_MS = 100
# How long a write in progress is waited for when a run breaks off.
LAST_WRITE_S = 30.0
# A server that has taken the session but does not answer SUBMIT, RESUME or CANCEL.
REPLY_S = 15.0

OnProgress = Callable[[Progress], None]
OnResult = Callable[[int, Mapping[str, Any]], None]
OnFailed = Callable[[int, HarmoVidError], None]


@dataclass(frozen=True)
class JobResult:
    """What became of a job.

    Attributes:
        job_id: the id it had on the server.
        progress: the last counts, in the final state.
        failed: frame to its error, for frames that have no result.
        reports: frame to what engine and pixels said of it, for results of this run.
        resumed: how many results were there before this run.
        elapsed_s: from `run` to the final state.
        bytes_sent, bytes_received: payload of files.
    """

    job_id: str
    progress: Progress
    failed: Dict[int, HarmoVidError] = field(default_factory=dict)
    reports: Dict[int, Mapping[str, Any]] = field(default_factory=dict)
    resumed: int = 0
    elapsed_s: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True)
class ServerEndpoint:
    """Which server, with which keys, and how patiently.

    `timeout_s` bounds a connect and the wait for an answer; `patience_s` how long a lost server is tried
    again. `clock` tells the time by which all of that is judged.
    """

    address: str
    keys: Optional[KeyPair] = None
    timeout_s: float = 5.0
    patience_s: float = 60.0
    clock: Clock = time.monotonic


class Runner:
    """Runs one job once, in the thread that calls `run`."""

    def __init__(
        self,
        server: ServerEndpoint,
        spec: JobSpec,
        source: Source,
        sink: Sink,
        *,
        on_progress: Optional[OnProgress] = None,
        on_result: Optional[OnResult] = None,
        on_failed: Optional[OnFailed] = None,
        cancelled: Optional[threading.Event] = None,
    ) -> None:
        """Take the job; nothing is connected before `run`."""
        self._server = server
        self._spec = spec
        self._source = source
        self._sink = sink
        self._on_progress = on_progress or (lambda _: None)
        self._on_result = on_result or (lambda _, __: None)
        self._on_failed = on_failed or (lambda _, __: None)
        self._cancelled = cancelled or threading.Event()
        self._failed: Dict[int, HarmoVidError] = {}
        self._progress = Progress(spec.job_id, QUEUED, len(FrameRange.parse(spec.frames)))
        self._final = ""
        self._error: Optional[HarmoVidError] = None
        self._accepted = self._accepted_now = self._renewed = False
        self._requests: Dict[int, str] = {}
        self._deadline_s = 0.0
        self._bytes_sent = 0

    def run(self) -> JobResult:
        """Run the job to its end.

        Raises:
            HarmoVidError: the job was rejected, failed or cancelled; the server is out of reach; the sink
                cannot write. The sink keeps what it has, and the job can be resumed unless it is final.
        """
        begun = self._server.clock()
        self._waker = Waker()
        self._reading, self._writing = DaemonExecutor("harmovid-read"), DaemonExecutor("harmovid-write")
        try:
            self._down = self._downloader()
            resumed = len(self._down.have)
            try:
                self._stay_connected()
            finally:
                self._down.abandon()
        finally:
            # A read that hangs on dead storage must not hold us; a write in progress is worth its moment.
            self._reading.stop(timeout_s=0.0)
            self._writing.stop(LAST_WRITE_S)
            self._waker.close()
            self._sink.finish(self._final)
        self._raise_unless_done()
        return JobResult(
            job_id=self._spec.job_id,
            progress=self._progress,
            failed=dict(sorted(self._failed.items())),
            reports=self._down.reports,
            resumed=resumed,
            elapsed_s=self._server.clock() - begun,
            bytes_sent=self._bytes_sent,
            bytes_received=self._down.bytes_received,
        )

    def _downloader(self) -> Downloader:
        job = self._spec.job_id
        return Downloader(job, self._sink, self._sink.begin(job), self._writing, self._waker.wake)

    def _uploader(self, connection: Connection) -> Uploader:
        return Uploader(connection, self._spec.job_id, self._source, self._reading, self._waker.wake)

    def _raise_unless_done(self) -> None:
        if self._final == CANCELLED:
            raise JobCancelled("the job was cancelled.")
        if self._final in (FAILED, EXPIRED):
            raise self._error or JobError(
                f"the job is {self._final} on the server.", fix="Run the same command again."
            )

    def _stay_connected(self) -> None:
        """Open session after session until the job is final or patience ends."""
        lost_at, delay_s = self._server.clock(), wire.RECONNECT_FIRST_S
        while not self._final:
            try:
                with self._open() as connection:
                    self._converse(connection)
            except (WireError, JobError) as error:
                # After a session that was accepted, `patience_s` starts again.
                if self._accepted_now:
                    lost_at, delay_s = self._server.clock(), wire.RECONNECT_FIRST_S
                self._check_patience(error, lost_at)
                self._tell(message="connection lost, trying again")
                self._pause(delay_s * random.uniform(1.0, 1.5))
                delay_s = min(2 * delay_s, wire.RECONNECT_LAST_S)

    def _open(self) -> Connection:
        self._accepted_now = False
        server = self._server
        return Connection.open(
            server.address,
            server.keys,
            timeout_s=server.timeout_s,
            data=True,
            wake=self._waker,
            stopped=self._cancelled.is_set,
            clock=server.clock,
        )

    def _check_patience(self, error: HarmoVidError, lost_at: float) -> None:
        if not self._accepted or not error.retryable:
            raise error
        if self._server.clock() - lost_at > self._server.patience_s:
            raise Unreachable(
                f"the server is lost for {self._server.patience_s:.0f} s: {error.message}",
                fix="The job stays on the server: run the same command again to continue it.",
            ) from error

    def _pause(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise JobCancelled(
                "stopped while the server is out of reach.", fix="The server drops the job by itself later."
            )

    def _converse(self, connection: Connection) -> None:
        """Drive the job over one session until it is final.

        Raises:
            WireError, JobError: the session or the request failed; `retryable` says whether to go on.
        """
        self._connection = connection
        self._down.attach(connection)
        self._up = self._uploader(connection)
        self._requests.clear()
        self._request("SUBMIT", {"spec": self._spec.to_dict()})
        cancelling = False
        try:
            while not self._final:
                for message in connection.poll(TICK_MS):
                    self._take(message)
                self._waker.clear()
                for frame, report in self._down.settle().items():
                    self._failed.pop(frame, None)  # it was retried at the server
                    self._on_result(frame, report)
                self._up.pump()
                if self._cancelled.is_set() and not cancelling:
                    cancelling = True
                    self._request("CANCEL", {"job": self._spec.job_id})
                if self._requests and self._server.clock() > self._deadline_s:
                    raise Unreachable("the server does not answer.", fix="Look at the server's log.")
        finally:
            self._bytes_sent += self._up.bytes_sent

    def _take(self, message: wire.Message) -> None:
        handler = getattr(self, f"_on_{message.type.lower()}", None)
        if handler is not None and message.body.get("job", self._spec.job_id) == self._spec.job_id:
            handler(message)

    def _request(self, kind: str, body: Mapping[str, Any]) -> None:
        ref = self._connection.ref()
        self._requests[ref] = kind
        self._deadline_s = self._server.clock() + REPLY_S
        self._connection.send(kind, body, ref)

    def _tell(self, **changes: Any) -> None:
        self._show(replace(self._progress, **changes))

    def _show(self, progress: Progress) -> None:
        """Pass the counts on; not while the server has yet to hear what is there, and counts it as missing."""
        self._progress = progress
        if "RESUME" not in self._requests.values() or progress.state in FINAL_STATES:
            self._on_progress(progress)

    # What the server says, one method per message type of docs/wire.md.

    def _answered(self, message: wire.Message) -> str:
        """Return which request this answers."""
        return self._requests.pop(message.ref, "") if message.ref is not None else ""

    def _on_accept(self, message: wire.Message) -> None:
        kind = self._answered(message)
        progress = wire.progress_from(message.body)
        if kind == "SUBMIT":
            first, self._accepted, self._accepted_now = not self._accepted, True, True
            if first and progress.state in (FAILED, CANCELLED, EXPIRED):
                # An earlier run of this job ended badly; what it wrote counts for a new one.
                self._start_anew()
                return
            begun = progress.state != QUEUED or progress.received or progress.failed
            if begun or not first or self._down.have:
                have = wire.pack_have(self._down.have)
                self._request("RESUME", {"job": self._spec.job_id, "have": have})
        elif kind == "CANCEL" and progress.state in FINAL_STATES:
            self._final = progress.state
        self._show(progress)

    def _start_anew(self) -> None:
        """Submit the same job under a new id; the sink keeps what it has."""
        self._renewed = True
        self._spec = replace(self._spec, job_id=new_job_id())
        self._failed.clear()
        self._down = self._downloader()
        self._down.attach(self._connection)
        self._up = self._uploader(self._connection)
        self._request("SUBMIT", {"spec": self._spec.to_dict()})

    def _on_reject(self, message: wire.Message) -> None:
        kind = self._answered(message)
        error = from_wire(message.body["error"])
        if kind == "RESUME" and isinstance(error, JobUnknown) and not self._renewed:
            self._start_anew()
        elif kind == "CANCEL":
            self._final = CANCELLED  # nothing left there to cancel
        elif kind:
            raise error

    def _on_state(self, message: wire.Message) -> None:
        self._show(wire.progress_from(message.body))
        if self._progress.state in FINAL_STATES:
            if "error" in message.body:
                self._error = from_wire(message.body["error"])
            self._final = self._progress.state

    def _on_frame_failed(self, message: wire.Message) -> None:
        error = from_wire(message.body["error"])
        error.frame = message.body["frame"]
        is_new = error.frame not in self._failed
        self._failed[message.body["frame"]] = error
        if is_new:  # after a reconnection the server tells all of them again
            self._on_failed(message.body["frame"], error)

    def _on_error(self, message: wire.Message) -> None:
        if message.body["scope"] == "job":
            raise from_wire(message.body["error"])

    def _on_need(self, message: wire.Message) -> None:
        self._up.need(message.body["items"])

    def _on_frame_bad(self, message: wire.Message) -> None:
        self._up.refused(message.body["layer"], message.body["frame"], from_wire(message.body["error"]))

    def _on_credit(self, message: wire.Message) -> None:
        self._up.grant(message.body["bytes"])

    def _on_result_meta(self, message: wire.Message) -> None:
        self._down.meta(message.body)

    def _on_result_chunk(self, message: wire.Message) -> None:
        self._down.chunk(message.body)

    def _on_drain(self, message: wire.Message) -> None:
        self._tell(message=f"the server stops within {message.body['deadline_s']:.0f} s")
