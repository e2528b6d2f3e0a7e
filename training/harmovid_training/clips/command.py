"""Clips passed to an external program and read back: EXR folders and a command line, without a shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

from harmovid_training.clips.read import read_exr, write_exr

Float32 = npt.NDArray[np.float32]


def checked(command: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return a command whose program is there, and that names no folders but those of `given` and `{out}`.

    Raises:
        InputError: it is not there, or names another folder.
    """
    names = (*given, "out")
    try:
        named = [word.format(**dict.fromkeys(names, "")) != word for word in command]
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(
            f"the command {' '.join(command)!r} names a folder that it is not given: {error}.",
            fix=f"Folders are {', '.join(f'{{{name}}}' for name in names)}.",
        ) from error
    if not any(named):
        raise InputError(f"the command {' '.join(command)!r} names no folder.", fix="Name at least {out}.")
    if not command or shutil.which(command[0]) is None:
        raise InputError(
            f"the command {' '.join(command[:1])!r} is not there.",
            fix="Give its full path, and make it executable.",
        )
    return list(command)


def exchange(command: Sequence[str], folder: Path, given: Mapping[str, Float32], count: int) -> Float32:
    """Write clips, run a command, and return what it wrote, `(count, H, W, 3)` scene-linear.

    Args:
        command: the command line as a list; `{NAME}` of each clip in `given` and `{out}` are replaced by folders.
            Frames are named `00000.exr`, `00001.exr` and so on.
        folder: working folder.
        given: clips `(T, H, W, C)` float32 by name; one channel is written as Y, three as RGB.

    Raises:
        InputError: the command fails or does not write all frames; with the end of its output.
    """
    places = {name: folder / name for name in [*given, "out"]}
    for name, place in places.items():
        place.mkdir()
        for index, frame in enumerate(given.get(name, ())):
            write_exr(place / f"{index:05d}.exr", frame)
    words = [word.format(**{name: str(place) for name, place in places.items()}) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{words[0]} failed with {done.returncode}: {done.stderr.strip()[-400:]}")
    missing = [index for index in range(count) if not (places["out"] / f"{index:05d}.exr").is_file()]
    if missing:
        raise InputError(
            f"{words[0]} did not write frame {missing[0]:05d}.exr.",
            fix="It must write one EXR per frame to {out}.",
        )
    return np.stack([read_exr(places["out"] / f"{index:05d}.exr")[..., :3] for index in range(count)])
