"""Check that a server under mixed clients stays correct, and its memory constant, for a long time.

    make soak [MINUTES=10]                                             # as continuous integration runs it
    python bench/soak.py [--minutes 2 | --hours 8] [--clients 6] [--seed N] [--settings --codecs 1 ...]

One server with keys, and clients in parallel, each running one job after the other: steady ones, ones that are killed
with kill -9 again and again and resume, slow readers, ones with damaged frames, ones that are killed and never come
back; and a peer that sends garbage. Every result is compared with what was sent. Resident memory of each kind of
process is sampled once a second, and printed for parts of the time (quarters, or `--parts`).

The exit code is 1 if a frame is lost, duplicated or corrupt, a good frame failed, or memory grew: from the first third
of the time after warming up to the last third by more than `GROWTH_MIB`. A slow or busy machine does not change this;
it only does fewer jobs: the server counts as warm after a number of jobs, not after a time, and if too few follow,
memory is not judged.

The server inherits the environment, so `MALLOC_ARENA_MAX=1 python bench/soak.py` shows the effect of the allocator's
arenas.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Dict, List, Optional

import zmq
from harmovid.keys import save_secret
from harmovid.storage.journal import has_journals
from support.memory import MemorySamples, growth
from support.server import LocalServer
from support.soak_shots import Faults, Shot, look_at, write_shot

CLIENT = Path(__file__).parent / "support" / "soak_client.py"
KINDS = ("steady", "killed", "slow", "bad", "gone")
ENGINES = ("null", "null", "deflicker")
FRAMES = (8, 40)
"""Fewest and most frames of a job."""

KILLS_MOST = 4
SLOW_S = (0.05, 0.3)
JOB_S = 600.0
"""Longest time of one job; a server that needs more has lost it."""

DETACH_S = 20.0
"""Jobs of clients that went for good leave after this long, so that they do not fill the queue."""

SAMPLE_S = 1.0

WARM_JOBS = 30
"""Jobs until every process has loaded all that it needs: each codec child has then had several of either engine."""

TOLD_JOBS = 30
"""Fewest jobs after that which say something of memory."""

GROWTH_MIB = 64.0
"""Growth that is no heap settling: it was 12 MiB in seven minutes after warming up (docs/log.md). One frame kept of
every job (0.16 MiB as half floats) is still below it in two minutes, and above it in ten or in hours."""


class Load:
    """The clients, what they have done, and what was wrong with it."""

    def __init__(
        self, server: LocalServer, folder: Path, until_s: float, seed: int, memory: MemorySamples
    ) -> None:
        self.jobs: Counter[str] = Counter()
        self.warm_from: Optional[int] = None
        """Which sample of memory is the first after `WARM_JOBS`."""

        self.kills = 0
        self.frames = 0
        self.garbage = 0
        self.faults = Faults()
        self.errors: List[str] = []
        self._server = server
        self._folder = folder
        self._until_s = until_s
        self._seed = seed
        self._memory = memory
        self._lock = threading.Lock()
        self._key = folder / "client.secret"
        assert server.keys is not None
        save_secret(self._key, server.keys)

    def client(self, number: int) -> None:
        """Run one job after the other until the time is over."""
        dice = random.Random(f"{self._seed} {number}")
        while time.monotonic() < self._until_s:
            kind = dice.choice(KINDS)
            folder = self._folder / f"{number}-{sum(self.jobs.values())}-{dice.randrange(1 << 30)}"
            bad = dice.randint(1, 4) if kind == "bad" else 0
            shot = write_shot(folder, dice.randint(*FRAMES), dice.choice(ENGINES), bad, dice)
            try:
                self._job(shot, kind, dice)
            except (subprocess.TimeoutExpired, RuntimeError) as error:
                with self._lock:
                    self.errors.append(f"{kind}, {shot.engine}, {shot.frames} frames: {error}")
            shutil.rmtree(folder, ignore_errors=True)

    def _job(self, shot: Shot, kind: str, dice: random.Random) -> None:
        """Run one job as its kind wants it, and look at what came back."""
        delay_s = dice.uniform(*SLOW_S) if kind == "slow" else 0.0
        said = None
        for _ in range(dice.randint(1, KILLS_MOST) if kind in ("killed", "gone") else 0):
            said = self._kill(shot, delay_s, dice.uniform(0.5, 3.0))
            if said is not None or kind == "gone":
                break
        if kind != "gone" or said is not None:
            failed = self._finish(shot, delay_s) if said is None else said
            found = look_at(shot, failed)
            with self._lock:
                self.frames += shot.frames
                self.faults.add(found)
        with self._lock:
            self.jobs[kind] += 1
            if self.jobs.total() == WARM_JOBS:
                self.warm_from = len(self._memory.samples)

    def _kill(self, shot: Shot, delay_s: float, after_s: float) -> Optional[Dict[int, str]]:
        """Run a client and kill it after a while; return the failed frames where it was at its end by then."""
        process = self._start(shot, delay_s)
        try:
            out, err = process.communicate(timeout=after_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            with self._lock:
                self.kills += 1
            # Killed between the last result and its own end: no journal is left, and nothing to go on with.
            complete = len(list((shot.folder / "out").glob("out.*.exr"))) == shot.frames
            return {} if complete and not has_journals(str(shot.folder / "out")) else None
        return _failed(process, out, err)

    def _finish(self, shot: Shot, delay_s: float) -> Dict[int, str]:
        """Run a client to its end; return the failed frames."""
        process = self._start(shot, delay_s)
        out, err = process.communicate(timeout=JOB_S)
        return _failed(process, out, err)

    def _start(self, shot: Shot, delay_s: float) -> subprocess.Popen[bytes]:
        words = [
            self._server.address, self._key, shot.plate, shot.out, f"1-{shot.frames}", shot.engine, delay_s, shot.log,
        ]  # fmt: skip
        command = [sys.executable, str(CLIENT), *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def noise(self) -> None:
        """Send garbage to the control port, with and without a good key, until the time is over."""
        dice = random.Random(self._seed)
        keys = self._server.keys
        assert keys is not None
        context = zmq.Context()
        while time.monotonic() < self._until_s:
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            if dice.random() < 0.8:
                socket.setsockopt(zmq.CURVE_SERVERKEY, keys.server.encode())
                socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public.encode())
                socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.encode())
            socket.connect(self._server.address)
            for _ in range(20):
                parts = [dice.randbytes(dice.choice((0, 3, 100, 5000))) for _ in range(dice.randint(1, 4))]
                with contextlib.suppress(zmq.Again):
                    socket.send_multipart(parts, flags=zmq.DONTWAIT)
                    self.garbage += 1
                time.sleep(0.02)
            socket.close()
        context.term()


def _failed(process: subprocess.Popen[bytes], out: bytes, err: bytes) -> Dict[int, str]:
    """Return the failed frames that a client reported.

    Raises:
        RuntimeError: the client ended with an error.
    """
    if process.returncode:
        raise RuntimeError(err.decode("utf-8", "replace")[-2000:])
    return {int(frame): code for frame, code in json.loads(out).items()}


def soak(
    seconds: float, clients: int, seed: int, parts: int, settings: List[str], scratch: Optional[str]
) -> Dict[str, object]:
    """Run the load against one server and return what became of it."""
    flags = ("--detach-s", str(DETACH_S), *settings)
    with tempfile.TemporaryDirectory(dir=scratch) as folder, LocalServer(*flags, with_keys=True) as server:
        memory = MemorySamples(server, SAMPLE_S)
        load = Load(server, Path(folder), time.monotonic() + seconds, seed, memory)
        memory.start()
        threads = [threading.Thread(target=load.client, args=(n,)) for n in range(clients)]
        threads.append(threading.Thread(target=load.noise))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        memory_mib = memory.parts(parts)
        told = load.warm_from is not None and load.jobs.total() >= WARM_JOBS + TOLD_JOBS
        growth_mib = growth(memory.samples[load.warm_from :]) if told else None
    return {
        "bench": "soak", "seconds": seconds, "clients": clients, "seed": seed, "jobs": dict(load.jobs),
        "frames": load.frames, "kills": load.kills, "garbage": load.garbage, "faults": asdict(load.faults),
        "errors": load.errors, "memory_mib": memory_mib, "growth_mib": growth_mib,
    }  # fmt: skip


def main() -> int:
    """Run, print a table, and one JSON line last; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0, help="how long (default 2)")
    parser.add_argument("--hours", type=float, help="in place of --minutes")
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--parts", type=int, default=4, help="number of parts of the time for which memory is printed"
    )
    parser.add_argument("--scratch", help="folder for frames (default: a temporary one)")
    parser.add_argument("--quick", action="store_true", help="a few seconds: does it run at all?")
    parser.add_argument(
        "--settings", nargs=argparse.REMAINDER, default=[], help="what follows are flags of the server"
    )
    given = parser.parse_args()
    seconds = given.hours * 3600 if given.hours else given.minutes * 60
    clients = given.clients
    if given.quick:
        seconds, clients = 5.0, 2
    found = soak(seconds, clients, given.seed, given.parts, given.settings, given.scratch)
    _print(found)
    grown = (found["growth_mib"] or 0.0) > GROWTH_MIB  # type: ignore[operator]
    return 1 if grown or found["errors"] or any(found["faults"].values()) else 0  # type: ignore[attr-defined]


def _print(found: Dict[str, object]) -> None:
    parts: List[Dict[str, float]] = found["memory_mib"]  # type: ignore[assignment]
    jobs: Dict[str, int] = found["jobs"]  # type: ignore[assignment]
    print(f"{sum(jobs.values())} jobs ({jobs}), {found['frames']} frames compared, {found['kills']} kills")
    print(f"{found['garbage']} messages of garbage; faults: {found['faults']}")
    for error in found["errors"]:  # type: ignore[attr-defined]
        print(f"ERROR {error}")
    roles = sorted({role for part in parts for role in part}, key=lambda role: (role == "total", role))
    print("MiB      " + " ".join(f"{role:>8}" for role in roles))
    for number, part in enumerate(parts, 1):
        print(f"part {number}".ljust(9) + " ".join(f"{part.get(role, 0):8.1f}" for role in roles))
    grown = found["growth_mib"]
    if grown is None:
        print(f"too few jobs to say whether memory grows: it takes {WARM_JOBS + TOLD_JOBS}")
    else:
        print(f"memory after {WARM_JOBS} jobs, from the first third to the last: {grown:+.1f} MiB")
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
