"""The client: ask a server for its engines and jobs, and run jobs.

    with connect(load_settings()) as client:            # the server in the settings, or a private one
        engine = client.engine("harmonize")
        handle = client.start(JobFiles.prepare(engine, inputs, out), on_done=...)

Importable in hosts (Python 3.9, no numpy). A client may be used from several threads: every request and every job
has its own connection. `start` runs a job in a thread and returns a handle; `run` blocks, and takes any source and
sink.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Tuple

from harmovid import engines
from harmovid.embedded import EmbeddedServer
from harmovid.errors import FrameMissing, InputError, ProtocolError, Unreachable
from harmovid.file_plan import Roots
from harmovid.frames import FrameRange
from harmovid.job import FINAL_STATES, EngineInfo, JobSpec, Progress
from harmovid.job_handle import JobHandle
from harmovid.keys import KeyPair, load_secret
from harmovid.settings import Settings, load_settings, secret_file
from harmovid.storage.files import Sink, Source
from harmovid.transport import wire
from harmovid.transport.connection import Clock, Connection, parse_address
from harmovid.transport.runner import JobResult, OnFailed, OnProgress, OnResult, Runner, ServerEndpoint

__all__ = [
    "Client", "FrameStatus", "Job", "JobHandle", "JobResult", "JobStatus", "WorkerStatus", "connect",
]  # fmt: skip


@dataclass(frozen=True)
class JobStatus:
    """A job in the server's list.

    `age_s` is the time since it was submitted, `user` the name of its owner's key in the server's list. `connected`
    is whether its client is there, `spec` what it sent; both are None where the server does not tell them: `spec` only
    where one job is asked for, and both not by an older server.
    """

    progress: Progress
    engine: str = ""
    label: str = ""
    age_s: float = 0.0
    user: str = ""
    connected: Optional[bool] = None
    spec: Optional[JobSpec] = None


@dataclass(frozen=True)
class FrameStatus:
    """The server's record of a frame.

    Attributes:
        state: "computed" or "failed".
        report, error: as in the wire protocol; empty if there is none.
        previews: whether `Client.preview` has pictures of it.
    """

    frame: int
    state: str
    report: Dict[str, Any]
    error: Dict[str, Any]
    previews: bool = False


@dataclass(frozen=True)
class WorkerStatus:
    """An engine process: its engines, the number of jobs that it runs, and the ids of those that this user may see."""

    name: str
    engines: Tuple[str, ...]
    running: int
    jobs: Tuple[str, ...]


class Startable(Protocol):
    """The argument of `Client.start`: `JobFiles`, or a `Job` with your own source and sink."""

    @property
    def sink(self) -> Sink:
        """The sink of results; read before `spec`."""

    @property
    def source(self) -> Source:
        """The source of inputs."""

    @property
    def spec(self) -> JobSpec:
        """The specification sent to the server."""

    def close(self, state: str = "") -> None:
        """Release resources at the end of the job."""


@dataclass(frozen=True)
class Job:
    """A job with your own source and sink; `harmovid.storage.files` defines their methods."""

    spec: JobSpec
    source: Source
    sink: Sink

    def close(self, state: str = "") -> None:
        """Do nothing: source and sink belong to the caller."""


def connect(settings: Optional[Settings] = None) -> Client:
    """Return a client of the server in the settings, or of a private server on this machine.

    Nothing is connected or started before the first request. A private server is started by the first request or job
    and stopped by `Client.close`.

    Args:
        settings: default the user's settings (`load_settings()`).

    Raises:
        InputError: the address cannot be parsed. KeyFileError: the key cannot be read.
    """
    settings = load_settings() if settings is None else settings
    if not settings.server:
        return Client(private=EmbeddedServer(python=settings.python))
    keys = load_secret(secret_file(settings.key)) if settings.key else None
    return Client(settings.server, keys, roots=settings.roots)


class Client:
    """A client of one server. Keeps no connection between calls.

    Attributes:
        roots: local folders that the server reads itself, for `JobFiles.prepare`; empty with a private server.
        is_private: whether the server is a private one, on this machine and with its settings.
    """

    def __init__(
        self,
        address: str = "",
        keys: Optional[KeyPair] = None,
        timeout_s: float = 5.0,
        patience_s: float = 60.0,
        *,
        private: Optional[EmbeddedServer] = None,
        roots: Roots = (),
        clock: Clock = time.monotonic,
    ) -> None:
        """Store the server's address; connect to nothing.

        Args:
            address: "tcp://host:port", "host:port" or "host"; "" with a private server.
            keys: the client's key pair with the server's public key; None for a server without keys.
            timeout_s: time limit for connecting and for each answer.
            patience_s: how long a running job tries to reconnect to a lost server.
            private: a server that is started when it is needed and stopped by `close`.
            roots: local folders that the server mounts under a root name, the longest first.
            clock: the clock for these time limits.

        Raises:
            InputError: the address cannot be parsed.
        """
        if private is None:
            parse_address(address)
        self._server = ServerEndpoint(address, keys, timeout_s, patience_s, clock)
        self._private = private
        self.is_private = private is not None
        self.roots = roots
        self._handles: List[JobHandle] = []
        # Guards the start of a private server, and `_closed` together with it.
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the jobs that `start` began, wait for the end of their threads, and stop a private server.

        May be called again, and from a job's callback; then that job's own thread is not waited for.
        """
        self._closed = True
        handles = list(self._handles)
        for handle in handles:
            handle.cancel()
        for handle in handles:
            handle.join()
        with self._lock:
            if self._private is not None:
                self._private.stop()

    def engine(self, name: str) -> EngineInfo:
        """Return the engine of that name, or the default engine of the task of that name.

        Raises:
            EngineUnknown: there is neither. WireError: see `engines`.
        """
        return engines.choose(self.engines(), name)

    def engines(self) -> List[EngineInfo]:
        """Return the server's engines with their options.

        Raises:
            WireError: no answer, wrong keys, no common version.
        """
        answer = self._ask("ENGINES", {})
        try:
            return [EngineInfo.from_dict(engine) for engine in answer["engines"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(f"the server's description of an engine is invalid: {error!r}.") from error

    def status(self, job_id: Optional[str] = None) -> List[JobStatus]:
        """Return one job or all of this user's jobs, the newest first; with an administrator's key those of all users.

        Raises:
            JobUnknown: no such job of this user. WireError: see `engines`.
        """
        rows = self._ask("STATUS", {"job": job_id} if job_id else {})["jobs"]
        return [
            JobStatus(
                wire.progress_from(row), row.get("engine", ""), row.get("label", ""), row.get("age_s", 0.0),
                row.get("user", ""), row.get("connected"),
                JobSpec.from_dict(row["spec"]) if "spec" in row else None,
            )
            for row in rows
        ]  # fmt: skip

    def frames(self, job_id: str, at: int = 0) -> Tuple[List[FrameStatus], int]:
        """Return the server's records of a job's frames, and the position for the next call.

        A later record of a frame replaces an earlier one.

        Args:
            at: 0, or the position returned by an earlier call.

        Raises:
            JobUnknown: no such job of this user. ProtocolError: the server is older than this request.
            WireError: see `engines`.
        """
        found: List[FrameStatus] = []
        while True:
            answer = self._ask("FRAMES", {"job": job_id, "at": at})
            found += [_frame_status(row) for row in answer["frames"]]
            if answer["at"] <= at:
                return found, at
            at = answer["at"]

    def preview(self, job_id: str, frame: int, side: str) -> Optional[bytes]:
        """Return a small JPEG of a frame, "before" or "after"; None if the server keeps none.

        Raises:
            JobUnknown, ProtocolError, WireError: see `frames`.
        """
        try:
            return bytes(self._ask("PREVIEW", {"job": job_id, "frame": frame, "side": side})["data"])
        except FrameMissing:
            return None

    def workers(self) -> List[WorkerStatus]:
        """Return the server's engine processes.

        Raises:
            ProtocolError, WireError: see `frames`.
        """
        rows = self._ask("WORKERS", {})["workers"]
        try:
            return [
                WorkerStatus(
                    str(row["name"]),
                    tuple(map(str, row["engines"])),
                    int(row["running"]),
                    tuple(map(str, row["jobs"])),
                )
                for row in rows
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"the server's description of a worker is invalid: {error!r}.") from error

    def cancel(self, job_id: str) -> Progress:
        """Cancel a job and return its state. A job that has ended stays unchanged.

        Raises:
            JobUnknown: no such job of this user. WireError: see `engines`.
        """
        return wire.progress_from(self._ask("CANCEL", {"job": job_id}))

    def retry(self, job_id: str) -> Progress:
        """Have the failed frames of a job made once more and return its state. A job that has ended stays unchanged.

        The job's own client sends these frames again; see `JobStatus.connected`.

        Raises:
            JobUnknown: no such job of this user. ProtocolError: the server is older than this request.
            WireError: see `engines`.
        """
        return wire.progress_from(self._ask("RETRY", {"job": job_id}))

    def ping(self) -> float:
        """Return the seconds of one round trip on an open connection.

        Raises:
            WireError: see `engines`.
        """
        with self._connection() as connection:
            begun = time.monotonic()
            connection.request("PING", None, self._server.timeout_s)
            return time.monotonic() - begun

    def run(
        self,
        spec: JobSpec,
        source: Source,
        sink: Sink,
        *,
        on_progress: Optional[OnProgress] = None,
        on_result: Optional[OnResult] = None,
        on_failed: Optional[OnFailed] = None,
        cancel_event: Optional[threading.Event] = None,
    ) -> JobResult:
        """Run a job and return when every frame is in the sink or has failed.

        After a lost connection or a restart of the server the client reconnects for up to `patience_s`, and the job
        continues. Single frames that fail are in `JobResult.failed`; they do not end the job.

        Args:
            spec: the job; submitting the same `job_id` again continues that job.
            source: the inputs.
            sink: stores the results.
            on_progress: called with the counts, several times a second, in this thread; must be quick.
            on_result: called with frame and report when a result is in the sink, in this thread.
            on_failed: called with frame and error when a frame has failed, in this thread.
            cancel_event: set it to cancel the job.

        Raises:
            JobError: the job was rejected, failed or cancelled. WireError: the server cannot be reached (any more).
            OutputError: the sink cannot write; the job stays on the server and can be resumed.
        """
        return Runner(
            self._endpoint(),
            spec,
            source,
            sink,
            on_progress=on_progress,
            on_result=on_result,
            on_failed=on_failed,
            cancelled=cancel_event,
        ).run()

    def start(
        self,
        job: Startable,
        *,
        on_progress: Optional[OnProgress] = None,
        on_result: Optional[OnResult] = None,
        on_failed: Optional[OnFailed] = None,
        on_done: Optional[Callable[[JobHandle], None]] = None,
    ) -> JobHandle:
        """Run a job in its own thread and return its handle at once.

        Args:
            job: from `JobFiles.prepare`; or a `Job`.
            on_progress: called with the counts, several times a second; must be quick.
            on_result: called with frame and report when a result is stored.
            on_failed: called with frame and error when a frame has failed; the others go on.
            on_done: called with the handle when the job has ended, in whatever way. All four are called in the job's
                thread.

        Raises:
            OutputError: the results cannot be written, or exist already.
            InputError: this client is closed.
        """
        if self._closed:
            raise InputError("this client is closed.", fix="Connect again.")
        sink, source, spec = job.sink, job.source, job.spec

        def run(tell: OnProgress, cancelled: threading.Event) -> JobResult:
            return self.run(
                spec, source, sink,
                on_progress=tell, on_result=on_result, on_failed=on_failed, cancel_event=cancelled,
            )  # fmt: skip

        def finished(handle: JobHandle) -> None:
            job.close(handle.progress.state if handle.progress.state in FINAL_STATES else "")
            try:
                if on_done is not None:
                    on_done(handle)
            finally:
                self._handles.remove(handle)

        handle = JobHandle(run, spec.job_id, len(FrameRange.parse(spec.frames)), on_progress, finished)
        self._handles.append(handle)
        handle.begin()
        return handle

    def _endpoint(self) -> ServerEndpoint:
        """Return the server's address; start a private server if it does not run.

        Raises:
            InputError: this client is closed, or no server can be started here. Unreachable: it did not start.
        """
        if self._private is None:
            return self._server
        with self._lock:
            if self._closed:
                raise InputError("this client is closed.", fix="Connect again.")
            self._private.start()
            return replace(self._server, address=self._private.address, keys=self._private.keys)

    def _connection(self) -> Connection:
        server = self._endpoint()
        return Connection.open(
            server.address, server.keys, timeout_s=server.timeout_s, data=False, clock=server.clock
        )

    def _ask(self, kind: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._connection() as connection:
            try:
                return connection.request(kind, body, self._server.timeout_s).body
            except Unreachable:
                pass  # WELCOME and then silence: usually a busy machine; every request may be repeated
        with self._connection() as connection:
            return connection.request(kind, body, self._server.timeout_s).body


def _frame_status(row: Mapping[str, Any]) -> FrameStatus:
    """Return a row of FRAME_LIST; a report or error that is not a map is left out."""
    report, error = row.get("report"), row.get("error")
    try:
        return FrameStatus(
            int(row["frame"]),
            str(row["state"]),
            report if isinstance(report, dict) else {},
            error if isinstance(error, dict) else {},
            row.get("previews") is True,
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise ProtocolError(f"the server's record of a frame is invalid: {wrong!r}.") from wrong
