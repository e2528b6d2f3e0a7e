"""Shots for `bench/soak.py`: frames that can be identified, some of them damaged; and the check of the results."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Set

import numpy as np
from harmovid.errors import HarmoVidError
from harmovid.pixels import exr

WIDTH, HEIGHT = 192, 108
BAD_KINDS = ("cut", "flipped", "png", "empty")


@dataclass
class Shot:
    """One job's files.

    Attributes:
        bad: frames whose file is damaged, and must come back as failed.
    """

    folder: Path
    frames: int
    engine: str
    bad: Set[int] = field(default_factory=set)

    @property
    def plate(self) -> str:
        """The inputs' pattern."""
        return str(self.folder / "in.#.exr")

    @property
    def out(self) -> str:
        """The results' pattern."""
        return str(self.folder / "out" / "out.#.exr")

    @property
    def log(self) -> Path:
        """Where the client notes each result."""
        return self.folder / "written"


def write_shot(folder: Path, frames: int, engine: str, bad: int, dice: random.Random) -> Shot:
    """Write the frames 1 to `frames`, `bad` of them damaged; the alpha of each encodes its number."""
    folder.mkdir()
    (folder / "out").mkdir()
    shot = Shot(folder, frames, engine, set(dice.sample(range(1, frames + 1), bad)))
    seed = dice.randrange(1 << 30)
    for number in range(1, frames + 1):
        data = exr.write(_picture(number, seed))
        if number in shot.bad:
            data = _damaged(data, dice.choice(BAD_KINDS))
        (folder / f"in.{number}.exr").write_bytes(data)
    return shot


def _picture(number: int, seed: int) -> exr.ExrFrame:
    rng = np.random.default_rng([seed, number])
    light = rng.random((HEIGHT // 4, WIDTH // 4, 3), np.float32).repeat(4, 0).repeat(4, 1)
    channels = {name: light[..., i].astype(np.float16) for i, name in enumerate("RGB")}
    channels["A"] = np.full((HEIGHT, WIDTH), number / 1024, np.float16)
    return exr.make_frame(exr.PartHeader.make((0, 0, WIDTH, HEIGHT), compression="zip"), channels)


def _damaged(data: bytes, kind: str) -> bytes:
    if kind == "cut":
        return data[: len(data) // 2]
    if kind == "flipped":
        middle = len(data) // 2
        return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 64]) + data[middle + 64 :]
    return b"\x89PNG\r\n\x1a\n" + bytes(100) if kind == "png" else b""


@dataclass
class Faults:
    """What was wrong with results, of one job or of all: each must stay 0."""

    lost: int = 0
    doubled: int = 0
    corrupt: int = 0
    wrongly_failed: int = 0
    taken_though_bad: int = 0

    def add(self, other: Faults) -> None:
        """Add another count."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(getattr(self, name) for name in self.__dataclass_fields__)


def look_at(shot: Shot, failed: Dict[int, str]) -> Faults:
    """Compare what came back with what was sent.

    Every frame has come back once or failed; frames of the null engine are bit-identical, the alpha of all is.
    """
    written = Counter(int(line) for line in shot.log.read_text().split()) if shot.log.exists() else Counter()
    faults = Faults(doubled=sum(count > 1 for count in written.values()))
    for number in range(1, shot.frames + 1):
        path = shot.folder / "out" / f"out.{number}.exr"
        if number in failed:
            faults.wrongly_failed += number not in shot.bad
        elif not path.exists():
            faults.lost += 1
        elif number in shot.bad:
            faults.taken_though_bad += 1
        else:
            faults.corrupt += not _same(shot, number, path)
    return faults


def _same(shot: Shot, number: int, path: Path) -> bool:
    try:
        sent, back = exr.read(str(shot.folder / f"in.{number}.exr")), exr.read(str(path))
    except HarmoVidError:
        return False
    names = "RGBA" if shot.engine == "null" else "A"
    return all(np.array_equal(exr.channel_plane(sent, name), exr.channel_plane(back, name)) for name in names)
