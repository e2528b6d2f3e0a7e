"""Which results belong to a job: those that it wrote and that are unchanged since.

While a job runs its journal lists them (`harmovid.storage.journal`). The watcher keeps that journal until the status
file says that the job has ended, with the size, checksum and time of every result; so at any moment one of the two has
the list. Other files in the results' place are not replaced unless the job file says so.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Dict, FrozenSet, List, Mapping, Optional

from harmovid.errors import PatternError
from harmovid.frames import FramePattern
from harmovid.job import DONE, JobSpec
from harmovid.job_files import JobFiles
from harmovid.storage.files import DirectorySink, Receiver
from harmovid.storage.journal import Written, entries_of
from harmovid.watch.status import Status


def own_results(told: Optional[Status]) -> FrozenSet[str]:
    """Return the paths of the results that an earlier run of a job wrote and that are unchanged since."""
    if told is None or not told.pattern:
        return frozenset()
    with contextlib.suppress(PatternError, TypeError, ValueError):
        pattern = FramePattern.parse(told.pattern)
        known = {int(frame): Written(*entry) for frame, entry in told.written.items()}
        known.update(entries_of(told.journal))
        paths = {frame: os.path.abspath(pattern.path(frame)) for frame in known}
        return frozenset(path for frame, path in paths.items() if known[frame].is_still(path))
    return frozenset()


def written_in(journal: str) -> Dict[str, List[int]]:
    """Return a journal's results in the form of a status: frame to size, CRC-32 and modification time in ns."""
    return {
        str(frame): [each.size, each.crc, each.mtime_ns]
        for frame, each in sorted(entries_of(journal).items())
    }


class KeptJob:
    """A job for `Client.start` whose journal stays after success, until `forget`."""

    def __init__(self, job: JobFiles) -> None:
        """Take the job."""
        self._job = job
        self.source = job.source

    @property
    def sink(self) -> KeptSink:
        """The sink of the job's results."""
        return KeptSink(self._job.sink)

    @property
    def spec(self) -> JobSpec:
        """The specification sent to the server."""
        return self._job.spec

    def close(self, state: str = "") -> None:
        """Close the journal at the end of the job, without removing it."""
        self._job.close("" if state == DONE else state)


class KeptSink:
    """A sink that does not remove its journal when the job is done."""

    def __init__(self, sink: DirectorySink) -> None:
        """Take the sink."""
        self._sink = sink

    def begin(self, job_id: str) -> Mapping[int, int]:
        """See `harmovid.storage.files.Sink`."""
        return self._sink.begin(job_id)

    def write(self, frame: int, data: Any, report: Mapping[str, Any]) -> None:
        """See `harmovid.storage.files.Sink`."""
        self._sink.write(frame, data, report)

    def receive(self, frame: int, size: int) -> Receiver:
        """See `harmovid.storage.files.Sink`."""
        return self._sink.receive(frame, size)

    def finish(self, state: str) -> None:
        """See `harmovid.storage.files.Sink`."""
        self._sink.finish("" if state == DONE else state)


def forget(journal: str) -> None:
    """Remove the journal of a job whose status says that it has ended."""
    with contextlib.suppress(OSError):
        os.unlink(journal)
