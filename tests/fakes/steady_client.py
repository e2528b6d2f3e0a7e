"""A client in a process of its own that can be killed and started again, as `harmovid` with a journal can.

    python steady_client.py ENDPOINT PLATE OUT FRAMES ENGINE OPTIONS READ_S WRITE_S

PLATE and OUT are patterns, OPTIONS a JSON map. Reading and writing take so many seconds per frame, so that a
test can meet the job in every state. Exit code 0: the job is DONE. Prints JSON lines: the job's id before anything is
sent and, once the server has accepted it (from then on a lost server is waited for), `accepted`; at the end the id that
it ended under with the frames written by this run.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from functools import cache
from typing import Any, List, Mapping

from harmovid.client import Client
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import JobSpec
from harmovid.storage.files import DirectorySink, DirectorySource, Receiver
from harmovid.storage.journal import Journal, job_digest


class SlowSource(DirectorySource):
    """A source that reads slowly."""

    delay_s = 0.0

    def read(self, layer: str, frame: int) -> bytes:
        """Return a frame's bytes, after a while."""
        time.sleep(self.delay_s)
        return super().read(layer, frame)


class SlowSink(DirectorySink):
    """A sink that writes slowly, and counts."""

    delay_s = 0.0
    written: List[int]

    def receive(self, frame: int, size: int) -> Receiver:
        """Begin a result; it is put in its place after a while."""
        return _SlowReceiver(self, frame, super().receive(frame, size))


class _SlowReceiver:
    """A receiver that waits before it commits."""

    def __init__(self, sink: SlowSink, frame: int, inner: Receiver) -> None:
        self._sink, self._frame, self._inner = sink, frame, inner
        self.write, self.drop = inner.write, inner.drop

    def commit(self, report: Mapping[str, Any]) -> None:
        """Put the result in its place, after a while."""
        time.sleep(self._sink.delay_s)
        self._inner.commit(report)
        self._sink.written.append(self._frame)


def main(arguments: List[str]) -> None:
    """Run the job to its end, or until killed."""
    endpoint, plate, out_text, frames_text, engine, options, read_s, write_s = arguments
    out, frames = FramePattern.parse(out_text), FrameRange.parse(frames_text)
    source = SlowSource({"plate": FramePattern.parse(plate)})
    source.delay_s = float(read_s)
    spec = JobSpec("0" * 32, engine, frames_text, ("plate",), json.loads(options))
    journal = Journal.open(out.folder, job_digest(spec, source, out.text), out.path)
    sink = SlowSink(out, frames, source, journal)
    sink.delay_s, sink.written = float(write_s), []
    say(job=journal.job_id)

    @cache
    def say_accepted() -> None:
        say(job=journal.job_id, accepted=True)

    with Client(endpoint, patience_s=60.0) as client:
        result = client.run(
            replace(spec, job_id=journal.job_id), source, sink, on_progress=lambda _: say_accepted()
        )
    failed = {frame: error.code for frame, error in result.failed.items()}
    say(job=result.job_id, written=sink.written, failed=failed)


def say(**facts: Any) -> None:
    """Print one JSON line, at once."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
