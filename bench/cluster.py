"""What engines on a Ray cluster cost against engines in the server's own worker, and how throughput grows with actors.

    python bench/cluster.py [--engines null deflicker] [--size 1080p] [--frames 48] [--rounds 3] [--actors 1 2 4 8]
    python bench/cluster.py --quick

`--rounds 0` leaves the first part out, `--actors` without a number the second one.

The nodes of the cluster are processes of this machine: there is no network between them, and all share its cores.

First part: the same frames through both backends, in turns; the best round of each counts. One codec process per core.
Second part: as many jobs at once as there are actors, through an engine that computes nothing and waits for `WAIT_S`
on each frame, so that more actors than cores can be told apart from fewer. It shows what the server does with many
actors, not what actors do with cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

from harmovid import Client, JobFiles
from harmovid.processes import family
from support.frames import SIZES, write_sequence
from support.jobs import run_job
from support.server import cpu_s as process_cpu_s

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

if TYPE_CHECKING:
    from fakes.running import RunningServer

ENGINES = ("null", "deflicker")
WAIT_S = 0.25
WAIT_FRAMES = 32


@dataclass
class Sample:
    """Seconds of one job: by the clock, of processors in the server, of processors in Ray with its actors."""

    wall_s: float
    server_s: float
    ray_s: float


def server(folder: Path, environ: Dict[str, str], *flags: str) -> RunningServer:
    """Return a server that is not yet started."""
    from fakes.running import RunningServer

    return RunningServer(folder, "--log-level", "warning", *flags, echo=False, environ=environ)


def on(cluster: Any, actors: int) -> Tuple[str, ...]:
    """Return the flags of a server with so many actors on a cluster."""
    jobs = str(min(64, 2 * actors))
    address = ("--backend", "ray", "--ray-address", cluster.address)
    return (*address, "--ray-actors", str(actors), "--active-jobs", jobs)


def once(running: RunningServer, engine: str, folder: Path, out: Path, count: int, ray: int) -> Sample:
    """Run one job.

    Args:
        ray: the process that all of Ray's descend from.
    """
    assert running.process is not None
    out.mkdir(exist_ok=True)
    os.sync()

    def cpu_s(pid: int) -> float:
        return sum(map(process_cpu_s, family(pid)))

    server_s, ray_s, begun_s = cpu_s(running.process.pid), cpu_s(ray), time.perf_counter()
    run_job(running.endpoint, engine, folder, out, count)
    seconds = time.perf_counter() - begun_s
    return Sample(seconds, cpu_s(running.process.pid) - server_s, cpu_s(ray) - ray_s)


def compare(
    engines: Sequence[str], size: str, count: int, rounds: int, work: Path, environ: Dict[str, str]
) -> List[Dict[str, Any]]:
    """Run the same jobs through both backends; return a row per engine."""
    from fakes.ray_cluster import RayCluster

    folder = work / size
    write_sequence(folder, size, count)
    rows = []
    with (
        RayCluster(environ, nodes=1) as cluster,
        server(work / "local", environ) as here,
        server(work / "ray", environ, *on(cluster, 1)) as there,
    ):
        for engine in engines:
            samples: Dict[str, List[Sample]] = {"local": [], "ray": []}
            for _ in range(rounds + 1):
                for name, running in (("local", here), ("ray", there)):
                    out = work / f"out-{name}"
                    samples[name].append(once(running, engine, folder, out, count, cluster.pid))
            row: Dict[str, Any] = {"engine": engine, "size": size, "frames": count, "rounds": rounds}
            for name, found in samples.items():
                for kind in ("wall", "server", "ray"):
                    # The first round loads engines and fills caches.
                    best_s = min(getattr(sample, f"{kind}_s") for sample in found[1:])
                    row[f"{name}_{kind}_ms"] = 1e3 * best_s / count
            rows.append({**row, "ratio": row["ray_wall_ms"] / row["local_wall_ms"]})
    return rows


def waiting(running: RunningServer, folder: Path, out: Path, count: int) -> None:
    """Run one job of the engine that waits."""
    out.mkdir(parents=True)
    with Client(running.endpoint) as client:
        job = JobFiles.prepare(
            client.engine("memory"), {"plate": str(folder / "plate.#.exr")}, str(out / "out.#.exr"),
            frames=f"1-{count}", options={"delay_s": WAIT_S, "lag": 0},
        )  # fmt: skip
        client.start(job).result()


def scale(actors: int, count: int, work: Path, environ: Dict[str, str]) -> Dict[str, Any]:
    """Run as many jobs at once as there are actors; return frames a second."""
    from fakes.ray_cluster import RayCluster

    folder, out = work / "small", work / f"wait-{actors}"
    write_sequence(folder, "270p", count)
    nodes = 1 if actors == 1 else 2
    with (
        RayCluster(environ, nodes=nodes, actors=-(-actors // nodes)) as cluster,
        server(work / f"ray-{actors}", environ, *on(cluster, actors)) as running,
        ThreadPoolExecutor(actors) as beside,
    ):
        for name, frames in (("first", 1), ("timed", count)):
            begun_s = time.perf_counter()
            list(beside.map(lambda i: waiting(running, folder, out / name / str(i), frames), range(actors)))  # noqa: B023
            seconds = time.perf_counter() - begun_s
    rate = actors * count / seconds
    return {"actors": actors, "nodes": nodes, "frames_per_s": rate, "share_of_ideal": rate * WAIT_S / actors}


def main() -> None:
    """Measure, print two tables, and one JSON line last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--size", choices=list(SIZES), default="1080p")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--actors", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument(
        "--quick", action="store_true", help="few small frames, two actors: does it run at all?"
    )
    given = parser.parse_args()
    if given.quick:
        given.size, given.frames, given.rounds, given.actors = "270p", 8, 1, [2]
    from fakes.ray_cluster import environment

    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        environ = environment(work / "installed")
        rows = (
            compare(given.engines, given.size, given.frames, given.rounds, work, environ)
            if given.rounds
            else []
        )
        print(
            f"{'engine':>10} {'size':>6} {'local':>8} {'ray':>8} {'ratio':>6}   cpu: local; ray's server, actors"
        )
        for row in rows:
            cpu = [row[name] for name in ("local_server_ms", "ray_server_ms", "ray_ray_ms")]
            print(
                f"{row['engine']:>10} {row['size']:>6} {row['local_wall_ms']:8.1f} {row['ray_wall_ms']:8.1f} "
                f"{row['ratio']:6.2f}   {cpu[0]:.1f}; {cpu[1]:.1f}, {cpu[2]:.1f}"
            )
        print("ms per frame, best round; ray's actors with all of Ray's own processes", flush=True)
        count = 4 if given.quick else WAIT_FRAMES
        scaled = [scale(actors, count, work, environ) for actors in given.actors]
    print(
        f"{'actors':>6} {'nodes':>5} {'frames/s':>8} {'of ideal':>8}   (an engine that waits {WAIT_S} s a frame)"
    )
    for one in scaled:
        print(f"{one['actors']:>6} {one['nodes']:>5} {one['frames_per_s']:8.1f} {one['share_of_ideal']:8.0%}")
    print(json.dumps({"bench": "cluster", "wait_s": WAIT_S, "overhead": rows, "scaling": scaled}))


if __name__ == "__main__":
    main()
