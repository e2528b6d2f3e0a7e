"""Overhead of the Nuke node: its time for a job compared with the command line's on the same frames.

    python bench/nuke_overhead.py [--frames 48] [--size 640 360] [--rounds 5]

The node renders its inputs (with the tests' stand-in for Nuke; that time is subtracted and listed separately) and runs
the job; the command line, in the same process, runs the same job on the rendered frames. Both use one server. Rounds
alternate, so that both meet the same load of the machine; the medians are compared.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, List, Tuple

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests"))
TARGET_RATIO = 1.05


def node_s(host: Any, group: Any) -> Tuple[float, float, str]:
    """Send once; return the seconds of the send and of its render, and the version's folder."""
    from fakes.nuke_driver import sent
    from harmovid_nuke import render

    spent: List[float] = []
    plain = render.render

    def timed(*args: Any) -> Any:
        begun = time.perf_counter()
        try:
            return plain(*args)
        finally:
            spent.append(time.perf_counter() - begun)

    render.render = timed
    try:
        begun = time.perf_counter()
        run = sent(host, group)
        whole = time.perf_counter() - begun
    finally:
        render.render = plain
    if run.error is not None:
        raise run.error
    return whole, spent[0], run.record.folder


def command_s(endpoint: str, version: str, out: Path) -> float:
    """Run the same job by the command line; return its seconds."""
    from harmovid.cli import main

    words = ["harmonize", f"{version}/in/fg.%04d.exr", f"{version}/in/bg.%04d.exr", "--field"]
    words += [
        "-o",
        f"{out}/result.%04d.exr",
        "--server",
        endpoint,
        "--engine",
        "harmonize-statistics",
        "--quiet",
    ]
    begun = time.perf_counter()
    code = main(words)
    if code:
        raise RuntimeError(f"the command ended with {code}")
    return time.perf_counter() - begun


def main_() -> int:
    """Measure and print; return 1 above the target."""
    grammar = argparse.ArgumentParser(description="Time of the node against the command line.")
    grammar.add_argument("--frames", type=int, default=48)
    grammar.add_argument("--size", type=int, nargs=2, default=(640, 360))
    grammar.add_argument("--rounds", type=int, default=5)
    args = grammar.parse_args()
    from fakes import nuke_shots
    from fakes.nuke_driver import harmonize
    from fakes.nuke_host import qt
    from fakes.nuke_host.host import Host, install
    from fakes.running import RunningServer

    nuke_shots.SIZE, nuke_shots.OVERSCAN = tuple(args.size), (0, 0, *args.size)
    nuke_shots.plate.__defaults__ = (nuke_shots.OVERSCAN, True, 1.0)
    install()
    host = Host(gui=True)
    nodes, renders, commands = [], [], []
    with tempfile.TemporaryDirectory() as work, qt.stand_in():
        folder = Path(work)
        with RunningServer(folder / "server", echo=False) as server:
            group = harmonize(host.module, folder / "shot", server.endpoint, 1, args.frames)
            group["keep_inputs"].setValue(True)
            for number in range(args.rounds + 1):
                whole, render, version = node_s(host, group)
                seconds = command_s(server.endpoint, version, folder / f"out{number}")
                shutil.rmtree(version)
                shutil.rmtree(folder / f"out{number}")
                if number:  # the first round warms caches and compilers
                    nodes.append(whole - render)
                    renders.append(render)
                    commands.append(seconds)
    node, command = statistics.median(nodes), statistics.median(commands)
    ratio = node / command
    print(
        f"{args.frames} frames of {args.size[0]} x {args.size[1]}, medians of {args.rounds} alternating rounds"
    )
    print(f"node without its render {node:.2f} s, command line {command:.2f} s, ratio {ratio:.3f}")
    rounds = ", ".join(f"{a / b:.2f}" for a, b in zip(nodes, commands))
    print(f"rounds: {rounds}; render {statistics.median(renders):.2f} s")
    return 0 if ratio <= TARGET_RATIO else 1


if __name__ == "__main__":
    sys.exit(main_())
