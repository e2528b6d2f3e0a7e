"""Processes of this machine as Linux shows them in /proc: descendants, memory, processor time."""

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


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds (proc(5), stat, utime and stime).

    Raises:
        OSError: there is no such process.
    """
    # The second field is the program's name in brackets, which may hold spaces and brackets.
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
