"""A job that runs in the background: how far it is, stopping it, waiting for it, its result.

handle = client.start(job, on_done=lambda handle: print(handle.progress.state))
while not handle.wait(0.1):
    print(handle.progress.delivered, "of", handle.progress.total)
handle.result()         # raises what went wrong; the error has `.fix`
"""

from __future__ import annotations

import threading
from typing import Callable, Optional

from harmovid.errors import ProtocolError
from harmovid.job import QUEUED, Progress
from harmovid.transport.runner import JobResult, OnProgress

RunJob = Callable[[OnProgress, threading.Event], JobResult]


class JobHandle:
    """A job that runs in a thread of its own. Every method may be called from any thread."""

    def __init__(
        self,
        run: RunJob,
        job_id: str,
        frames: int,
        on_progress: Optional[OnProgress] = None,
        on_done: Optional[Callable[[JobHandle], None]] = None,
    ) -> None:
        """Take the job; `begin` starts it.

        Args:
            run: runs the job to its end; gets a function that takes the progress, and an event that cancels it.
            job_id: the job's id.
            frames: how many frames the job has.
            on_progress: called in the thread with the counts, several times a second; must be quick.
            on_done: called in the thread at the end, whatever the end is; `result` gives it at once then.
        """
        self._run_job = run
        self._on_progress = on_progress
        self._on_done = on_done
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._progress = Progress(job_id, QUEUED, frames)
        self._result: Optional[JobResult] = None
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name="harmovid-job", daemon=True)

    def begin(self) -> None:
        """Start the thread; called once, by who made the handle."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._run_job(self._take, self._cancelled)
            self._progress = self._result.progress
        except BaseException as error:  # the thread's door: `result` raises it where somebody listens
            self._error = error
        self._ended.set()
        if self._on_done is not None:
            self._on_done(self)

    def _take(self, progress: Progress) -> None:
        self._progress = progress
        if self._on_progress is not None:
            self._on_progress(progress)

    @property
    def progress(self) -> Progress:
        """The newest counts; right after the start, a queued job without any."""
        return self._progress

    @property
    def done(self) -> bool:
        """Whether the job has come to its end, good or bad."""
        return self._ended.is_set()

    def cancel(self) -> None:
        """Ask the job to stop; `result` then raises `JobCancelled`. Results that are written stay."""
        self._cancelled.set()

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Wait for the end, at most `timeout_s`; return whether it has come."""
        return self._ended.wait(timeout_s)

    def result(self) -> JobResult:
        """Wait for the end and return the result. Single frames that failed are in `JobResult.failed`.

        Raises:
            HarmoVidError: what `Client.run` would have raised; `fix` says what to do.
        """
        self._ended.wait()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise ProtocolError("the job's thread ended without a result.")
        return self._result

    def join(self, timeout_s: Optional[float] = None) -> bool:
        """Wait until the thread is over, `on_done` included; return whether it is. Within the thread: at once."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()
