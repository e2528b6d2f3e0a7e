"""A job that makes only some frames of a shot: the engine gets all frames, the other results stay as they are.

    job = PartialJob(JobFiles.prepare(..., overwrite=True), redo=FrameRange.parse("1005,1009-1010"))
    client.start(job)

A temporal engine's result for a frame depends on its neighbours. So the server is told which results are kept, and
shows those frames to its engine without making them. A server that cannot do so computes the whole range again, and the
results of kept frames are discarded.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Set

from harmovid.frames import FrameRange
from harmovid.storage.kinds import EXR_MAGIC


class PartialJob:
    """A prepared job whose sink keeps existing results, except for the frames to redo.

    Everything else is that of the given job (`harmovid.JobFiles`).
    """

    def __init__(self, job: Any, redo: Optional[FrameRange] = None) -> None:
        """Wrap a prepared job; without `redo` only missing frames are written."""
        self._job = job
        self._redo = set(redo or ())
        self._sink: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._job, name)

    @property
    def sink(self) -> Any:
        """A sink that does not overwrite kept results."""
        if self._sink is None:
            sink = self._job.sink
            # Servers before `handle_frames` leave out what is kept, and the engine would not see it.
            takes_context = bool(self._job.engine.handle_frames)
            # The server resumes an interrupted job, including its engine's state.
            interrupted = bool(self._job.resumed) and not self._redo
            keeping = _KeepingSink(sink, self.kept(), told=takes_context)
            self._sink = sink if interrupted and not takes_context else keeping
        return self._sink

    def kept(self) -> Set[int]:
        """Return the frames whose results are kept: complete EXR files that are not in `redo`."""
        plan = self._job.plan
        return {
            frame for frame in plan.existing() if frame not in self._redo and _is_exr(plan.out.path(frame))
        }


class _KeepingSink:
    """A sink that discards the results of some frames, which the server may be told not to make."""

    def __init__(self, sink: Any, kept: Set[int], told: bool) -> None:
        self._sink, self._kept, self._told = sink, kept, told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Report the kept results as existing, or none, so that the server computes every frame."""
        written = self._sink.begin(job_id)
        # The checksum matters only for results that the server still has: those are sent again, and discarded.
        return {frame: written.get(frame, 0) for frame in self._kept} if self._told else {}

    def write(self, frame: int, data: Any, report: Mapping[str, Any]) -> None:
        """Write one result, or discard it."""
        if frame not in self._kept:
            self._sink.write(frame, data, report)

    def receive(self, frame: int, size: int) -> Any:
        """Return a receiver that writes one result, or one that discards it."""
        return _Nowhere() if frame in self._kept else self._sink.receive(frame, size)


class _Nowhere:
    """A receiver that discards a result."""

    def write(self, data: Any) -> None:
        """Discard a piece."""

    def commit(self, report: Mapping[str, Any]) -> None:
        """Do nothing at the end of the result."""

    def drop(self) -> None:
        """Do nothing when the result is dropped."""


def _is_exr(path: str) -> bool:
    """Return whether a file starts with the EXR magic number."""
    try:
        with open(path, "rb") as file:
            return file.read(len(EXR_MAGIC)) == EXR_MAGIC
    except OSError:
        return False
