"""What one 4K frame takes of a server's processes: the service times of `bench/scale_simulation.py`.

    python bench/scale_times.py [--frames 12] [--out bench/scale_times.json]

A real server with keys (the traffic is encrypted, as it is over the internet) and a real client on this machine; frames
of half RGBA with 2 % grain, ZIP. Processor time is counted, not the clock, so that other work on the machine disturbs
little. A first job of two frames, not counted, loads the engine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Dict

from harmovid import Client, JobFiles
from harmovid.cli.benchmark_frames import write_inputs
from harmovid.cli.machine import this_machine, versions
from harmovid.storage import atomic
from support.server import LocalServer

ENGINES = ("null", "deflicker", "harmonize")
SIZE = "4K"
ROLES = ("front", "main", "codec", "worker")


def measure(engine_name: str, frames: int, work: Path) -> Dict[str, Any]:
    """Return seconds of processor per frame by process, and bytes per frame both ways."""
    with LocalServer("--engines", engine_name, with_keys=True) as server, _client(server) as client:
        engine = client.engine(engine_name)
        inputs = write_inputs(engine, SIZE, frames, work)
        _run(client, engine, inputs, work / f"{engine_name}-warm", "1-2")
        before = server.cpu_s_by_role()
        out = work / engine_name
        _run(client, engine, inputs, out, f"1-{frames}")
        after = server.cpu_s_by_role()
    row: Dict[str, Any] = {f"{role}_s": round((after[role] - before[role]) / frames, 4) for role in ROLES}
    sent = sum(
        Path(pattern.replace("#", str(n))).stat().st_size
        for pattern in inputs.values()
        for n in range(1, frames + 1)
    )
    got = sum(path.stat().st_size for path in out.glob("out.*.exr"))
    return {"engine": engine_name, **row, "in_bytes": sent // frames, "out_bytes": got // frames}


def _client(server: LocalServer) -> Client:
    return Client(server.address, server.keys)


def _run(client: Client, engine: Any, inputs: Dict[str, str], out: Path, frames: str) -> None:
    out.mkdir()
    job = JobFiles.prepare(engine, inputs, str(out / "out.#.exr"), frames=frames)
    client.start(job).result()


def main() -> None:
    """Measure, print a table, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("scale_times.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = [measure(name, given.frames, Path(scratch)) for name in ENGINES]
    for row in rows:
        print(" ".join(f"{name}={value}" for name, value in row.items()))
    facts = {"size": SIZE, "frames": given.frames, "machine": this_machine(), **versions(), "rows": rows}
    atomic.write_whole(str(given.out), (json.dumps(facts, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
