"""What became of a job file, written beside it: `shot010.job` has `shot010.status.json`.

A status is written whole or not at all, so that whoever reads it never sees half of one. It is what makes a watched
folder resumable: a job whose status says that it ended, for the same job file and inputs, is not run again.
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
        state: "waiting" for its files to be whole; "blocked", see `error`; "running"; "done"; "incomplete", some
            frames failed; "failed".
        digest: of the job file that was read.
        inputs: a number that changes when the job's input files do.
        frames, delivered: how many frames the job has, and how many results are on the disk.
        results: where they are.
        failed: frame to what went wrong with it.
        warnings: what a user should look at.
        error, fix: why it is blocked or failed, and what to do.
        reports: frame to what engine and pixels said of it.
        step: what a running job is at: decoding a film, writing one; "" otherwise.
        pattern, journal: where the results lie, and the journal that lists those of a job that has not ended.
        written: frame to size, CRC-32 and time of change in ns of each result, once the job has ended.
        film: the film of the results: its path, size, CRC-32 and time of change.
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
        """Return this status with another state and the error that is the reason."""
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
    """Return the status beside a job file, or None where there is none that can be read."""
    try:
        plain: Dict[str, Any] = json.loads(job_file.with_suffix(SUFFIX).read_text(encoding="utf-8"))
        known = {name: plain[name] for name in Status.__dataclass_fields__ if name in plain}
        lists = {name: tuple(known.get(name, ())) for name in ("warnings", "film")}
        return Status(**{**known, **lists})
    except (OSError, ValueError, TypeError):
        return None


def remove_leftovers(folder: Path) -> None:
    """Remove what a watcher that was killed while it wrote a status has left; no other may be at work there."""
    for path in folder.glob(".*.tmp"):
        if (temporary_stem(path.name) or "").endswith(SUFFIX):
            with contextlib.suppress(OSError):
                path.unlink()
