"""`harmovid benchmark`: the speed of this machine per engine and size: seconds a frame, frames a second, memory.

Frames are generated (`benchmark_frames`), sent through a private server of this machine, or through the named one, and
written to a temporary folder. A first job of two frames loads the engine and has a column of its own; the second job is
timed from its start until the last result is on the disk. By default it is long enough for the engine to be as busy,
and to hold as much in memory, as in the middle of a shot: an engine that looks ahead has its first answer only then.
One that sees the whole shot before it answers has a shot of its handles, a window of the network, and `FRAMES` more.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from harmovid.cli import exits
from harmovid.cli.benchmark_frames import SIZES, missing_inputs, write_inputs
from harmovid.cli.console import Console, ok_result, table
from harmovid.cli.machine import MemoryPeak, this_machine, versions
from harmovid.client import Client, connect
from harmovid.embedded import EmbeddedServer
from harmovid.engines import choose
from harmovid.errors import HarmoVidError, InputError
from harmovid.job import WHOLE_SHOT, EngineInfo
from harmovid.job_files import JobFiles
from harmovid.settings import Settings, load_settings

WARM_FRAMES = 2
FRAMES = 16
"""Frames of the job that is timed, beside those that the engine sees before its first answer."""


@dataclass
class Row:
    """One engine at one size.

    Attributes:
        first_s: of the job that loads the engine, with `WARM_FRAMES` frames.
        peak_bytes: most resident memory of all processes of a private server together; None of a named one.
        memory: the same by process, at that moment.
        runtime: what the engine really ran on.
        error: why there are no numbers, "" where there are.
    """

    engine: str
    version: str
    size: str
    width: int
    height: int
    frames: int
    first_s: float = 0.0
    seconds_per_frame: float = 0.0
    frames_per_second: float = 0.0
    peak_bytes: Optional[int] = None
    memory: Dict[str, int] = field(default_factory=dict)
    runtime: Dict[str, str] = field(default_factory=dict)
    error: str = ""


def run(args: argparse.Namespace, console: Console) -> int:
    """Measure, and print the table.

    Raises:
        InputError: frames cannot be generated here, a number is out of range, or no engine fits.
        WireError: the named server cannot be reached.
    """
    settings = load_settings(args.server, args.key)
    if args.frames is not None and args.frames < WARM_FRAMES:
        raise InputError(f"--frames is {args.frames}.", fix=f"Take {WARM_FRAMES} or more.")
    rows: List[Row] = []
    with tempfile.TemporaryDirectory(prefix="harmovid-benchmark-") as scratch:
        for engine in _engines(settings, args.engine, console):
            frames = args.frames or frames_for(engine)
            with _server(settings) as (client, memory):
                for size in args.size or ["540p", "1080p"]:
                    console.note(f"{engine.name}, {size} ...")
                    rows.append(_measure(client, engine, size, frames, Path(scratch), memory))
    _tell(rows, settings, console)
    return exits.JOB_FAILED if any(row.error for row in rows) else exits.OK


def frames_for(engine: EngineInfo) -> int:
    """Return how many frames the job has by default."""
    whole = engine.lookahead_frames >= WHOLE_SHOT
    return FRAMES + (engine.handle_frames if whole else engine.lookahead_frames)


def _engines(settings: Settings, names: List[str], console: Console) -> List[EngineInfo]:
    """Return the named engines, or all whose inputs can be generated."""
    with connect(settings) as client:
        there = client.engines()
    if names:
        return [choose(there, name) for name in names]
    able = []
    for engine in there:
        if missing := missing_inputs(engine):
            console.warn(f"{engine.name} is left out: no frames can be generated for {', '.join(missing)}")
        else:
            able.append(engine)
    return able


@contextlib.contextmanager
def _server(settings: Settings) -> Iterator[Tuple[Client, Optional[MemoryPeak]]]:
    """Yield a client of the named server, or of a new private one with the sampling of its memory."""
    if settings.server:
        with connect(settings) as client:
            yield client, None
        return
    private = EmbeddedServer(python=settings.python)
    with Client(private=private) as client, private:
        process = private.process
        with MemoryPeak(process.pid if process is not None else 0) as peak:
            yield client, peak


def _measure(
    client: Client, engine: EngineInfo, size: str, frames: int, scratch: Path, memory: Optional[MemoryPeak]
) -> Row:
    row = Row(engine.name, engine.version, size, *SIZES[size], frames)
    try:
        inputs = write_inputs(engine, size, frames, scratch)
        row.first_s = _run(client, engine, inputs, scratch, f"1-{WARM_FRAMES}")
        if memory is not None:
            memory.forget()
        seconds = _run(client, engine, inputs, scratch, f"1-{frames}")
    except HarmoVidError as error:
        row.error = str(error)
        return row
    row.seconds_per_frame, row.frames_per_second = seconds / frames, frames / seconds
    row.runtime = dict(client.engine(engine.name).runtime)
    if memory is not None:
        row.memory = memory.peak()
        row.peak_bytes = sum(row.memory.values())
    return row


def _run(client: Client, engine: EngineInfo, inputs: Dict[str, str], scratch: Path, frames: str) -> float:
    """Run one job and return its seconds.

    Raises:
        HarmoVidError: the job, or its first failed frame.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        job = JobFiles.prepare(engine, inputs, str(Path(out) / "out.#.exr"), frames=frames, handles=0)
        result = client.start(job).result()
    for error in result.failed.values():
        raise error
    return max(result.elapsed_s, 1e-9)


def _tell(rows: List[Row], settings: Settings, console: Console) -> None:
    machine, known = this_machine(), versions()
    where = settings.server or "a private server on this machine"
    console.result(
        ok_result(server=where, machine=machine, versions=known, rows=[asdict(row) for row in rows])
    )
    head = ["ENGINE", "SIZE", "FRAMES", "FIRST JOB", "S/FRAME", "FRAMES/S", "PEAK MIB", "RUNS ON"]
    for line in table([_cells(row) for row in rows], head):
        console.text(line)
    for row in rows:
        if row.error:
            console.text(f"{row.engine} {row.size}: {row.error}")
    console.text()
    console.text(f"through {where}; frames generated, half RGBA, ZIP, with grain")
    said = "this machine" if not settings.server else "this machine (the server may be another one)"
    console.text(f"{said}: " + ", ".join(f"{value}" for value in machine.values()))
    console.text("versions: " + ", ".join(f"{name} {value}" for name, value in known.items()))


def _cells(row: Row) -> List[str]:
    if row.error:
        return [f"{row.engine} {row.version}", row.size, str(row.frames), "-", "-", "-", "-", "failed"]
    peak = "-" if row.peak_bytes is None else f"{row.peak_bytes / (1 << 20):.0f}"
    runs_on = " ".join(filter(None, (row.runtime.get("device", ""), row.runtime.get("runtime", ""))))
    return [
        f"{row.engine} {row.version}", row.size, str(row.frames), f"{row.first_s:.2f} s",
        f"{row.seconds_per_frame:.3f}", f"{row.frames_per_second:.2f}", peak, runs_on or "?",
    ]  # fmt: skip
