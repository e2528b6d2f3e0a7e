"""Sources and sinks in memory for client tests; they record the calls."""

from __future__ import annotations

import threading
import zlib
from typing import Any, Callable, Dict, List, Mapping, Optional

from core.tiny_exr import tiny_exr
from harmovid.errors import FrameMissing, HarmoVidError


def plate(frame: int) -> bytes:
    """Return the input of one frame; every frame is different."""
    return tiny_exr(value=frame / 1024)


class MemorySource:
    """Frames made by a function; `missing` ones raise. `read_frames` lists every read."""

    def __init__(self, make: Callable[[int], bytes] = plate, missing: Any = ()) -> None:
        self._make = make
        self._missing = frozenset(missing)
        self.read_frames: List[int] = []

    def read(self, layer: str, frame: int) -> bytes:
        """Return one frame."""
        self.read_frames.append(frame)
        if frame in self._missing:
            raise FrameMissing("there is no such file.", frame=frame, layer=layer)
        return self._make(frame)


class MemorySink:
    """Keeps results. `gate` holds every write until it is set; `error` is raised at frame `error_at`."""

    def __init__(self, error: Optional[HarmoVidError] = None, error_at: int = 0) -> None:
        self.results: Dict[int, bytes] = {}
        self.writes: List[int] = []
        self.ids: List[str] = []
        self.state: Optional[str] = None
        self.gate = threading.Event()
        self.gate.set()
        self._error, self._error_at = error, error_at

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Return what has been kept."""
        self.ids.append(job_id)
        return {frame: zlib.crc32(data) for frame, data in self.results.items()}

    def write(self, frame: int, data: Any, report: Mapping[str, Any]) -> None:
        """Keep one result."""
        assert self.gate.wait(300)
        if self._error is not None and frame == self._error_at:
            raise self._error
        self.writes.append(frame)
        self.results[frame] = bytes(data)

    def finish(self, state: str) -> None:
        """Note how the run ended."""
        self.state = state
