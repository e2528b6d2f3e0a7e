"""Kills nodes of a Ray cluster at random while jobs run, and compares the results."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List

from fakes.exr_files import plate
from fakes.ray_cluster import RayCluster
from fakes.running import RunningServer
from fakes.waiting import wait_until
from harmovid import Client, JobFiles
from harmovid.job import Progress
from harmovid.pixels import exr

FRAMES = 40
JOBS = 2
OPTIONS = {"delay_s": 0.05, "lag": 2}
"""Options of the engine `memory`, whose answers depend on every earlier frame, so lost or doubled frames show."""

MOVE_S = 240.0
"""Limit for a job's next frame after a kill, on a busy machine."""


@dataclass
class Tally:
    """The counts. `wrong` names each frame that is missing, was made twice, or differs from the undisturbed run."""

    kills: int = 0
    rounds: int = 0
    attempts: int = 0
    wrong: List[str] = field(default_factory=list)


def kill_often(
    work: Path, local: RunningServer, server: RunningServer, cluster: RayCluster, kills: int, seed: int
) -> Tally:
    """Kill nodes while jobs run, up to a number of kills, and compare every result.

    After each kill every job that is not done has to get a frame further before the next one: three losses in a row
    without a frame fail a job, as they should.

    Args:
        work: an empty folder.
        local: a server without Ray, whose results are the reference.
        server: one with its engines on the cluster.
        cluster: has one node more than the server has actors, so that a lost actor does not wait for a new node.
        kills: how many.
        seed: of the choice of nodes and moments.
    """
    chance, tally = random.Random(seed), Tally()
    frames = work / "plates"
    frames.mkdir()
    for number in range(1, FRAMES + 1):
        exr.write(plate(number), frames / f"plate.{number}.exr")
    (right,) = run_jobs(local, frames, work / "right", 1)
    attempts = server.log.count("job started")
    while tally.kills < kills:
        tally.rounds += 1
        before = len(_status(server))
        with ThreadPoolExecutor(1) as beside:
            running = beside.submit(run_jobs, server, frames, work / f"round{tally.rounds}", JOBS)
            _kill_while(server, cluster, before, tally, kills, chance)
            results = running.result()
        for index, found in enumerate(results):
            for number, expected in right.items():
                if found.get(number) != expected:
                    tally.wrong.append(f"round {tally.rounds}, job {index}, frame {number}")
        for progress in _status(server)[:JOBS]:
            if (progress.state, progress.computed, progress.failed) != ("DONE", FRAMES, 0):
                tally.wrong.append(f"round {tally.rounds}: {progress}")
    tally.attempts = server.log.count("job started") - attempts
    return tally


def _status(server: RunningServer) -> List[Progress]:
    """Return the status of all jobs, the latest first."""
    with Client(server.endpoint) as client:
        return [job.progress for job in client.status()]


def run_jobs(server: RunningServer, frames: Path, out: Path, count: int) -> List[Dict[int, bytes]]:
    """Run so many jobs at once; return the bytes of their results by frame."""

    def one(index: int) -> Dict[int, bytes]:
        folder = out / str(index)
        folder.mkdir(parents=True)
        with Client(server.endpoint) as client:
            job = JobFiles.prepare(
                client.engine("memory"), {"plate": str(frames / "plate.#.exr")}, str(folder / "out.#.exr"),
                frames=f"1-{FRAMES}", options=OPTIONS,
            )  # fmt: skip
            result = client.start(job).result()
        assert not result.failed, result.failed
        return {
            int(path.name.split(".")[1]): path.read_bytes()
            for path in folder.iterdir()
            if path.suffix == ".exr"
        }

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def _kill_while(
    server: RunningServer, cluster: RayCluster, earlier: int, tally: Tally, kills: int, chance: random.Random
) -> None:
    """Kill nodes while the jobs run, and add a new node after each.

    Args:
        earlier: the number of jobs that the server had before.
    """

    def computed() -> Dict[str, int]:
        found = _status(server)
        return {job.job_id: job.computed for job in found[:JOBS]} if len(found) == earlier + JOBS else {}

    while tally.kills < kills:
        _wait_for_a_frame_each(computed)
        if all(count == FRAMES for count in computed().values()):
            return
        time.sleep(chance.uniform(0.0, 0.4))  # the random moment of the kill, not a wait for an event
        cluster.kill(chance.choice(cluster.nodes))
        tally.kills += 1
        cluster.add()


def _wait_for_a_frame_each(computed: Callable[[], Dict[str, int]]) -> None:
    """Wait until all jobs of the round exist, and each has more frames than at the call, or all."""
    before = computed()

    def moved() -> bool:
        now = computed()
        return bool(now) and all(count == FRAMES or count > before.get(job, 0) for job, count in now.items())

    wait_until(moved, MOVE_S)
