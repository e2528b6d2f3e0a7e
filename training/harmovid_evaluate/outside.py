"""Other people's methods as rows: results in a folder, or a command that makes them.

    --results "Light-A-Video=results/lav"        results/lav/SET/CLIP/ (EXR, PNG, JPEG) or SET/CLIP.mp4
    --command "BVD=python run.py --frames {composite_png} --out {out}"

A command's arguments may hold `{composite}`, `{plate}`, `{mask}` (folders of EXR), the same with `_png` (8-bit sRGB),
and `{out}`, to which it writes frames or one video. It is started from an argument list, never through a shell. Frames
of another size are resampled to the case's; too few frames are an error. EXRs are read as scene-linear, other files as
sRGB.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Tuple

import cv2
import numpy as np
from harmovid.errors import InputError
from harmovid_training.clips.read import VIDEOS, Source, count_frames, read_frames
from harmovid_training.metrics.degrade import Array

from harmovid_evaluate.cases import PICTURES, Case, fingerprint, slug
from harmovid_evaluate.entrants import Absent
from harmovid_evaluate.testsets import DEFLICKER, HARMONIZE

LAST_WORDS = 300
"""Characters of a failed command's output that are shown."""


@dataclass(frozen=True)
class Published:
    """A published method that the paper compares with, and where its code is, as far as we know."""

    name: str
    task: str
    where: str


PUBLISHED: Tuple[Published, ...] = (
    Published("IC-Light", HARMONIZE, "github.com/lllyasviel/IC-Light; or here through diffusers: --ic-light"),
    Published("Relightful Harmonization", HARMONIZE, "no public code is known to us"),
    Published("RelightVid", HARMONIZE, "aleafy.github.io/relightvid"),
    Published("Light-A-Video", HARMONIZE, "github.com/bcmi/Light-A-Video"),
    Published("BVD", DEFLICKER, "github.com/ChenyangLEI/All-In-One-Deflicker"),
)
"""The baselines of the paper's Tables 1 and 2."""


def task_of(name: str) -> Tuple[str, ...]:
    """Return the task of a published method; both tasks for any other name."""
    known = [each.task for each in PUBLISHED if each.name.lower() == name.lower()]
    return tuple(known) or (HARMONIZE, DEFLICKER)


def not_given(names: List[str]) -> List[str]:
    """Return a sentence for each published method that is not among the given rows."""
    given = [name.lower() for name in names]
    return [
        f"{each.name} was not run: give its results with --results \"{each.name}=FOLDER\" or a command with "
        f"--command ({each.where})."
        for each in PUBLISHED
        if not any(name.startswith(each.name.lower()) for name in given)
    ]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """A folder of results; see `entrants.Entrant`."""

    name: str
    folder: Path

    @property
    def tasks(self) -> Tuple[str, ...]:
        """Those of the published method, else both; a missing result is `Absent`."""
        return task_of(self.name)

    @property
    def key(self) -> str:
        """Names, sizes and times of the files."""
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return fingerprint(
            str(self.folder.resolve()),
            [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files],
        )

    def run(self, case: Case) -> Array:
        """See `Entrant`."""
        if not self.folder.is_dir():
            raise InputError(f"there is no folder {self.folder}.")
        found = _place(self.folder / case.set, slug(case.clip))
        if found is None:
            raise Absent(f"{self.folder} has nothing for {case.set}/{slug(case.clip)}.")
        return fitted(found, case)


@dataclass(frozen=True)
class Command:
    """An external program; see the module and `entrants.Entrant`."""

    name: str
    words: Tuple[str, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> Command:
        """Return a command from one line; quotes group words, nothing else is special.

        Raises:
            InputError: the text is empty, a quote is not closed, or `{out}` is missing.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise InputError(f"the command of {name} cannot be read: {error}.") from error
        if not any("{out}" in word for word in words):
            raise InputError(f"the command of {name} has no {{out}}.", fix="It must say where results go.")
        return cls(name, words)

    @property
    def tasks(self) -> Tuple[str, ...]:
        """Those of the published method, else both."""
        return task_of(self.name)

    @property
    def key(self) -> str:
        """Its arguments."""
        return fingerprint(self.words)

    def run(self, case: Case) -> Array:
        """See `Entrant`."""
        places = {name: str(case.folder / name) for name in PICTURES}
        places.update({f"{name}_png": str(case.folder / "png" / name) for name in PICTURES})
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            out.mkdir()
            try:
                words = [word.format(**places, out=str(out)) for word in self.words]
            except (KeyError, IndexError, ValueError) as error:
                raise InputError(
                    f"the command of {self.name} has an unknown place {error}.",
                    fix=f"There are {', '.join('{' + name + '}' for name in (*places, 'out'))}.",
                ) from error
            self._start(words)
            found = _place(out.parent, "out")
            if found is None:
                raise InputError(f"the command of {self.name} left no frames and no video in {{out}}.")
            return fitted(found, case)

    def _start(self, words: List[str]) -> None:
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        except OSError as error:
            raise InputError(f"{words[0]} cannot be started: {error.strerror}.") from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip())[-LAST_WORDS:]
            raise InputError(f"{words[0]} ended with {done.returncode}: {said}")


def _place(folder: Path, name: str) -> Optional[Path]:
    """Return the results of that name: a folder of frames, a video in that folder, or a video beside it."""
    inside = folder / name
    if inside.is_dir():
        films = [path for path in sorted(inside.iterdir()) if path.suffix.lower() in VIDEOS]
        if films:
            return films[0]
        return inside if any(inside.iterdir()) else None
    beside = [folder / f"{name}{kind}" for kind in VIDEOS]
    return next((path for path in beside if path.is_file()), None)


def fitted(path: Path, case: Case) -> Array:
    """Return results as frames of the case's length and size.

    Raises:
        InputError: there are too few frames.
        FrameError: a frame cannot be read.
    """
    count, (height, width) = len(case.composite), case.mask.shape[1:]
    there = count_frames(Source(path))
    if there < count:
        raise InputError(f"{path} has {there} frames, the clip has {count}.", fix="Make all of them.")
    frames = read_frames(Source(path), 0, count)
    if frames.shape[1:3] == (height, width):
        return frames
    method = cv2.INTER_AREA if frames.shape[1] > height else cv2.INTER_CUBIC
    return np.stack(
        [np.maximum(cv2.resize(frame, (width, height), interpolation=method), 0) for frame in frames]
    ).astype(np.float32)
