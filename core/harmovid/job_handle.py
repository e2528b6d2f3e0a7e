"""A job that runs in the background: its progress, cancelling it, waiting for it, its result.

handle = client.start(job, on_done=lambda handle: print(handle.progress.state))
while not handle.wait(0.1):
    print(handle.progress.delivered, "of", handle.progress.total)
handle.result()         # raises the error of a failed job; it has `.fix`
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
            run: runs the job to its end; its arguments are a function to call with progress, and an event that cancels.
            job_id: the job's id.
            frames: how many frames the job has.
            on_progress: called in the thread with the counts, several times a second; must be quick.
            on_done: called in the thread when the job has ended, in whatever way; `result` then returns at once.
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
        """Start the thread. Called once, by the creator of the handle."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._run_job(self._take, self._cancelled)
            self._progress = self._result.progress
        except BaseException as error:  # `result` raises it in the caller's thread
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
        """The latest state and counts; right after the start a queued job with counts of 0."""
        return self._progress

    @property
    def done(self) -> bool:
        """Whether the job has ended, successfully or not."""
        return self._ended.is_set()

    def cancel(self) -> None:
        """Ask the job to stop; `result` then raises `JobCancelled`. Results that are already written stay."""
        self._cancelled.set()

    def wait(self, timeout_s: Optional[float] = None) -> bool:
        """Wait for the end, at most `timeout_s` seconds; return whether the job has ended."""
        return self._ended.wait(timeout_s)

    def result(self) -> JobResult:
        """Wait for the end and return the result. Single frames that failed are in `JobResult.failed`.

        Raises:
            HarmoVidError: the error that `Client.run` would have raised; `fix` says what to do.
        """
        self._ended.wait()
        if self._error is not None:
            raise self._error
        if self._result is None:
            raise ProtocolError("the job's thread ended without a result.")
        return self._result

    def join(self, timeout_s: Optional[float] = None) -> bool:
        """Wait for the end of the thread, including `on_done`; return whether it has ended. In that thread, at once."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()
