"""Finds the job files of a folder and runs them, the oldest first, one after the other.

    with connect() as client:
        watcher = Watcher(Path("/mnt/drop"), client)
        while True:
            watcher.step()                  # one scan of the folder; runs the jobs that are ready
            time.sleep(2)

A job starts if neither its job file nor its inputs have changed between two scans, so that files which are still being
copied are not processed. A killed job is resumed at the next start.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from harmovid.client import Client
from harmovid.errors import HarmoVidError, InputError, OutputError
from harmovid.watch import status as states
from harmovid.watch.films import Films
from harmovid.watch.job_file import SUFFIX, JobFile
from harmovid.watch.ledger import forget, own_results
from harmovid.watch.run import JobEnd, JobListener, JobRun, Ready
from harmovid.watch.status import Status

RETRY_S = 30.0
"""Pause before a job is tried again after a temporary error, such as a server that is away."""

Say = Callable[[str], None]


class Watcher:
    """A watched folder. `step` is called repeatedly, by one thread of one process."""

    def __init__(
        self,
        folder: Path,
        client: Client,
        say: Say = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
        listener: Optional[JobListener] = None,
    ) -> None:
        """Take the folder; run nothing yet.

        Args:
            folder: where job files are dropped; folders in it are not searched for job files.
            client: runs the jobs; the caller closes it.
            say: called with a line of text whenever a job's state changes.
            clock: a clock in seconds, for retries.
            listener: gets the events of each job.

        Raises:
            InputError: there is no such folder.
        """
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}.", fix="Make it, or name another.")
        self._folder, self._client, self._say, self._clock = folder, client, say, clock
        self._listener = listener
        self._seen: Dict[Path, Any] = {}
        self._retry_at: Dict[Path, float] = {}
        self._stopped = self._looked = False
        self._running: Optional[JobRun] = None

    def stop(self) -> None:
        """Stop the running job, which the next watcher resumes; may be called from any thread."""
        self._stopped = True
        if self._running is not None:
            self._running.stop()

    def step(self) -> List[Path]:
        """Scan the folder once and run every job that is ready; return the job files that were run.

        Raises:
            OutputError: a status cannot be written.
        """
        ran: List[Path] = []
        if not self._looked:
            self._looked = True
            states.remove_leftovers(self._folder)
        for path in self._job_files():
            if self._stopped:
                break
            ready = self._ready(path)
            if ready is not None:
                self._run(ready)
                ran.append(path)
        return ran

    def _job_files(self) -> List[Path]:
        """Return the job files, the oldest first, without `._*` files of macOS and hidden ones."""
        found = []
        for path in self._folder.glob(f"*{SUFFIX}"):
            if not path.name.startswith("."):
                try:
                    found.append((path.stat().st_mtime_ns, path))
                except OSError:
                    continue  # it has just been removed
        return [path for _, path in sorted(found)]

    def _ready(self, path: Path) -> Optional[Ready]:
        """Return the job if it can run now; otherwise write in its status what it waits for."""
        before = states.load(path)
        status, earlier = Status(states.WAITING), None
        try:
            said = JobFile.read(path)
            status = replace(status, digest=said.digest, results=said.out)
            if before is not None and before.digest == said.digest:
                earlier = before
                # The list of its own results is kept until its end is written, whatever happens in between.
                status = replace(
                    status,
                    pattern=before.pattern,
                    journal=before.journal,
                    written=before.written,
                    film=before.film,
                )
            if self._clock() < self._retry_at.get(path, 0.0):
                return None
            ready = self._prepared(said, status, earlier)
        except HarmoVidError as error:
            self._blocked(path, status, error, before, earlier)
            return None
        if ready is None:
            return None
        key = (status.digest, ready.status.inputs)
        settled = self._seen.get(path) == key
        self._seen[path] = key
        if not settled:
            self._tell(path, ready.status, before)
            return None
        return ready

    def _prepared(self, said: JobFile, status: Status, earlier: Optional[Status]) -> Optional[Ready]:
        """Return the job, prepared as far as possible; None if it has ended and nothing has changed since."""
        engine = self._client.engine(said.engine)
        films = Films.of(said, engine, self._client.is_private)
        inputs = said.fingerprint(engine) if films is None else films.fingerprint()
        if earlier is not None and earlier.state in states.ENDED and earlier.inputs == inputs:
            if earlier.state != states.FAILED:
                forget(earlier.journal)
            return None
        status = replace(status, inputs=inputs)
        if films is not None:
            return Ready(said, engine, None, films, status)
        job = said.prepare(engine, self._client.roots, own_results(earlier))
        return Ready(said, engine, job, None, replace(status, frames=len(job.frames)))

    def _blocked(
        self,
        path: Path,
        status: Status,
        error: HarmoVidError,
        before: Optional[Status],
        earlier: Optional[Status],
    ) -> None:
        """Write why a job cannot start. The status of an ended job stays if its inputs are gone."""
        if earlier is not None and earlier.state in states.ENDED and not isinstance(error, OutputError):
            return
        if error.retryable:
            self._retry_at[path] = self._clock() + RETRY_S
        is_new = self._tell(path, status.because(states.BLOCKED, error), before)
        if is_new and self._listener is not None:
            self._listener.ended(path, JobEnd(error))

    def _run(self, ready: Ready) -> None:
        """Run one job to its end and write its status."""
        path = ready.said.path
        run = JobRun(self._client, ready, lambda status: status.save(path), self._clock, self._listener)
        self._tell(path, run.status, None)
        self._running = run
        try:
            ended = run.run()
        except HarmoVidError as error:
            if not self._stopped:
                self._failed(path, run, error)
            return
        finally:
            self._running = None
        self._tell(path, ended, None)
        forget(ended.journal)
        if ready.films is not None and ended.state == states.DONE:
            ready.films.clean()

    def _failed(self, path: Path, run: JobRun, error: HarmoVidError) -> None:
        """Write that a job failed, or that it will be tried again when its server or output folder is available."""
        passes = error.retryable or isinstance(error, OutputError)
        if passes:
            self._retry_at[path] = self._clock() + RETRY_S
        state = states.BLOCKED if passes else states.FAILED
        self._tell(path, replace(run.status.because(state, error), step="", reports=run.reports), None)

    def _tell(self, path: Path, status: Status, before: Optional[Status]) -> bool:
        """Write the status, and report it if it is new; return whether it was."""
        if before is not None and (before.state, before.error) == (status.state, status.error):
            return False
        status.save(path)
        reason = f": {status.error} {status.fix}" if status.error else ""
        self._say(f"{path.name}: {status.state}{reason}")
        return True
