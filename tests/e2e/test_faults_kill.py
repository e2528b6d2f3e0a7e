"""kill -9 of every process in every state of a job: no frame lost, doubled or corrupt, and work again in 5 s.

Real server, real worker, real EXRs, real client; the client runs in a process of its own and takes its time
to read or write, so that the job can be met in each state.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest
from fakes import exr_files
from fakes.running import RunningServer
from harmovid.client import Client, JobStatus
from harmovid.errors import HarmoVidError
from harmovid.pixels import exr

FRAMES = 24
AGAIN_S = 5.0
"""How soon a frame must have moved after the loss (issue: "resume within 5 s")."""

STEADY = Path(__file__).parents[1] / "fakes" / "steady_client.py"


@dataclass(frozen=True)
class Moment:
    """A state of a job: how slow reading and writing must be to meet it, and how it is recognised."""

    read_s: float
    write_s: float
    met: Callable[[JobStatus], bool]


MOMENTS: Dict[str, Moment] = {
    "queued": Moment(0.02, 0.0, lambda job: job.progress.state == "QUEUED"),
    "receiving": Moment(0.1, 0.0, lambda job: 2 <= job.progress.received < FRAMES // 2),
    "running": Moment(0.03, 0.03, lambda job: 6 <= job.progress.computed < FRAMES - 6),
    "sending": Moment(
        0.0, 0.1, lambda job: job.progress.delivered >= 3 and job.progress.computed > job.progress.delivered
    ),
    "computed but not acknowledged": Moment(
        0.0, 0.1, lambda job: job.progress.computed == FRAMES and job.progress.delivered < FRAMES - 4
    ),
}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the frames once: small EXRs, each another picture, with negative numbers among them."""
    folder = tmp_path_factory.mktemp("plates")
    for number in range(-2, FRAMES - 2):
        (folder / f"plate.{number}.exr").write_bytes(exr.write(exr_files.plate(100 + number)))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run a server with one place, so that a second job is QUEUED."""
    flags = ("--active-jobs", "1", "--codecs", "1")
    with RunningServer(tmp_path_factory.mktemp("server"), *flags, echo=False) as running:
        yield running


class Run:
    """One client process on one job, that can be killed and run again."""

    def __init__(
        self,
        server: RunningServer,
        plates: Path,
        out: Path,
        moment: Moment,
        engine: str = "null",
        frames: str = f"-2-{FRAMES - 3}",
    ) -> None:
        self.server, self.out, self.moment = server, out, moment
        self.command = [
            sys.executable, str(STEADY), server.endpoint, str(plates / "plate.#.exr"), str(out / "out.#.exr"),
            frames, engine, "{}", str(moment.read_s), str(moment.write_s),
        ]  # fmt: skip
        self.known = {job.progress.job_id for job in self.jobs()}
        self.start()

    def start(self) -> None:
        """Start the client (again), with the very same words."""
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def kill(self) -> None:
        """kill -9 the client."""
        self.process.kill()
        self.process.communicate()

    def jobs(self) -> List[JobStatus]:
        """Return the server's jobs; none while it is away."""
        try:
            with Client(self.server.endpoint, timeout_s=2.0) as client:
                return client.status()
        except HarmoVidError:
            return []

    def job(self) -> JobStatus | None:
        """Return this client's job as the server sees it."""
        return next((job for job in self.jobs() if job.progress.job_id not in self.known), None)

    def wait_for(self, met: Callable[[JobStatus], bool], seconds: float) -> float:
        """Wait until the job is as wanted; return how long it took."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            job = self.job()
            if job is not None and met(job):
                return time.monotonic() - begun
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        out = "" if self.process.poll() is None else self.process.communicate()[1]
        raise AssertionError(f"not within {seconds} s: {self.job()}\n{out}\n{self.server.log[-3000:]}")

    def end(self) -> List[int]:
        """Wait until the client is done; return the frames that it wrote."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err + self.server.log[-3000:]
        told = json.loads(out)
        assert told["failed"] == {}
        return [int(frame) for frame in told["written"]]


def steps(victim: str, job: JobStatus) -> int:
    """Return a number that grows only when the victim's part of the work is done again."""
    progress = job.progress
    if victim == "worker-0" and progress.computed < FRAMES:
        return progress.computed
    return progress.received + progress.delivered


def digests(folder: Path) -> Dict[str, str]:
    """Return name to SHA-256 of every file in a folder, hidden ones too."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(
    server: RunningServer, plates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Dict[str, str]:
    """Return what the same job gives when nobody is killed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert len(Run(server, plates, out, Moment(0, 0, lambda job: True)).end()) == FRAMES
    return digests(out)


def strike(victim: str, run: Run, server: RunningServer) -> None:
    """Kill -9 one process, or all of the server's, and start again what does not start itself."""
    if victim == "client":
        run.kill()
        run.start()
    elif victim == "server":
        server.kill()
        server.start()
    else:
        os.kill(server.child(victim), signal.SIGKILL)


@pytest.mark.fault
@pytest.mark.parametrize("victim", ["client", "worker-0", "front", "server"])
@pytest.mark.parametrize("state", list(MOMENTS))
def test_no_frame_is_lost_doubled_or_corrupt(
    victim: str, state: str, server: RunningServer, plates: Path, undisturbed: Dict[str, str], tmp_path: Path
) -> None:
    """Whoever dies whenever: the same files come out, bit by bit, and frames move again within 5 s."""
    blocker = Run(server, plates, tmp_path / "blocker", Moment(0.1, 0.0, bool)) if state == "queued" else None
    if blocker is not None:
        blocker.wait_for(lambda job: job.progress.state == "RUNNING", 10)
    moment = MOMENTS[state]
    run = Run(server, plates, tmp_path / "out", moment)
    run.wait_for(moment.met, 20)
    watched = blocker or run
    at_strike = watched.job()
    assert at_strike is not None
    before = steps(victim, at_strike)
    strike(victim, run, server)
    watched.wait_for(lambda job: steps(victim, job) > before or job.progress.state == "DONE", AGAIN_S)
    if blocker is not None:
        blocker.end()
    written = run.end()
    assert digests(tmp_path / "out") == undisturbed
    assert len(written) == len(set(written)), "a frame was written twice by one run"
    job = run.job()
    assert job is not None
    assert (job.progress.state, job.progress.delivered, job.progress.failed) == ("DONE", FRAMES, 0)


@pytest.mark.fault
@pytest.mark.slow
def test_an_engine_that_remembers_goes_on_from_its_checkpoint(
    server: RunningServer, plates: Path, tmp_path: Path
) -> None:
    """Deflicker, which looks 76 frames ahead: with worker and server killed on the way, the same bits come out."""
    folder, frames = tmp_path / "plates", 84
    folder.mkdir()
    for number in range(1, frames + 1):
        (folder / f"plate.{number}.exr").symlink_to(plates / f"plate.{number % 3}.exr")
    outs = [tmp_path / "undisturbed", tmp_path / "disturbed"]
    for out in outs:
        run = Run(server, folder, out, Moment(0.0, 0.0, bool), "deflicker", f"1-{frames}")
        if out is outs[1]:
            run.wait_for(lambda job: job.progress.computed >= 3, 60)
            strike("worker-0", run, server)
            run.wait_for(lambda job: job.progress.computed >= 12, 60)
            strike("server", run, server)
        run.end()
    assert digests(outs[0]) == digests(outs[1])
    assert len(digests(outs[0])) == frames
