"""A job of which some results are there already: the server makes only the others, but sees every input.

job = PartialJob(JobFiles.prepare(...), redo=FrameRange.parse("1005,1009-1010"))
client.start(job)
"""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping, Optional

from harmovid.frames import FrameRange
from harmovid.storage.checksums import crc32
from harmovid.storage.files import EXR_MAGIC

_PIECE = 1 << 20


class PartialJob:
    """A prepared job whose sink counts the results on disk as done, but for the frames to make again.

    Everything else is that of the job it is made from (`harmovid.JobFiles`).
    """

    def __init__(self, job: Any, redo: Optional[FrameRange] = None) -> None:
        """Take a prepared job; without `redo` only frames that are missing are made."""
        self._job = job
        self._redo = redo or FrameRange()
        self._sink: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    @property
    def sink(self) -> Any:
        """The job's sink, which knows what to keep."""
        if self._sink is None:
            self._sink = _KeepingSink(self._job.sink, self.kept())
        return self._sink

    def kept(self) -> Dict[int, int]:
        """Return `{frame: CRC-32}` of the results that stay."""
        plan = self._job.plan
        return {
            frame: crc
            for frame, crc in ((frame, _crc(plan.out.path(frame))) for frame in plan.existing())
            if crc is not None and frame not in self._redo
        }


class _KeepingSink:
    """A sink that says at the start that some results are there."""

    def __init__(self, sink: Any, kept: Mapping[int, int]) -> None:
        self._sink, self._kept = sink, dict(kept)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Return what is there: what the journal knows, and what is kept."""
        journalled = self._sink.begin(job_id)
        return {**{frame: crc for frame, crc in journalled.items() if frame in self._kept}, **self._kept}


def _crc(path: str) -> Optional[int]:
    """Return a file's CRC-32, or None when it is no EXR or cannot be read."""
    crc = 0
    try:
        if os.path.getsize(path) < len(EXR_MAGIC):
            return None
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(_PIECE), b""):
                if crc == 0 and not piece.startswith(EXR_MAGIC):
                    return None
                crc = crc32(piece, crc)
    except OSError:
        return None
    return crc
