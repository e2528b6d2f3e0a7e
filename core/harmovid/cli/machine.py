"""Facts about this machine, and the memory of a server on it, for `harmovid benchmark`."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from pathlib import Path
from typing import Dict

from harmovid import __version__
from harmovid.cli.console import human_bytes
from harmovid.processes import family, resident_bytes

SAMPLE_S = 0.1


def this_machine() -> Dict[str, str]:
    """Return processor, cores, memory and system, as far as they are known."""
    return {
        "processor": _processor(),
        "cores": f"{cores()} cores",
        "memory": human_bytes(_memory_bytes()),
        "system": platform.platform(),
    }


def versions() -> Dict[str, str]:
    """Return the versions of Python, HarmoVid and its libraries."""
    return {"harmovid": __version__, "python": platform.python_version()}


def cores() -> int:
    """Return how many cores this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable is not None else os.cpu_count() or 1


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


class MemoryPeak:
    """Samples the resident memory of a process and all its descendants, ten times a second (Linux).

    with MemoryPeak(pid) as memory:
        ...
        memory.peak()
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most: Dict[str, int] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> MemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def forget(self) -> None:
        """Forget all samples so far."""
        with self._lock:
            self._most = {}

    def peak(self) -> Dict[str, int]:
        """Return bytes by kind of process, of the sample with the largest sum; shared pages count for each process."""
        self._sample()
        with self._lock:
            return dict(self._most)

    def _watch(self) -> None:
        while not self._stopped.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        found: Dict[str, int] = {}
        for pid in family(self._pid):
            with contextlib.suppress(OSError, ValueError, IndexError):
                name = _kind_of(pid)
                found[name] = found.get(name, 0) + resident_bytes(pid)
        with self._lock:
            if sum(found.values()) > sum(self._most.values()):
                self._most = found


def _kind_of(pid: int) -> str:
    """Return which process of a server this is: the last part of its module's name, "main" for others."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    names = [word.rpartition(".")[2] for word in words if "_server." in word and "/" not in word]
    return names[0] if names else "main"
