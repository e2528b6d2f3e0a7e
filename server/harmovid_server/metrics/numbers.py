"""The latest numbers of main, and the memory of all processes and of the GPUs.

numbers = Numbers()
numbers.take(message)                   # the link's thread
numbers.ready_problems()                # the listener's threads; () if ready
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from harmovid.processes import children_of, resident_bytes

Message = Dict[str, Any]

STALE_S = 5.0
"""Main sends its numbers once a second; if none have come for this long, it counts as hanging."""

GPU_S = 10.0
"""Seconds between two calls of nvidia-smi, and the time limit of one."""

SILENT = f"main has said nothing for {STALE_S:g} s"


class Numbers:
    """The latest numbers of main. Every method may be called from any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Begin without numbers.

        Args:
            now: a clock in seconds.
        """
        self._now = now
        self._message: Message = {}
        self._at_s = -float("inf")

    def take(self, message: Message) -> None:
        """Store a message `numbers` of main."""
        self._message, self._at_s = message, self._now()

    @property
    def message(self) -> Message:
        """The last message; empty before the first."""
        return self._message

    def is_live(self) -> bool:
        """Return whether main has sent its numbers within `STALE_S`."""
        return self._now() - self._at_s <= STALE_S

    def ready_problems(self) -> Tuple[str, ...]:
        """Return why no new job should be sent to this server; empty if it is ready."""
        if not self.is_live():
            return (SILENT,)
        return tuple(self._message["problems"])


def memory_of(pids: Mapping[str, int]) -> Iterator[Tuple[str, int]]:
    """Yield (process, resident bytes) of main's children and of their children, which are numbered.

    Args:
        pids: slot ("main", "worker-0") to process id.
    """
    for name, pid in pids.items():
        with contextlib.suppress(OSError, ValueError, IndexError):
            yield name, resident_bytes(pid)
        if name == "main":
            continue
        for number, child in enumerate(children_of(pid)):
            with contextlib.suppress(OSError, ValueError, IndexError):
                yield f"{name}/codec-{number}", resident_bytes(child)


class GpuMemory:
    """Used and total memory of each GPU, from nvidia-smi, called in a thread because a driver may hang."""

    def __init__(self) -> None:
        self._rows: List[Tuple[str, int, int]] = []
        self._tool = shutil.which("nvidia-smi")
        if self._tool:
            threading.Thread(target=self._watch, name="gpu-memory", daemon=True).start()

    def rows(self) -> List[Tuple[str, int, int]]:
        """Return the latest (index, used bytes, total bytes) of each GPU; empty without a GPU."""
        return self._rows

    def _watch(self) -> None:
        while True:
            self._rows = _ask(str(self._tool))
            time.sleep(GPU_S)


def _ask(tool: str) -> List[Tuple[str, int, int]]:
    command = [tool, "--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=GPU_S, check=True).stdout
        rows = [line.split(",") for line in said.splitlines() if line.strip()]
        # nounits: MiB
        return [(index.strip(), int(used) << 20, int(total) << 20) for index, used, total in rows]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
