"""`python run_job.py ADDRESS INPUT_FOLDER OUTPUT_FOLDER FRAMES`: a client process that tests may kill."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from harmovid.client import Client
from harmovid.frames import FramePattern, FrameRange
from harmovid.job import JobSpec, new_job_id
from harmovid.storage.files import DirectorySink, DirectorySource
from harmovid.storage.journal import Journal, job_digest


def main(address: str, inputs: str, outputs: str, text: str) -> None:
    """Run or resume the job, and print how many results existed before."""
    frames = FrameRange.parse(text)
    source = DirectorySource({"plate": FramePattern.parse(str(Path(inputs) / "p.####.exr"))})
    out = FramePattern.parse(str(Path(outputs) / "p.####.exr"))
    spec = JobSpec(new_job_id(), "null", text, ("plate",))
    journal = Journal.open(out.folder, job_digest(spec, source, out.text), out.path)
    sink = DirectorySink(out, frames, source, journal)
    result = Client(address).run(replace(spec, job_id=journal.job_id), source, sink)
    print(result.resumed)  # noqa: T201 (the parent reads it)


if __name__ == "__main__":
    main(*sys.argv[1:])
