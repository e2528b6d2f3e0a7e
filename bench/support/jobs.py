"""One job from a folder of frames into another, as a host or the command line runs it."""

from __future__ import annotations

from pathlib import Path

from harmovid import Client, JobFiles, JobResult


def run_job(address: str, engine: str, folder: Path, out: Path, count: int) -> JobResult:
    """Send `plate.1.exr` to `plate.<count>.exr` through an engine; results, fsynced, with the same names in `out`.

    All required inputs of the engine are these files, its options have their defaults.

    Raises:
        SystemExit: not every frame came back.
    """
    with Client(address) as client:
        info, frames = client.engine(engine), f"1-{count}"
        inputs = {layer.name: str(folder / "plate.#.exr") for layer in info.layers if layer.required}
        results = str(out / "plate.#.exr")
        job = JobFiles.prepare(info, inputs, results, frames=frames, overwrite=True, handles=0)
        result = client.start(job).result()
    if result.failed or result.progress.delivered != count:
        raise SystemExit(f"not every frame came back: {result}")
    return result
