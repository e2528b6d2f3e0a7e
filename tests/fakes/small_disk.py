"""A small file system for tests that fill a disk. It needs the right to mount; otherwise the test is skipped."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path
from typing import Iterator

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """Yield a folder that is a tmpfs of so many MiB."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)],  # noqa: S607
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607


def fill(folder: Path, leave_bytes: int = 0) -> Path:
    """Fill the disk up to so many bytes, and return the file that does; again: with what has come free since."""
    path = folder / "filler"
    with open(path, "ab") as stream:
        while (more := _free(folder) - leave_bytes) > 0:
            try:
                os.posix_fallocate(stream.fileno(), os.fstat(stream.fileno()).st_size, more)
            except OSError as error:  # a server may have used some of the space in between: measure again
                if error.errno != errno.ENOSPC:
                    raise
    return path


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
