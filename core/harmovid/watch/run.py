"""Runs one job of a watched folder: decodes films, runs the job on the server, writes a film of the results.

ended = JobRun(client, ready, save).run()          # the status to be written; raises the error of a failed job
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Protocol, Sequence

from harmovid.client import Client
from harmovid.errors import HarmoVidError, OutputError
from harmovid.job import EngineInfo
from harmovid.job_files import JobFiles
from harmovid.job_handle import JobHandle
from harmovid.storage.journal import Written
from harmovid.watch import status as states
from harmovid.watch.films import Films, crc_of
from harmovid.watch.job_file import JobFile
from harmovid.watch.ledger import KeptJob, own_results, written_in
from harmovid.watch.status import Status

SAVE_S = 1.0
WAIT_S = 0.1


class JobListener(Protocol):
    """Gets the events of each job that a watcher runs; called from the job's thread and from the watcher's."""

    def started(self, path: Path, job: JobFiles) -> None:
        """The job of a job file is about to be sent."""

    def frame(self, path: Path, frame: int, report: Mapping[str, Any]) -> None:
        """A result is written."""

    def ended(self, path: Path, end: JobEnd) -> None:
        """The job has ended, or cannot start."""


@dataclass(frozen=True)
class JobEnd:
    """How a job ended.

    Attributes:
        error: what ended it, or kept it from starting; None where every frame is written or has failed.
        failed: its failed frames.
        warnings: all of them, also those of films, which are known late.
        state: the server's state of the job; "" where it was not sent.
    """

    error: Optional[HarmoVidError]
    failed: Mapping[int, HarmoVidError] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    state: str = ""


@dataclass(frozen=True)
class Ready:
    """A job that can be run.

    Attributes:
        said: its job file.
        engine: its engine.
        job: the prepared job; None if films have to be decoded first.
        films: the films among its inputs, if any.
        status: its status so far.
    """

    said: JobFile
    engine: EngineInfo
    job: Optional[JobFiles]
    films: Optional[Films]
    status: Status


class JobRun:
    """A running job. `stop` may be called from any thread."""

    def __init__(
        self,
        client: Client,
        ready: Ready,
        save: Callable[[Status], None],
        clock: Callable[[], float] = time.monotonic,
        listener: Optional[JobListener] = None,
    ) -> None:
        """Take the job; `save` is called with its status from time to time."""
        self._client, self._ready, self._save, self._clock = client, ready, save, clock
        self._listener = listener
        self._handle: Optional[JobHandle] = None
        self._stopped = False
        self._saved_s = clock()
        self.status = replace(ready.status, state=states.RUNNING)
        self.reports: Dict[str, Any] = {}

    def stop(self) -> None:
        """Stop the job; it can be resumed."""
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()

    def run(self) -> Status:
        """Run the job to its end and return its status.

        Raises:
            HarmoVidError: it cannot run, or has failed; `status` and `reports` hold what is known.
        """
        try:
            failed = self._run_to_end()
        except HarmoVidError as error:
            self._ended({}, error)
            raise
        self._ended(failed, None)
        return self.status

    def _ended(self, failed: Mapping[int, HarmoVidError], error: Optional[HarmoVidError]) -> None:
        if self._listener is not None:
            state = self._handle.progress.state if self._handle is not None else ""
            end = JobEnd(error, failed, self.status.warnings, state)
            self._listener.ended(self._ready.said.path, end)

    def _run_to_end(self) -> Mapping[int, HarmoVidError]:
        """Run all steps, keep `status` up to date, and return the errors of single frames."""
        self._refuse_foreign_film()
        job = self._ready.job or self._decoded()
        self.status = replace(
            self.status,
            step="",
            frames=len(job.frames),
            warnings=job.warnings,
            pattern=_absolute(job.plan.out.text),
            journal=os.path.abspath(job.journal_path),
        )
        self._save(self.status)
        failed = self._run(job)
        self.status = replace(
            self.status,
            state=states.INCOMPLETE if failed else states.DONE,
            delivered=self.status.frames - len(failed),
            failed={str(frame): str(error) for frame, error in sorted(failed.items())},
            reports=self.reports,
            written=written_in(job.journal_path),
        )
        self._write_film(job)
        return failed

    def _run(self, job: JobFiles) -> Mapping[int, HarmoVidError]:
        """Run the job on the server; return the errors of single frames."""
        if self._listener is not None:
            self._listener.started(self._ready.said.path, job)
        self._handle = self._client.start(KeptJob(job), on_result=self._arrived)
        if self._stopped:
            self._handle.cancel()
        while not self._handle.wait(WAIT_S):
            self._tell_sometimes(delivered=self._handle.progress.delivered)
        return self._handle.result().failed

    def _arrived(self, frame: int, report: Mapping[str, Any]) -> None:
        self.reports[str(frame)] = dict(report)
        if self._listener is not None:
            self._listener.frame(self._ready.said.path, frame, report)

    def _tell_sometimes(self, **changes: Any) -> None:
        if self._clock() - self._saved_s >= SAVE_S:
            self._save(replace(self.status, **changes))
            self._saved_s = self._clock()

    # Films.

    def _decoded(self) -> JobFiles:
        """Decode the films and return the job on their frames."""
        films, said = self._ready.films, self._ready.said
        if films is None:
            raise OutputError("there is nothing to decode.")
        self.status = replace(self.status, step="decoding")
        self._save(self.status)
        decoded = films.decode(
            lambda layer, frame: self._tell_sometimes(step=f"decoding {layer}: frame {frame}"),
            lambda: self._stopped,
        )
        job = said.prepare(self._ready.engine, self._client.roots, own_results(self.status), decoded)
        job.warnings = (*films.remarks, *job.warnings)
        return job

    def _refuse_foreign_film(self) -> None:
        """Raise `OutputError` if the film of the results would replace a file that is not this job's."""
        path = self._ready.said.film
        if not path or not os.path.exists(path) or self._ready.said.overwrite:
            return
        told: List[Any] = list(self.status.film)
        if len(told) == 4 and told[0] == path and Written(*told[1:]).is_still(path):
            return
        raise OutputError(
            f"{path} is there already.", fix="Write overwrite = yes under [job], or name another film."
        )

    def _write_film(self, job: JobFiles) -> None:
        """Write the film that the job file asks for, and record it in the status before it gets its final name."""
        films, path = self._ready.films, self._ready.said.film
        if films is None or not path:
            return
        if self.status.failed:
            said = f"{os.path.basename(path)} is not written: {len(self.status.failed)} frames are missing."
            self.status = replace(self.status, warnings=(*self.status.warnings, said))
            return
        ended = self.status
        self._save(replace(ended, state=states.RUNNING, step="writing the film"))
        written = films.write(job.plan.out, job.frames, self._ready.engine.target, lambda: self._stopped)
        entry = [path, os.path.getsize(written.temporary), crc_of(written.temporary)]
        self._save(replace(ended, state=states.RUNNING, step="writing the film", film=(*entry, -1)))
        written.commit()
        self.status = replace(
            ended,
            film=(*entry, os.stat(path).st_mtime_ns),
            warnings=(*ended.warnings, *written.remarks),
        )


def _absolute(text: str) -> str:
    """Return a pattern with its folder as an absolute path."""
    folder, name = os.path.split(text)
    return os.path.join(os.path.abspath(folder or "."), name)
