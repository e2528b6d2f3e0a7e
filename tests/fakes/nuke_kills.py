"""Kills the stand-in Nuke at random moments of a job, many times, and checks the files that are left.

tally = kill_often(folder, endpoint, kills=100, seed=1)
tally.lost, tally.damaged           # both 0, or the plugin loses frames
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

from harmovid_nuke import record

SCRIPT = Path(__file__).with_name("nuke_killed.py")
FIRST, LAST = -3, 20
LONGEST_S = 1.2
"""Up to this long after the job's begin the process is killed."""


@dataclass
class Tally:
    """The counts. `lost` are frames that a finished version lacks, `damaged` files with wrong bits."""

    kills: int = 0
    finished: int = 0
    resumed: int = 0
    lost: List[str] = field(default_factory=list)
    damaged: List[str] = field(default_factory=list)
    left: List[str] = field(default_factory=list)
    at_frames: Dict[int, int] = field(default_factory=dict)


def kill_often(folder: Path, endpoint: str, kills: int, seed: int) -> Tally:
    """Send jobs from processes that are killed until so many have been, and compare every file that is left.

    Args:
        folder: of the shot; its first version is made without kills and is the reference for the others.
        endpoint: of a real server.
        kills: how many processes are killed in the middle.
        seed: of the moments.
    """
    rng, tally = random.Random(seed), Tally()
    right = _frames(_peaceful(folder, endpoint))
    while tally.kills < kills:
        process = _start(folder, endpoint)
        _line(process, "sending")
        time.sleep(rng.uniform(0, LONGEST_S))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            tally.kills += 1
        said = process.communicate()[0]
        if "done" in said:
            tally.finished += 1
        _look(folder, right, tally)
    _peaceful(folder, endpoint)
    _look(folder, right, tally)
    for each in record.versions(str(_versions(folder))):
        tally.lost += [f"{each.folder} {frame}" for frame in each.missing()]
        tally.left += [str(path) for path in Path(each.folder).rglob("*.tmp")]
    return tally


def _versions(folder: Path) -> Path:
    return folder / "harmovid" / "shot" / "Harmonize1"


def _start(folder: Path, endpoint: str) -> subprocess.Popen[str]:
    words = [sys.executable, str(SCRIPT), str(folder), endpoint, str(FIRST), str(LAST)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str], wanted: str) -> str:
    """Return the first line of a process's output that begins with a word."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(wanted):
            return line
    raise RuntimeError(f"the process ended with {process.wait()} without saying {wanted}")


def _peaceful(folder: Path, endpoint: str) -> Path:
    """Run one process to its end, and return the folder of its version."""
    process = _start(folder, endpoint)
    done = _line(process, "done")
    process.communicate()
    return Path(done.split(None, 1)[1].strip())


def _frames(folder: Path) -> Dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("result.*.exr")}


def _look(folder: Path, right: Dict[str, bytes], tally: Tally) -> None:
    """Compare every result that is there with the right one."""
    newest = next(iter(record.versions(str(_versions(folder)))))
    found = _frames(Path(newest.folder))
    tally.at_frames[len(found)] = tally.at_frames.get(len(found), 0) + 1
    tally.damaged += [f"{newest.folder}/{name}" for name, data in found.items() if data != right[name]]
