"""Processes of this machine as Linux shows them in /proc: descendants and resident memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import List


def children_of(pid: int) -> List[int]:
    """Return the ids of a process's children, sorted (proc(5), task/TID/children); none if it has ended."""
    found: List[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in task.read_text(encoding="ascii").split()]
    return sorted(found)


def family(pid: int) -> List[int]:
    """Return the ids of a process and all its existing descendants."""
    found = [pid]
    for child in children_of(pid):
        found += family(child)
    return found


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process (proc(5), statm, field 2).

    Raises:
        OSError: there is no such process.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * page
