"""kill -9 of every process in every state of a job: no frame is lost, doubled or corrupt; work continues within 5 s.

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
from typing import Any, Callable, Dict, Iterator, List

import pytest
from fakes import exr_files
from fakes.running import RunningServer
from harmovid.client import Client, JobStatus
from harmovid.errors import HarmoVidError
from harmovid.job import FINAL_STATES
from harmovid.pixels import exr

FRAMES = 24
AGAIN_S = 5.0
"""Time after a kill until a frame must have progressed, on a machine where a client process starts in START_S."""

START_S = 0.3
"""How long a process of ours takes to start on two idle cores of 2.5 GHz."""

MEET_S = 150.0
"""Limit for waits; the three tries to meet a job stay within a test's own limit."""

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
    """Run a server that runs one job at a time, so that a second job is QUEUED."""
    flags = ("--active-jobs", "1", "--codecs", "1")
    with RunningServer(tmp_path_factory.mktemp("server"), *flags, echo=False) as running:
        yield running


STARTED: List[subprocess.Popen[bytes]] = []
"""Clients of the current test."""


@pytest.fixture(autouse=True)
def no_client_left() -> Iterator[None]:
    """End processes of a failed test; otherwise their ResourceWarning would fail another test."""
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


class Running:
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
        self.server, self.out = server, out
        self.said, self.errors = out.with_suffix(".said"), out.with_suffix(".errors")
        self.command = [
            sys.executable, str(STEADY), server.endpoint, str(plates / "plate.#.exr"), str(out / "out.#.exr"),
            frames, engine, "{}", str(moment.read_s), str(moment.write_s),
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start the client (again), with the very same words."""
        with open(self.said, "ab") as said, open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(self.command, stdout=said, stderr=errors)
        STARTED.append(self.process)

    def kill(self) -> None:
        """kill -9 the client."""
        self.process.kill()
        self.process.wait()

    def told(self) -> List[Dict[str, Any]]:
        """Return the client's output so far, without an incomplete last line."""
        return [json.loads(line) for line in self.said.read_text().split("\n")[:-1]]

    def job(self) -> JobStatus | None:
        """Return this client's job, by the id that it printed; None while client or server are not running, and until
        the client knows that it was accepted: before, it would give up a server that is killed."""
        told = self.told()
        if not told or set(told[-1]) == {"job"}:
            return None
        try:
            with Client(self.server.endpoint, timeout_s=2.0) as client:
                return next(iter(client.status(told[-1]["job"])), None)
        except HarmoVidError:
            return None

    def meet(self, met: Callable[[JobStatus], bool], seconds: float) -> JobStatus | None:
        """Wait until the job is as wanted, and return it; None when it has ended and never was seen so."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            # Looked at in this order: a client that has ended leaves the job in its last state.
            ended = self.process.poll() is not None
            job = self.job()
            if job is not None and met(job):
                return job
            if ended and job is not None and job.progress.state in FINAL_STATES:
                return None
            time.sleep(0.01)
        raise AssertionError(f"not within {seconds} s: {self.job()}\n{self.log()}")

    def log(self) -> str:
        """Return what client and server have to say about a failure."""
        return self.errors.read_text() + self.server.log[-3000:]

    def end(self) -> List[int]:
        """Wait until the client is done; return the frames that it wrote."""
        assert self.process.wait(timeout=MEET_S) == 0, self.log()
        told = self.told()[-1]
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


def slowness() -> float:
    """Return how many times slower than START_S a process starts now, at least 1: that is what work waits for."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import harmovid.client"], check=True)
    return max(1.0, (time.monotonic() - begun) / START_S)


@pytest.fixture(scope="module")
def undisturbed(
    server: RunningServer, plates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Dict[str, str]:
    """Return the results of the same job without any kill."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert len(Running(server, plates, out, Moment(0, 0, lambda job: True)).end()) == FRAMES
    return digests(out)


def strike(victim: str, run: Running, server: RunningServer) -> None:
    """Kill -9 one process, or all of the server's, and start again what does not start itself."""
    if victim == "client":
        run.kill()
        run.start()
    elif victim == "server":
        server.kill()
        server.start()
    else:
        os.kill(server.child(victim), signal.SIGKILL)


@dataclass(frozen=True)
class Met:
    """A job met in the wanted state, and the one that holds the server's only place before it, if it waits."""

    run: Running
    job: JobStatus
    blocker: Running | None = None


def meet(state: str, server: RunningServer, plates: Path, folder: Path) -> Met:
    """Run a job until it is met in a state; on a machine too busy to see it there, once more and slower."""
    for pace in (1, 3, 9):
        blocker = None
        if state == "queued":
            blocker = Running(server, plates, folder / f"blocker-{pace}", Moment(0.1 * pace, 0.0, bool))
            blocker.meet(lambda job: job.progress.state == "RUNNING", MEET_S)
        moment = MOMENTS[state]
        slow = Moment(moment.read_s * pace, moment.write_s * pace, moment.met)
        run = Running(server, plates, folder / f"out-{pace}", slow)
        job = run.meet(moment.met, MEET_S)
        if job is not None:
            return Met(run, job, blocker)
        for one in filter(None, (blocker, run)):
            one.end()
    raise AssertionError(f"the job was never seen {state}")


@pytest.mark.fault
@pytest.mark.parametrize("victim", ["client", "worker-0", "front", "server"])
@pytest.mark.parametrize("state", list(MOMENTS))
def test_no_frame_is_lost_doubled_or_corrupt(
    victim: str, state: str, server: RunningServer, plates: Path, undisturbed: Dict[str, str], tmp_path: Path
) -> None:
    """Whichever process is killed in whichever state, the results are bit-identical, and work continues within 5 s."""
    slower = slowness()
    met = meet(state, server, plates, tmp_path)
    run, watched = met.run, met.blocker or met.run
    at_strike = watched.meet(lambda job: True, MEET_S)
    assert at_strike is not None
    before = steps(victim, at_strike)
    struck_s = time.monotonic()
    strike(victim, run, server)
    again = watched.meet(lambda job: steps(victim, job) > before or job.progress.state == "DONE", MEET_S)
    took_s = time.monotonic() - struck_s
    assert again is not None
    if took_s > AGAIN_S:  # a machine that has become busy meanwhile is no fault
        assert took_s <= AGAIN_S * max(slower, slowness()), watched.log()
    if met.blocker is not None:
        met.blocker.end()
    written = run.end()
    assert digests(run.out) == undisturbed
    assert len(written) == len(set(written)), "a frame was written twice by one run"
    job = run.meet(lambda job: job.progress.state == "DONE", MEET_S)
    assert job is not None
    assert (job.progress.delivered, job.progress.failed) == (FRAMES, 0)


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
        run = Running(server, folder, out, Moment(0.0, 0.0, bool), "deflicker", f"1-{frames}")
        if out is outs[1]:
            run.meet(lambda job: job.progress.computed >= 3, MEET_S)
            strike("worker-0", run, server)
            run.meet(lambda job: job.progress.computed >= 12, MEET_S)
            strike("server", run, server)
        run.end()
    assert digests(outs[0]) == digests(outs[1])
    assert len(digests(outs[0])) == frames
