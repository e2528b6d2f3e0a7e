"""Jobs through a real server with its engines on a real Ray cluster of several nodes: the same bits, whatever dies."""

from __future__ import annotations

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterator, Tuple

import pytest
from fakes.cluster_kills import JOBS as JOBS_AT_ONCE
from fakes.cluster_kills import kill_often
from fakes.exr_files import plate
from fakes.ray_cluster import INSTALLED, MISSING, RayCluster, environment
from fakes.running import RunningServer, alive
from fakes.waiting import wait_until
from harmovid import Client, JobFiles, JobResult
from harmovid.pixels import exr

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not INSTALLED, reason=MISSING)]

FRAMES = 8
LIMIT_S = 300.0
JOBS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("null", ("plate",)),
    ("deflicker", ("plate",)),
    ("harmonize", ("fg", "bg")),
    ("harmonize-statistics", ("fg", "bg")),
    ("memory", ("plate",)),
)
"""Engines that ship, and their inputs; `memory` makes each answer of all frames before."""


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, str]:
    """Return the environment of cluster and servers."""
    return environment(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def cluster(environ: Dict[str, str]) -> Iterator[RayCluster]:
    """Yield a head and two nodes with room for one actor each."""
    with RayCluster(environ, nodes=2) as made:
        yield made


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, cluster: RayCluster, environ: Dict[str, str]
) -> Iterator[RunningServer]:
    """Yield a server with two engine actors that reserve half a GPU each."""
    ray = ("--backend", "ray", "--ray-address", cluster.address, "--ray-actors", "2", "--ray-gpus", "0.5")
    flags = (*ray, "--codecs", "1")
    with RunningServer(tmp_path_factory.mktemp("ray"), *flags, echo=False, environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, environ: Dict[str, str]) -> Iterator[RunningServer]:
    """Yield a server that runs its engines itself."""
    folder = tmp_path_factory.mktemp("local")
    with RunningServer(folder, "--codecs", "1", echo=False, environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with frames, each another picture."""
    folder = tmp_path_factory.mktemp("plates")
    for number in range(1, FRAMES + 1):
        exr.write(plate(number), folder / f"plate.{number}.exr")
        exr.write(plate(100 + number), folder / f"fg.{number}.exr")
        exr.write(plate(200 + number), folder / f"bg.{number}.exr")
    return folder


def run(server: RunningServer, engine: str, layers: Tuple[str, ...], plates: Path, out: Path) -> JobResult:
    """Run one job into a folder."""
    out.mkdir(parents=True)
    with Client(server.endpoint) as client:
        inputs = {name: str(plates / f"{name}.#.exr") for name in layers}
        job = JobFiles.prepare(client.engine(engine), inputs, str(out / "out.#.exr"), frames=f"1-{FRAMES}")
        return client.start(job).result()


def results(out: Path) -> Dict[str, bytes]:
    """Return the files of a folder of results."""
    return {path.name: path.read_bytes() for path in out.glob("out.*.exr")}


def test_results_are_those_of_the_local_backend_to_the_bit(server, local, plates, tmp_path: Path) -> None:
    """Jobs of five engines in parallel on two actors: every file has the same bytes as from the local backend."""
    with ThreadPoolExecutor(len(JOBS)) as beside:
        done = list(beside.map(lambda job: run(server, *job, plates, tmp_path / "ray" / job[0]), JOBS))
    assert [result.progress.delivered for result in done] == [FRAMES] * len(JOBS)
    assert server.log.count("engine actor ready") == 2

    for engine, layers in JOBS:
        run(local, engine, layers, plates, tmp_path / "here" / engine)
        assert results(tmp_path / "ray" / engine) == results(tmp_path / "here" / engine), engine


def test_an_engines_fault_is_its_jobs_error(server, cluster, plates, tmp_path: Path) -> None:
    """An engine's error fails the job like a local one; the actor logs it with the job's id, and keeps running."""
    before = server.log.count("engine actor ready")
    tmp_path.joinpath("out").mkdir()
    with Client(server.endpoint) as client:
        job = JobFiles.prepare(
            client.engine("memory"), {"plate": str(plates / "plate.#.exr")}, str(tmp_path / "out" / "o.#.exr"),
            frames=f"1-{FRAMES}", options={"break_at": 3},
        )  # fmt: skip
        with pytest.raises(Exception, match=r"failed on frame 3 \(ValueError: the lamp is broken\)"):
            client.start(job).result()
    (failed,) = re.findall(r"worker: engine failed .*", cluster.logs())
    assert re.search(r"job=[0-9a-f]{32} .*where=on frame 3", failed)
    assert 'raise ValueError("the lamp is broken")' in cluster.logs()
    assert run(server, "memory", ("plate",), plates, tmp_path / "again").progress.delivered == FRAMES
    assert server.log.count("engine actor ready") == before


@pytest.mark.fault
def test_a_dead_worker_takes_its_actors_with_it(server, plates, tmp_path: Path) -> None:
    """kill -9 of the worker: Ray ends its actors, the next worker has new ones, and the next job runs there."""
    run(server, "null", ("plate",), plates, tmp_path / "before")
    pids = [int(pid) for pid in re.findall(r"engine_pid=(\d+)", server.log)][-2:]
    os.kill(server.child("worker-0"), signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), LIMIT_S)
    assert run(server, "null", ("plate",), plates, tmp_path / "after").progress.delivered == FRAMES


@pytest.mark.fault
def test_an_idle_actor_that_dies_costs_nobody_anything(server, plates, tmp_path: Path) -> None:
    """kill -9 of both actors between two jobs: the next one finds new ones, and that is no attempt of it."""
    run(server, "null", ("plate",), plates, tmp_path / "before")
    for pid in set(map(int, re.findall(r"engine_pid=(\d+)", server.log))):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    attempts = server.log.count("job started")
    assert run(server, "memory", ("plate",), plates, tmp_path / "after").progress.delivered == FRAMES
    assert server.log.count("job started") == attempts + 1
    assert "engine actor lost" in server.log


@pytest.mark.fault
def test_nodes_killed_at_random_cost_no_frame_and_double_none(server, local, cluster, tmp_path: Path) -> None:
    """Three nodes killed under two running jobs: all results have the bytes of an undisturbed run without Ray."""
    cluster.add()
    tally = kill_often(tmp_path, local, server, cluster, kills=3, seed=1)
    assert tally.kills == 3
    assert not tally.wrong
    assert tally.attempts > JOBS_AT_ONCE * tally.rounds  # some job was hit


def test_no_cluster_is_reported_with_its_address(environ, tmp_path: Path) -> None:
    """An address at which nothing listens: the worker ends at once, and the log says why."""
    server = RunningServer(
        tmp_path, "--backend", "ray", "--ray-address", "127.0.0.1:1", echo=False, environ=environ
    )
    server.start(wait=False)
    try:
        wait_until(lambda: "there is no Ray cluster at 127.0.0.1:1" in server.log, LIMIT_S)
    finally:
        server.kill()
