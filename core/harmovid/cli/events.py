"""`--events`: the progress of a job as lines of JSON on stdout, for other programs.

    events = JobEvents(console, job="shot010")
    events.queued(job_files); events.frame(1001); events.ended(outcome)

| event | content |
|---|---|
| queued | job id, label, engine, frames in all, existing results of an earlier run, the output |
| frame | one frame is written, or has failed and why |
| warning | a sentence for the user |
| done | every frame is written or has failed: the object of `--json` |
| failed | the job, or the command, ended before that: the same object, with `error` |

Without `--events` nothing is printed.
"""

from __future__ import annotations

from typing import Any, Optional, Set

from harmovid.cli.console import Console
from harmovid.cli.report import Outcome
from harmovid.errors import HarmoVidError
from harmovid.job_files import JobFiles

QUEUED, FRAME, WARNING, DONE, FAILED = "queued", "frame", "warning", "done", "failed"


class JobEvents:
    """The events of one job. Its methods may be called from the job's thread."""

    def __init__(self, console: Console, **about: Any) -> None:
        """Print events on `console`; each contains the fields of `about`."""
        self._console = console
        self._about = about
        self._job: Optional[JobFiles] = None
        self._done = 0
        self._failed: Set[int] = set()

    def _tell(self, event: str, **facts: Any) -> None:
        self._console.event(event, **self._about, **facts)

    def queued(self, job: JobFiles) -> None:
        """Print "queued": the job is being sent to the server.

        Raises:
            OutputError: its results cannot be written, or exist already.
        """
        _ = job.sink  # decides the job's id, and which results exist from an earlier run
        self._job, self._done = job, len(job.resumed)
        self._tell(
            QUEUED, job=job.spec.job_id, label=job.spec.label, engine=job.engine.name,
            frames=len(job.frames), resumed=len(job.resumed), out=job.plan.out.text,
        )  # fmt: skip

    def warning(self, message: str) -> None:
        """Print a warning for the user."""
        self._tell(WARNING, message=message)

    def frame(self, frame: int) -> None:
        """Print that a result is written."""
        if self._job is None:
            return
        self._done += 1
        self._tell(
            FRAME, job=self._job.spec.job_id, frame=frame, state="written", file=self._job.plan.out.path(frame),
            done=self._done, frames=len(self._job.frames),
        )  # fmt: skip

    def frame_failed(self, frame: int, error: HarmoVidError) -> None:
        """Print that a frame has failed."""
        self._failed.add(frame)
        job = self._job.spec.job_id if self._job is not None else ""
        self._tell(FRAME, job=job, frame=frame, state="failed", error=error.to_wire())

    def ended(self, outcome: Outcome) -> None:
        """Print the last event: the job has ended, successfully or not."""
        for frame, error in sorted(outcome.failures.items()):
            if frame not in self._failed:
                self.frame_failed(frame, error)
        for line in outcome.warnings():
            self.warning(line)
        self._tell(DONE if outcome.error is None else FAILED, **outcome.to_dict())
