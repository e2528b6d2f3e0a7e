"""Finds the job files of a folder and runs them, the oldest first, one after the other.

    with connect() as client:
        watcher = Watcher(Path("/mnt/drop"), client)
        while True:
            watcher.step()                  # one look at the folder; runs what is ready
            time.sleep(2)

A job starts when neither its job file nor its inputs have changed between two looks, so that files which are still
being copied are not taken. What is killed in the middle goes on at the next start.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol

from harmovid.client import Client
from harmovid.errors import HarmoVidError, InputError
from harmovid.job_files import JobFiles
from harmovid.job_handle import JobHandle
from harmovid.watch import status as states
from harmovid.watch.job_file import SUFFIX, JobFile
from harmovid.watch.status import Status

RETRY_S = 30.0
"""How long a job waits for its next try after an error that may pass, such as a server that is away."""
SAVE_S = 1.0
WAIT_S = 0.1

Say = Callable[[str], None]


class JobListener(Protocol):
    """Hears the course of each job that a watcher runs; called from the job's thread and from the watcher's."""

    def started(self, path: Path, job: JobFiles) -> None:
        """A job file's job is about to be sent."""

    def frame(self, path: Path, frame: int, report: Mapping[str, Any]) -> None:
        """A result is on the disk."""

    def ended(self, path: Path, failed: Mapping[int, HarmoVidError], error: Optional[HarmoVidError]) -> None:
        """The job is over: its failed frames, and the error that ended it before its time, if one did."""


@dataclass(frozen=True)
class _Ready:
    """A job that can be run."""

    said: JobFile
    job: JobFiles
    status: Status


class Watcher:
    """A watched folder. `step` is called again and again, by one thread of one process."""

    def __init__(
        self,
        folder: Path,
        client: Client,
        say: Say = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        listener: Optional[JobListener] = None,
    ) -> None:
        """Remember the folder.

        Args:
            folder: where job files are dropped; folders in it are not searched for job files.
            client: runs the jobs; its owner closes it.
            say: gets a line whenever a job's state changes.
            clock: seconds, for retries.
            listener: hears what becomes of each job.

        Raises:
            InputError: there is no such folder.
        """
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}.", fix="Make it, or name another.")
        self._folder, self._client, self._say, self._clock = folder, client, say, clock
        self._listener = listener
        self._seen: Dict[Path, Any] = {}
        self._retry_at: Dict[Path, float] = {}
        self._stopped = False
        self._handle: Optional[JobHandle] = None

    def stop(self) -> None:
        """Let the running job go, to be taken up again by the next watcher; may be called from any thread."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()

    def step(self) -> List[Path]:
        """Look at the folder once and run every job that is ready; return the job files that were run.

        Raises:
            OutputError: a status cannot be written.
        """
        ran: List[Path] = []
        for path in self._job_files():
            if self._stopped:
                break
            ready = self._ready(path)
            if ready is not None:
                self._run(ready)
                ran.append(path)
        return ran

    def _job_files(self) -> List[Path]:
        """Return the job files, the oldest first; `._*` files of macOS and hidden ones are none."""
        found = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            if not path.name.startswith("."):
                try:
                    found.append((path.stat().st_mtime_ns, path))
                except OSError:
                    continue  # it was taken away just now
        return [path for _, path in sorted(found)]

    def _ready(self, path: Path) -> Optional[_Ready]:
        """Return the job if it can be run now; otherwise say in its status what it waits for."""
        before = states.load(path)
        status, again = Status(states.WAITING), False
        try:
            said = JobFile.read(path)
            status = replace(status, digest=said.digest, results=said.out)
            if before is not None and before.state in states.ENDED and before.digest != said.digest:
                before = None
            if self._clock() < self._retry_at.get(path, 0.0):
                return None
            # Killed after its last result, before it could say so: the results in its place are its own.
            again = before is not None and (before.state, before.digest) == (states.RUNNING, said.digest)
            job = said.prepare(self._client.engine(said.engine), self._client.roots, again)
        except HarmoVidError as error:
            self._blocked(path, status, error, before)
            return None
        status = replace(status, inputs=job.source.fingerprint(job.frames), frames=len(job.frames))
        if before is not None and before.state in states.ENDED and before.inputs == status.inputs:
            return None
        key = (status.digest, status.inputs)
        settled = self._seen.get(path) == key
        self._seen[path] = key
        if not settled:
            if not again:  # that it was running has to be known until it runs
                self._tell(path, status, before)
            return None
        return _Ready(said, job, replace(status, warnings=tuple(job.warnings)))

    def _blocked(self, path: Path, status: Status, error: HarmoVidError, before: Optional[Status]) -> None:
        """Say why a job cannot start. One that has ended stays as it is, whatever became of its inputs."""
        if before is not None and before.state in states.ENDED:
            return
        if error.retryable:
            self._retry_at[path] = self._clock() + RETRY_S
        self._tell(path, status.because(states.BLOCKED, error), before)

    def _run(self, ready: _Ready) -> None:
        """Run one job to its end and write what became of it."""
        path, status = ready.said.path, replace(ready.status, state=states.RUNNING)
        self._tell(path, status, None)
        reports: Dict[str, Any] = {}

        def arrived(frame: int, report: Mapping[str, Any]) -> None:
            reports[str(frame)] = dict(report)
            if self._listener is not None:
                self._listener.frame(path, frame, report)

        try:
            if self._listener is not None:
                self._listener.started(path, ready.job)
            self._handle = self._client.start(ready.job, on_result=arrived)
            self._follow(path, status)
            result = self._handle.result()
        except HarmoVidError as error:
            if self._listener is not None:
                self._listener.ended(path, {}, error)
            if self._stopped:
                return
            if error.retryable:
                self._retry_at[path] = self._clock() + RETRY_S
            state = states.BLOCKED if error.retryable else states.FAILED
            self._tell(path, replace(status.because(state, error), reports=reports), status)
            return
        finally:
            self._handle = None
        if self._listener is not None:
            self._listener.ended(path, result.failed, None)
        failed = {str(frame): str(error) for frame, error in sorted(result.failed.items())}
        self._tell(
            path,
            replace(
                status,
                state=states.INCOMPLETE if failed else states.DONE,
                delivered=status.frames - len(failed),
                failed=failed,
                reports=reports,
            ),
            status,
        )

    def _follow(self, path: Path, status: Status) -> None:
        """Keep the counts in the status while the job runs."""
        handle, saved_s = self._handle, self._clock()
        while handle is not None and not handle.wait(WAIT_S):
            if self._clock() - saved_s >= SAVE_S:
                replace(status, delivered=handle.progress.delivered).save(path)
                saved_s = self._clock()

    def _tell(self, path: Path, status: Status, before: Optional[Status]) -> None:
        """Write the status, and say it where it is new."""
        if before is not None and (before.state, before.error) == (status.state, status.error):
            return
        status.save(path)
        reason = f": {status.error} {status.fix}" if status.error else ""
        self._say(f"{path.name}: {status.state}{reason}")
