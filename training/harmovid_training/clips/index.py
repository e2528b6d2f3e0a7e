"""The clip index: one JSON object per line, or the same as Parquet; written once, hashed, read by every stage.

    {"id": "dancer-03", "frames": 100, "licence": "CC0", "sources": {"real": {"path": "..."}, "mask": {"path":
    "...", "matte": true}}}

Paths are relative to the index. A name that ends in `.parquet` makes it a Parquet file with the columns `id`,
`frames`, `licence` and `sources` (as JSON), for large sets that are filtered by other tools.

`Windows` turns it into samples: window `i` is a function of the seed and `i`, so workers, ranks and resumed runs agree
without communicating.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

from harmovid_training.clips.read import Source, count_frames, read_frames
from harmovid_training.files import read_parquet, save_parquet, save_text

Float32 = npt.NDArray[np.float32]
PARQUET = ".parquet"


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        id: unique in the index.
        frames: number of frames of every source.
        sources: by role (`real`, `mask`, `background`, `synthetic`, `steady`, `plate`, `alpha`, `target`).
        licence: of the material, as written into the model card.
    """

    id: str
    frames: int
    sources: Mapping[str, Source]
    licence: str = ""


@dataclass(frozen=True)
class Index:
    """All clips, in the file's order, and where the file is."""

    clips: tuple[Clip, ...]
    folder: Path = field(default_factory=Path)

    @property
    def hash(self) -> str:
        """SHA-256 of the index's lines, the data hash of a model card."""
        return hashlib.sha256("\n".join(_line(clip, self.folder) for clip in self.clips).encode()).hexdigest()

    @property
    def licences(self) -> tuple[str, ...]:
        """Every licence with its number of clips, for the model card."""
        names = sorted({clip.licence or "licence not given" for clip in self.clips})
        count = {
            name: sum((clip.licence or "licence not given") == name for clip in self.clips) for name in names
        }
        return tuple(f"{count[name]} clips: {name}" for name in names)


def make_clip(name: str, sources: Mapping[str, Source], licence: str = "", most: int = 0) -> Clip:
    """Return a clip made of these sources, with their frames counted.

    Args:
        most: number of frames to use, from the first; 0 takes all, and then all sources must have the same length.

    Raises:
        InputError: sources of different lengths.
    """
    counts = {role: count_frames(source) for role, source in sources.items()}
    if most:
        counts = {role: min(count, most) for role, count in counts.items()}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{role} {count}" for role, count in counts.items())
        raise InputError(f"the sources of {name} differ in length: {told}.", fix="Cut them to one length.")
    return Clip(name, next(iter(counts.values())), sources, licence)


def write_index(path: Path, clips: Iterable[Clip]) -> None:
    """Write an index, as Parquet where its name ends in `.parquet`; paths become relative to it where possible."""
    if path.suffix == PARQUET:
        save_parquet(path, [_columns(clip, path.parent) for clip in clips])
    else:
        save_text(path, "".join(_line(clip, path.parent) + "\n" for clip in clips))


def read_index(path: Path) -> Index:
    """Read an index.

    Raises:
        InputError: no file, a line or row that is not a clip, or an id that appears twice; with the line's number.
    """
    if not path.is_file():
        raise InputError(f"there is no clip index at {path}.")
    clips = []
    for number, row in enumerate(_rows(path), start=1):
        try:
            if row is not None:
                clips.append(_clip(json.loads(row) if isinstance(row, str) else row, path.parent))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"line {number} of {path} is no clip: {error}.", fix="See docs/training.md, the clip index."
            ) from error
    names = [clip.id for clip in clips]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} has {', '.join(twice)} twice.", fix="Give every clip its own id.")
    return Index(tuple(clips), path.parent)


class Windows:
    """An endless series of windows; every clip is used once before any is used again.

    Args:
        index: of the clips; clips shorter than a window are refused.
        roles: sources to read.
        frames: length of a window.
        size: height and width, see `read_frames`.
        seed: of order and positions.
    """

    def __init__(
        self, index: Index, roles: tuple[str, ...], frames: int, size: tuple[int, int], seed: int
    ) -> None:
        for clip in index.clips:
            missing = [role for role in roles if role not in clip.sources]
            if missing or clip.frames < frames:
                lack = f"has no {missing[0]}" if missing else f"has {clip.frames} of {frames} frames"
                raise InputError(f"clip {clip.id} {lack}.", fix="Leave it out of the index or complete it.")
        if not index.clips:
            raise InputError("the clip index is empty.")
        self._index, self._roles, self._frames, self._size, self._seed = index, roles, frames, size, seed

    def place(self, number: int) -> tuple[Clip, int]:
        """Return the clip and first frame of window `number`."""
        turn, position = divmod(number, len(self._index.clips))
        order = np.random.default_rng([self._seed, turn]).permutation(len(self._index.clips))
        clip = self._index.clips[int(order[position])]
        first = np.random.default_rng([self._seed, 1, number]).integers(clip.frames - self._frames + 1)
        return clip, int(first)

    def __call__(self, number: int) -> dict[str, Float32]:
        """Return window `number`: for each role `(T, H, W, 3)` linear, or `(T, H, W)` for mattes."""
        clip, first = self.place(number)
        return {
            role: read_frames(clip.sources[role], first, self._frames, self._size) for role in self._roles
        }


def _rows(path: Path) -> Iterator[str | dict[str, Any] | None]:
    """Yield the lines of a text file (None for empty ones) or the rows of a Parquet file."""
    if path.suffix != PARQUET:
        yield from (line if line.strip() else None for line in path.read_text(encoding="utf-8").splitlines())
        return
    for row in read_parquet(path):
        yield {**row, "sources": json.loads(row["sources"])} if isinstance(row.get("sources"), str) else row


def _clip(row: dict[str, Any], folder: Path) -> Clip:
    sources = {
        role: Source(
            folder / given["path"], str(given.get("colorspace", "")), bool(given.get("matte", False))
        )
        for role, given in row["sources"].items()
    }
    return Clip(str(row["id"]), int(row["frames"]), sources, str(row.get("licence", "")))


def _columns(clip: Clip, folder: Path) -> dict[str, Any]:
    row = json.loads(_line(clip, folder))
    return {**row, "sources": json.dumps(row["sources"])}


def _relative(path: Path, folder: Path) -> Path:
    """Return a path as the index in `folder` stores it: relative to it; an absolute path outside the folder stays
    absolute, so that it is still right when the index moves."""
    whole, base = (Path(os.path.abspath(one)) for one in (path, folder))
    if path.is_absolute() and not whole.is_relative_to(base):
        return whole
    return Path(os.path.relpath(whole, base))


def _line(clip: Clip, folder: Path) -> str:
    sources: dict[str, dict[str, Any]] = {}
    for role, source in clip.sources.items():
        sources[role] = {"path": _relative(source.path, folder).as_posix()}
        if source.colorspace:
            sources[role]["colorspace"] = source.colorspace
        if source.matte:
            sources[role]["matte"] = True
    return json.dumps({"id": clip.id, "frames": clip.frames, "licence": clip.licence, "sources": sources})
