"""Which frames of a job have come, told by the link's thread, waited for by the job's thread.

arrivals.ready(1001); arrivals.absent(1002); arrivals.stop()           # link's thread
arrivals.wake.wait(); arrivals.has(1001); arrivals.is_absent(1002)     # job's thread
"""

from __future__ import annotations

import threading
from typing import Iterable, Set


class Arrivals:
    """Sets of frame numbers and one event. Adding to a set and testing it are atomic in CPython."""

    def __init__(self, absent: Iterable[int] = ()) -> None:
        self.wake = threading.Event()
        self.stopped = False
        self._ready: Set[int] = set()
        self._absent: Set[int] = set(absent)

    def ready(self, frame: int) -> None:
        """All layers of this frame are in the spool."""
        self._ready.add(frame)
        self.wake.set()

    def absent(self, frame: int) -> None:
        """This frame will never come."""
        self._absent.add(frame)
        self.wake.set()

    def stop(self) -> None:
        """The job is wanted no more."""
        self.stopped = True
        self.wake.set()

    def has(self, frame: int) -> bool:
        """Return whether this frame is in the spool."""
        return frame in self._ready

    def is_absent(self, frame: int) -> bool:
        """Return whether this frame has failed or will never come."""
        return frame in self._absent

    def decided(self, frame: int) -> bool:
        """Return whether it is known what becomes of this frame."""
        return frame in self._ready or frame in self._absent

    def used(self, frame: int) -> None:
        """Forget that a frame is there: it is on its way through the engine."""
        self._ready.discard(frame)
