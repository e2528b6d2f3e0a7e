"""kill -9 of a watcher at random moments over films and EXR folders, and a check of all files at the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

from core.tiny_exr import tiny_exr
from fakes.films import film, planes
from harmovid.watch import status as states

FOLDER_FRAMES, FILM_FRAMES = 40, 24
JOBS = 2
"""Number of folders and of films in one round."""


@dataclass
class Tally:
    """The counts. `wrong` names every file that is missing, left over, or has wrong bytes.

    `kills_at` counts the states in which jobs were found after a kill.
    """

    kills: int = 0
    rounds: int = 0
    wrong: List[str] = field(default_factory=list)
    kills_at: Dict[str, int] = field(default_factory=dict)


def kill_often(work: Path, server: str, kills: int, seed: int) -> Tally:
    """Kill watchers up to a number of kills; every round ends with an undisturbed run and a check of every file.

    Args:
        work: an empty folder.
        server: address of a server whose engine `null` gives the plate back.
        kills: how many.
        seed: of the moments.
    """
    chance, tally = random.Random(seed), Tally()
    while tally.kills < kills:
        folder = work / f"round{tally.rounds}"
        folder.mkdir(parents=True)
        _drop(folder)
        tally.rounds += 1
        while tally.kills < kills and not _all_done(folder):
            process = _watch(folder, server, "--every", "0.02")
            # The random moment of the kill, not a wait for an event.
            time.sleep(chance.uniform(0.2, 1.6))
            process.send_signal(signal.SIGKILL)
            process.wait()
            tally.kills += 1
            for place in sorted(set(_places(folder))):
                tally.kills_at[place] = tally.kills_at.get(place, 0) + 1
        if _watch(folder, server, "--every", "0.02", "--once").wait() != 0:
            tally.wrong.append(f"{folder.name}: the quiet run did not end well")
        tally.wrong += _compare(folder)
    return tally


def _watch(folder: Path, server: str, *words: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "HARMOVID_SERVER": server, "XDG_CONFIG_HOME": str(folder.parent / "config")}
    command = [sys.executable, "-m", "harmovid.cli", "watch", str(folder), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ)


def _drop(folder: Path) -> None:
    for index in range(JOBS):
        film(folder / f"film{index}.mkv", [planes(100 * index + n) for n in range(FILM_FRAMES)])
        (folder / f"film{index}.job").write_text(
            f"[job]\nengine = null\nplate = film{index}.mkv\ncolorspace = sRGB Encoded Rec.709 (sRGB)\n"
            f"film = flat{index}.mkv\nkeep_frames = yes\n"
        )
        (folder / f"exr{index}").mkdir()
        for frame in range(1, FOLDER_FRAMES + 1):
            (folder / f"exr{index}" / f"p.{frame:04d}.exr").write_bytes(tiny_exr(value=frame / 64))
        (folder / f"exr{index}.job").write_text(f"[job]\nengine = null\nplate = exr{index}/\n")


def _all_done(folder: Path) -> bool:
    found = [states.load(job) for job in folder.glob("*.job")]
    return all(status is not None and status.state == states.DONE for status in found)


def _places(folder: Path) -> List[str]:
    """Return the state of each job that had not ended."""
    found = [states.load(job) for job in folder.glob("*.job")]
    return [
        (status.step.split()[0] if status.step else status.state)
        for status in found
        if status is not None and status.state not in states.ENDED
    ] or ["between jobs"]


def _compare(folder: Path) -> List[str]:
    wrong = []
    for index in range(JOBS):
        wanted = {
            f"exr{index}.out": {path.name: path.read_bytes() for path in (folder / f"exr{index}").iterdir()},
            f"film{index}.out": {
                path.name: path.read_bytes() for path in (folder / f"film{index}.in").glob("plate.*")
            },
        }
        if len(wanted[f"film{index}.out"]) != FILM_FRAMES:
            wrong.append(f"{folder.name}/film{index}.in holds {len(wanted[f'film{index}.out'])} frames")
        for name, files in wanted.items():
            there = {path.name: path.read_bytes() for path in (folder / name).iterdir()}
            wrong += [f"{folder.name}/{name}/{file}" for file in sorted(set(files) ^ set(there))]
            wrong += [
                f"{folder.name}/{name}/{file}: bytes" for file in files if there.get(file) != files[file]
            ]
        original, flat = (
            [p.tobytes() for p in _numbers(folder / f"{stem}{index}.mkv")] for stem in ("film", "flat")
        )
        if original != flat:
            wrong.append(f"{folder.name}/flat{index}.mkv")
    return wrong + [str(path.relative_to(folder)) for path in folder.rglob(".*.tmp")]


def _numbers(path: Path) -> List[memoryview]:
    from harmovid.pixels.films.program import program

    words = [program(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-"]
    return [memoryview(subprocess.run(words, check=True, capture_output=True).stdout)]
