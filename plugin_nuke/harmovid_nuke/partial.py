"""A job for some frames of a shot: the engine sees all of them, and only results that are wanted are written.

    job = PartialJob(JobFiles.prepare(..., overwrite=True), redo=FrameRange.parse("1005,1009-1010"))
    client.start(job)

An engine that works over time gives a frame another light when it does not see its neighbours. So the whole range is
sent and worked out again; results that are kept are not touched.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Set

from harmovid.frames import FrameRange
from harmovid.storage.kinds import EXR_MAGIC


class PartialJob:
    """A prepared job whose sink keeps the results on disk, but for the frames to make again.

    Everything else is that of the job it is made from (`harmovid.JobFiles`).
    """

    def __init__(self, job: Any, redo: Optional[FrameRange] = None) -> None:
        """Take a prepared job; without `redo` only frames that are missing are written."""
        self._job = job
        self._redo = set(redo or ())
        self._sink: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    @property
    def sink(self) -> Any:
        """The job's sink, which leaves alone what is kept; the job's own where it was only interrupted."""
        if self._sink is None:
            sink = self._job.sink
            # The server goes on with an interrupted job where it was, its engine's memory included.
            interrupted = bool(self._job.resumed) and not self._redo
            self._sink = sink if interrupted else _KeepingSink(sink, self.kept())
        return self._sink

    def kept(self) -> Set[int]:
        """Return the frames whose results stay: whole EXR files that are not to be made again."""
        plan = self._job.plan
        return {
            frame for frame in plan.existing() if frame not in self._redo and _is_exr(plan.out.path(frame))
        }


class _KeepingSink:
    """A sink that lets results of some frames fall."""

    def __init__(self, sink: Any, kept: Set[int]) -> None:
        self._sink, self._kept = sink, kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Say that nothing is there: the server works out every frame."""
        self._sink.begin(job_id)
        return {}

    def write(self, frame: int, data: Any, report: Mapping[str, Any]) -> None:
        """Write one result, or let it fall."""
        if frame not in self._kept:
            self._sink.write(frame, data, report)

    def receive(self, frame: int, size: int) -> Any:
        """Begin one result, or something that lets it fall."""
        return _Nowhere() if frame in self._kept else self._sink.receive(frame, size)


class _Nowhere:
    """Takes a result and forgets it."""

    def write(self, data: Any) -> None:
        """Forget a piece."""

    def commit(self, report: Mapping[str, Any]) -> None:
        """Forget the whole."""

    def drop(self) -> None:
        """Forget that it began."""


def _is_exr(path: str) -> bool:
    """Return whether a file begins as an EXR does."""
    try:
        with open(path, "rb") as file:
            return file.read(len(EXR_MAGIC)) == EXR_MAGIC
    except OSError:
        return False
