"""One job from a folder of frames into another, as a host or the command line runs it."""

from __future__ import annotations

import uuid
from pathlib import Path

from harmovid.client import Client
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import JobSpec
from harmovid.storage.files import DirectorySink, DirectorySource
from harmovid.storage.journal import Journal
from harmovid.transport.runner import JobResult


def run_job(address: str, engine: str, folder: Path, out: Path, count: int) -> JobResult:
    """Send `plate.1.exr` to `plate.<count>.exr` through an engine; results, fsynced, with the same names
    in `out`.

    Raises:
        SystemExit: not every frame came back.
    """
    frames = FrameRange(range(1, count + 1))
    source = DirectorySource({"plate": FramePattern.parse(str(folder / "plate.#.exr"))})
    pattern = FramePattern.parse(str(out / "plate.#.exr"))
    journal = Journal.open(pattern.folder, uuid.uuid4().hex, pattern.path)
    spec = JobSpec(journal.job_id, engine, str(frames), ("plate",))
    with Client(address) as client:
        result = client.run(spec, source, DirectorySink(pattern, frames, source, journal))
    if result.failed or result.progress.delivered != count:
        raise SystemExit(f"not every frame came back: {result}")
    return result
