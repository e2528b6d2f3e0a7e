"""The spool: the files of jobs' frames, and their disk budget.

    SPOOL/<job>/in/<layer>.<frame>.exr     inputs, until the worker releases them
    SPOOL/<job>/out/<frame>.exr            results, until the client has them
    SPOOL/<job>/state.npz                  the engine's checkpoint, used by the worker only

A file is written as `<name>.part` in the same folder and then renamed, so a name without `.part` is always a
complete file. Main keeps the account: files that exist, plus files that have been requested.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Optional, Tuple

from harmovid.storage.checksums import file_crc

PART = ".part"
"""Suffix of a file that is being written; leftovers are removed at start."""

_JOB_ID = re.compile(r"[0-9a-f]{32}\Z")
_LAYER = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors for lack of space: the disk, the quota, the process's file size limit."""

DISK_RESERVE_BYTES = 64 << 20
"""Disk space that frames never use, for the job store and the system (or 1/16 of a smaller disk)."""


def job_folder(spool: Path, job: str) -> Path:
    """Return a job's folder; raise ValueError for an invalid job id, since ids come from clients."""
    if not _JOB_ID.match(job):
        raise ValueError(f"{job!r} is not a job id")
    return spool / job


def input_path(spool: Path, job: str, layer: str, frame: int) -> Path:
    """Return the path of one input of one frame; raise ValueError for an invalid layer name or job id."""
    if not _LAYER.match(layer):
        raise ValueError(f"{layer!r} is not a layer name")
    return job_folder(spool, job) / "in" / f"{layer}.{frame:d}.exr"


def output_path(spool: Path, job: str, frame: int) -> Path:
    """Return the path of a frame's result."""
    return job_folder(spool, job) / "out" / f"{frame:d}.exr"


def preview_path(history: Path, job: str, frame: int, side: str) -> Path:
    """Return the path of a frame's preview; `side` is "before" or "after"."""
    return job_folder(history, job) / f"{frame:d}.{side}.jpg"


def file_is(path: Path, size: int, crc: Optional[int]) -> bool:
    """Return whether a complete file of that size exists; with `crc`, also with that content."""
    try:
        return path.stat().st_size == size and (crc is None or file_crc(path) == crc)
    except OSError:
        return False


def _reserve(disk: os.statvfs_result) -> int:
    return min(DISK_RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 16)


def _job_of(path: Path) -> str:
    return path.parent.parent.name


class Spool:
    """The folder and its account. All sizes in bytes; a promise is space reserved for a future file."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.folder = folder
        self.budget_bytes = budget_bytes
        self._files: Dict[Path, int] = {}
        self._promises: Dict[Path, int] = {}
        self.used_bytes = 0
        self._promised_bytes = 0
        self._held: Counter[str] = Counter()

    def disk_free_bytes(self) -> int:
        """Return the disk space still available for frames, regardless of the budget."""
        disk = os.statvfs(self.folder)
        return max(disk.f_bavail * disk.f_frsize - _reserve(disk), 0)

    def capacity_bytes(self) -> int:
        """Return the space for frames when nothing else is in the spool or on its disk."""
        disk = os.statvfs(self.folder)
        return min(self.budget_bytes, disk.f_blocks * disk.f_frsize - _reserve(disk))

    def room_bytes(self) -> int:
        """Return the space for further requests: the rest of the budget, or of the disk if that is less."""
        return min(self.budget_bytes - self.used_bytes, self.disk_free_bytes()) - self._promised_bytes

    def all_bytes(self) -> int:
        """Return the total space to divide: used, promised and free together."""
        return self.room_bytes() + self.used_bytes + self._promised_bytes

    def held_bytes(self, job: str) -> int:
        """Return the space of a job's files and promises."""
        return self._held[job]

    def promise(self, path: Path, size: int) -> None:
        """Reserve space for a file that has been requested, or that will be computed."""
        self.release_promise(path)
        self._promises[path] = size
        self._promised_bytes += size
        self._held[_job_of(path)] += size

    def release_promise(self, path: Path) -> None:
        """Release reserved space: the file has arrived, or will not."""
        size = self._promises.pop(path, 0)
        self._promised_bytes -= size
        self._held[_job_of(path)] -= size

    def add(self, path: Path, size: int) -> None:
        """Record that a file has arrived, in place of its promise."""
        self.release_promise(path)
        more = size - self._files.get(path, 0)
        self._files[path] = size
        self.used_bytes += more
        self._held[_job_of(path)] += more

    def remove(self, path: Path) -> None:
        """Delete a file, and remove it from the account; a missing file is no error."""
        self.release_promise(path)
        size = self._files.pop(path, 0)
        self.used_bytes -= size
        self._held[_job_of(path)] -= size
        path.unlink(missing_ok=True)

    def make_job(self, job: str) -> Path:
        """Make a job's folders and return the job's folder."""
        folder = job_folder(self.folder, job)
        for each in (folder, folder / "in", folder / "out"):
            each.mkdir(mode=0o700, exist_ok=True)
        return folder

    def remove_job(self, job: str) -> None:
        """Delete all files of a job."""
        folder = job_folder(self.folder, job)
        for path in [path for path in {**self._files, **self._promises} if folder in path.parents]:
            self.remove(path)
        self._held.pop(job, None)
        shutil.rmtree(folder, ignore_errors=True)

    def remove_leftovers(self, known_jobs: Iterable[str]) -> Tuple[int, int]:
        """At start: remove the folders of unknown jobs and all unfinished files.

        Returns:
            The number of folders and of unfinished files that were removed.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        known, folders, parts = set(known_jobs), 0, 0
        for entry in list(self.folder.iterdir()):
            if entry.name in known and entry.is_dir():
                continue
            folders += 1
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
        for part in list(self.folder.glob(f"*/**/*{PART}")):
            part.unlink()
            parts += 1
        return folders, parts
