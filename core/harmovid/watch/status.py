"""The state of a job file, written beside it: `shot010.job` has `shot010.status.json`.

A status is written atomically, so readers never see half of one. It makes a watched folder resumable: if the status
says that a job has ended, for the same job file and inputs, the job is not run again.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from harmovid.errors import HarmoVidError, OutputError
from harmovid.storage.atomic import temporary_stem, write_whole

SUFFIX = ".status.json"
WAITING, BLOCKED, RUNNING = "waiting", "blocked", "running"
DONE, INCOMPLETE, FAILED = "done", "incomplete", "failed"
ENDED = (DONE, INCOMPLETE, FAILED)


@dataclass(frozen=True)
class Status:
    """A job file's state.

    Attributes:
        state: "waiting" for its files to be complete; "blocked", see `error`; "running"; "done"; "incomplete", some
            frames failed; "failed".
        digest: of the job file that was read.
        inputs: a number that changes when the job's input files do.
        frames, delivered: number of frames of the job, and of results written.
        results: their pattern.
        failed: frame to its error.
        warnings: what the user should check.
        error, fix: why it is blocked or failed, and what to do.
        reports: frame to its report.
        step: what a running job does: decoding a film, writing one; "" otherwise.
        pattern, journal: the location of the results, and the journal that lists those of a job that has not ended.
        written: frame to size, CRC-32 and modification time in ns of each result, once the job has ended.
        film: the film of the results: its path, size, CRC-32 and modification time.
    """

    state: str
    digest: str = ""
    inputs: int = 0
    frames: int = 0
    delivered: int = 0
    results: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str = ""
    fix: str = ""
    reports: Mapping[str, Any] = field(default_factory=dict)
    step: str = ""
    pattern: str = ""
    journal: str = ""
    written: Mapping[str, List[int]] = field(default_factory=dict)
    film: Sequence[Any] = ()

    def because(self, state: str, error: HarmoVidError) -> Status:
        """Return this status with another state and the error that caused it."""
        return replace(self, state=state, error=error.message, fix=error.fix or "")

    def save(self, job_file: Path) -> None:
        """Write the status beside its job file.

        Raises:
            OutputError: the folder cannot be written.
        """
        path = job_file.with_suffix(SUFFIX)
        try:
            write_whole(str(path), (json.dumps(asdict(self), indent=2) + os.linesep).encode("utf-8"))
        except OSError as error:
            raise OutputError(
                f"{path} cannot be written: {error.strerror or error}.", fix="Check the folder."
            ) from error


def load(job_file: Path) -> Optional[Status]:
    """Return the status beside a job file, or None if there is none or it cannot be read."""
    try:
        plain: Dict[str, Any] = json.loads(job_file.with_suffix(SUFFIX).read_text(encoding="utf-8"))
        known = {name: plain[name] for name in Status.__dataclass_fields__ if name in plain}
        lists = {name: tuple(known.get(name, ())) for name in ("warnings", "film")}
        return Status(**{**known, **lists})
    except (OSError, ValueError, TypeError):
        return None


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of a watcher killed while writing a status; no other watcher may be running there."""
    for path in folder.glob(".*.tmp"):
        if (temporary_stem(path.name) or "").endswith(SUFFIX):
            with contextlib.suppress(OSError):
                path.unlink()
