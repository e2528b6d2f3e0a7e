"""A small file system of its own, for tests that fill a disk. Needs the right to mount; else the test is skipped."""

from __future__ import annotations

import contextlib
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
    disk = os.statvfs(folder)
    path = folder / "filler"
    more = disk.f_bavail * disk.f_frsize - leave_bytes
    with open(path, "ab") as stream:
        if more > 0:
            os.posix_fallocate(stream.fileno(), stream.tell(), more)
    return path
