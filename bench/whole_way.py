"""Processor time of a whole job, server and command line, in this checkout against another one's, in turns.

    python bench/whole_way.py --against ../harmovid-before [--engine harmonize] [--rounds 5]

Both checkouts have their environment in .venv. Each gets a server of its own and one job to warm up; then the same
command runs in turns: the demo's 32 frames of 960 x 540, through the default engine of the task. What is counted is the
processor time of all processes of server and command, which other load on the machine disturbs little; the smallest of
the rounds is taken, and one thread does linear algebra.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, List

from harmovid.processes import family, processor_s
from harmovid.server_process import ServerProcess
from harmovid_demo.shot import Shot, ShotFiles, generate

REPO = Path(__file__).resolve().parents[1]
KEPT = REPO / "out" / "whole_way"
"""The shot and compiled loops, for the next run."""
ENVIRON = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
INPUTS = {"harmonize": ("fg", "plate"), "deflicker": ("flicker",)}


class Checkout:
    """A checkout's server and command. `spent` is the processor time of each job by process."""

    def __init__(self, root: Path, work: Path) -> None:
        self.spent: List[Dict[str, float]] = []
        self._programs, self._work = root / ".venv" / "bin", work
        environ = {**ENVIRON, "NUMBA_CACHE_DIR": str(KEPT / f"compiled-{work.name}")}
        work.mkdir()
        self._server = ServerProcess(
            str(work), "--state", str(work / "state"), "--codecs", "2",
            command=[str(self._programs / "python"), "-m", "harmovid_server"], environment=environ,
        )  # fmt: skip

    def __enter__(self) -> Checkout:
        self._address = self._server.start()["endpoint"]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def run(self, engine: str, shot: ShotFiles) -> None:
        """Run one job."""
        out = tempfile.mkdtemp(dir=self._work)
        inputs = [shot.pattern(name) for name in INPUTS[engine]]
        words = [
            str(self._programs / "harmovid"),
            engine,
            *inputs,
            "-o",
            f"{out}/",
            "--server",
            self._address,
            "-q",
        ]
        before, client = self._by_process(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, env=ENVIRON)
        after, done = self._by_process(), resource.getrusage(resource.RUSAGE_CHILDREN)
        told = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
        told["command"] = done.ru_utime + done.ru_stime - client.ru_utime - client.ru_stime
        self.spent.append(told)

    def best(self) -> Dict[str, float]:
        """Return the cheapest job after the first one."""
        return min(self.spent[1:], key=lambda told: sum(told.values()))

    def _by_process(self) -> Dict[str, float]:
        found: Dict[str, float] = {}
        assert self._server.process is not None
        for pid in family(self._server.process.pid):
            name = _role(pid)
            found[name] = found.get(name, 0.0) + processor_s(pid)
        return found


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    modules = [word.rpartition(".")[2] for word in words if word.startswith("harmovid_server")]
    return modules[0].replace("harmovid_server", "main") if modules else "other"


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="the other checkout")
    parser.add_argument("--engine", choices=sorted(INPUTS), default="harmonize")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    roots = {"now": REPO, **({"before": given.against.resolve()} if given.against else {})}
    shot = generate(KEPT / "shot", Shot())
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        checkouts = {
            label: stack.enter_context(Checkout(root, Path(name) / label)) for label, root in roots.items()
        }
        for _ in range(given.rounds + 1):
            for checkout in checkouts.values():
                checkout.run(given.engine, shot)
    best = {label: checkout.best() for label, checkout in checkouts.items()}
    totals = {label: sum(told.values()) for label, told in best.items()}
    for label, told in best.items():
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in told.items())
        print(f"{label:7} {totals[label]:.2f} s: {parts}")
    ratio = totals["now"] / totals["before"] if "before" in totals else None
    if ratio is not None:
        print(f"now / before: {ratio:.2f}")
    print(
        json.dumps(
            {"seconds": totals, "ratio": ratio, "rounds": {n: c.spent[1:] for n, c in checkouts.items()}}
        )
    )


if __name__ == "__main__":
    main()
