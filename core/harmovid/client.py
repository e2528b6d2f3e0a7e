"""The client: ask a server for its engines and jobs, and run a job from source to sink.

    with Client("tcp://render01:5570", keys=load_secret("anna.secret")) as client:
        for engine in client.engines(): ...
        result = client.run(spec, source, sink, on_progress=print)

Importable in hosts (Python 3.9, no numpy). A client may be used from several threads: every question and
every run has a session of its own. `run` blocks; `start` runs in a thread and returns a handle.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional

from harmovid.errors import ProtocolError
from harmovid.job import EngineInfo, JobSpec, Progress
from harmovid.keys import KeyPair
from harmovid.storage.files import Sink, Source
from harmovid.transport import wire
from harmovid.transport.connection import Session, parse_address
from harmovid.transport.runner import JobResult, OnProgress, OnResult, Runner, Where

__all__ = ["Client", "JobHandle", "JobResult", "JobStatus"]


@dataclass(frozen=True)
class JobStatus:
    """One of the user's jobs as the server lists it; `age_s` is the time since it was submitted."""

    progress: Progress
    engine: str = ""
    label: str = ""
    age_s: float = 0.0


class JobHandle:
    """A job that runs in a thread of its own."""

    def __init__(
        self, run: Callable[[], JobResult], cancelled: threading.Event, on_done: Callable[[JobHandle], None]
    ) -> None:
        """Start the thread; `on_done` is called in it at the end, whatever the end is."""
        self._call = run
        self._cancelled = cancelled
        self._on_done = on_done
        self._result: Optional[JobResult] = None
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name="harmovid-job", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:  # the thread's door: `result` raises it where somebody listens
            self._error = error
        self._on_done(self)

    @property
    def done(self) -> bool:
        """Whether the job has come to its end, good or bad."""
        return self._result is not None or self._error is not None

    def cancel(self) -> None:
        """Ask the job to stop; `result` then raises `JobCancelled`."""
        self._cancelled.set()

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Wait for the end, at most `timeout_s`; return whether it has come."""
        self._thread.join(timeout_s)
        return self.done

    def result(self) -> JobResult:
        """Wait for the end and return the result, or raise what `Client.run` would have raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise ProtocolError("the job's thread ended without a result.")
        return self._result


class Client:
    """A server, as seen from here. Holds no connection between calls."""

    def __init__(
        self,
        address: str,
        keys: Optional[KeyPair] = None,
        timeout_s: float = 5.0,
        patience_s: float = 60.0,
    ) -> None:
        """Remember where the server is.

        Args:
            address: "tcp://host:port", "host:port" or "host".
            keys: our key pair with the server's public key in it; None for a server without keys.
            timeout_s: how long a connect and each answer may take.
            patience_s: how long a running job tries to find a lost server again.

        Raises:
            InputError: the address cannot be read.
        """
        parse_address(address)
        self._where = Where(address, keys, timeout_s, patience_s)
        self._running: List[threading.Event] = []

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the jobs that `start` began and that still run."""
        for cancelled in list(self._running):
            cancelled.set()

    def engines(self) -> List[EngineInfo]:
        """Return the server's engines with their options.

        Raises:
            WireError: no answer, wrong keys, no common version.
        """
        answer = self._ask("ENGINES", {})
        try:
            return [EngineInfo.from_dict(engine) for engine in answer["engines"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProtocolError(f"the server describes an engine wrongly: {error!r}.") from error

    def status(self, job_id: Optional[str] = None) -> List[JobStatus]:
        """Return one job or all of this user's jobs, the newest first.

        Raises:
            JobUnknown: no such job, or not ours. WireError: see `engines`.
        """
        rows = self._ask("STATUS", {"job": job_id} if job_id else {})["jobs"]
        return [
            JobStatus(
                wire.progress_from(row), row.get("engine", ""), row.get("label", ""), row.get("age_s", 0.0)
            )
            for row in rows
        ]

    def cancel(self, job_id: str) -> Progress:
        """Cancel a job; return what it came to. A job that is over stays as it is.

        Raises:
            JobUnknown: no such job, or not ours. WireError: see `engines`.
        """
        return wire.progress_from(self._ask("CANCEL", {"job": job_id}))

    def ping(self) -> float:
        """Return the seconds of one round trip on an open session.

        Raises:
            WireError: see `engines`.
        """
        with self._session() as session:
            begun = time.monotonic()
            session.request("PING", None, self._where.timeout_s)
            return time.monotonic() - begun

    def run(
        self,
        spec: JobSpec,
        source: Source,
        sink: Sink,
        *,
        on_progress: Optional[OnProgress] = None,
        on_result: Optional[OnResult] = None,
        cancel_event: Optional[threading.Event] = None,
    ) -> JobResult:
        """Run a job and return when every frame is in the sink or failed.

        A lost connection or a restarted server is found again for `patience_s`, and the job goes on where it
        was. Single frames that fail are in `JobResult.failed`; they do not end the job.

        Args:
            spec: the job; submitting the same `job_id` again continues that job.
            source: the inputs.
            sink: takes the results.
            on_progress: called with the counts, several times a second, in this thread; must be quick.
            on_result: called with frame and report when a result is in the sink, in this thread.
            cancel_event: set it to cancel the job.

        Raises:
            JobError: rejected, failed, cancelled. WireError: the server cannot be reached (any more).
            OutputError: the sink cannot write; the job stays on the server and can be resumed.
        """
        return Runner(
            self._where,
            spec,
            source,
            sink,
            on_progress=on_progress,
            on_result=on_result,
            cancelled=cancel_event,
        ).run()

    def start(
        self,
        spec: JobSpec,
        source: Source,
        sink: Sink,
        *,
        on_progress: Optional[OnProgress] = None,
        on_result: Optional[OnResult] = None,
        on_done: Optional[Callable[[JobHandle], None]] = None,
    ) -> JobHandle:
        """Run a job in a thread of its own; arguments as in `run`, the callbacks come from that thread."""
        cancelled = threading.Event()
        self._running.append(cancelled)

        def finished(handle: JobHandle) -> None:
            self._running.remove(cancelled)
            if on_done is not None:
                on_done(handle)

        def run() -> JobResult:
            return self.run(
                spec, source, sink, on_progress=on_progress, on_result=on_result, cancel_event=cancelled
            )

        return JobHandle(run, cancelled, finished)

    def _session(self) -> Session:
        where = self._where
        return Session.open(where.address, where.keys, timeout_s=where.timeout_s, data=False)

    def _ask(self, kind: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._session() as session:
            return session.request(kind, body, self._where.timeout_s).body
