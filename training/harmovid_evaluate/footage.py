"""The clips an evaluation is made from: a clip index, a folder of clips, or one clip, with masks.

    for footage in find_footage(Path("clips"), lines=240, count=40):
        material = footage.load()          # material.clip, material.plate, ...

- `clips.jsonl`: the clip index of training (docs/training.md), with the roles `real` and `mask`, and optionally
  `plate`, `background` and `composite`;
- a folder of clips: each folder in it with `frames/` and `masks/` (EXR, or PNG and JPEG: then masks are taken as
  binary, white from half on), or with one WebM that has an alpha plane;
- one such clip.

All are scaled to one height with an area filter. EXRs are read as scene-linear, pictures and videos as sRGB.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Tuple

from harmovid.errors import InputError
from harmovid_training.clips.index import Clip as Listed
from harmovid_training.clips.index import read_index
from harmovid_training.clips.read import Source, frame_files, read_frames
from harmovid_training.metrics.degrade import Array

from harmovid_evaluate.clips import Clip, clip_folders, load_clip

INDEX = "clips.jsonl"


@dataclass(frozen=True)
class Material:
    """A clip with its optional other roles; pictures `(T, H, W, 3)` scene-linear of the clip's size.

    Attributes:
        clip: the original, with masks.
        plate: the background without the foreground.
        background: another background to put the foreground on.
        composite: the foreground in another light over the same plate, whose truth is the original.
    """

    clip: Clip
    plate: Optional[Array] = None
    background: Optional[Array] = None
    composite: Optional[Array] = None


@dataclass(frozen=True)
class Footage:
    """A clip that can be loaded.

    Attributes:
        name: its folder's name or its id in the index.
        digest: of names, sizes and times of its files.
        load: reads it.
        relit: whether it has the role `composite`.
    """

    name: str
    digest: str
    load: Callable[[], Material]
    relit: bool = False


def find_footage(path: Path, lines: int, count: int) -> List[Footage]:
    """Return the clips at `path`; see the module.

    Args:
        lines: height that they are scaled to.
        count: largest number of frames to read of each.

    Raises:
        InputError: there is no clip, or the index cannot be read.
    """
    if path.is_dir() and (path / INDEX).is_file():
        path = path / INDEX
    if path.is_file():
        index = read_index(path)
        return [_listed(clip, lines, count) for clip in index.clips if {"real", "mask"} <= set(clip.sources)]
    folders = [path] if path.is_dir() and _is_clip(path) else []
    folders = folders or (clip_folders(path) if path.is_dir() else [])
    if not folders:
        raise InputError(
            f"there are no clips with masks at {path}.",
            fix="Give a folder of clips (each with frames/ and masks/), or a clips.jsonl; see docs/evaluate.md.",
        )
    return [Footage(each.name, _digest([each]), partial(_folder, each, lines, count)) for each in folders]


def _is_clip(path: Path) -> bool:
    return path in clip_folders(path.parent)


def _listed(clip: Listed, lines: int, count: int) -> Footage:
    paths = [source.path for _, source in sorted(clip.sources.items())]
    load = partial(_of_index, clip, lines, count)
    return Footage(clip.id, _digest(paths), load, "composite" in clip.sources)


def _of_index(clip: Listed, lines: int, count: int) -> Material:
    frames = min(count, clip.frames)
    size = _size(clip.sources["real"], lines)
    found = {
        role: read_frames(replace(source, matte=role == "mask"), 0, frames, size)
        for role, source in clip.sources.items()
        if role in ("real", "mask", "plate", "background", "composite")
    }
    return Material(
        Clip(clip.id, found["real"], found["mask"]),
        found.get("plate"),
        found.get("background"),
        found.get("composite"),
    )


def _folder(folder: Path, lines: int, count: int) -> Material:
    frames = folder / "frames"
    if frames.is_dir() and any(path.suffix.lower() == ".exr" for path in frames.iterdir()):
        source, matte = Source(frames), Source(folder / "masks", matte=True)
        length = min(count, len(frame_files(frames)))
        size = _size(source, lines)
        made = Clip(folder.name, read_frames(source, 0, length, size), read_frames(matte, 0, length, size))
        return Material(made)
    try:
        return Material(load_clip(folder, lines, count))
    except (FileNotFoundError, ValueError) as error:
        raise InputError(str(error)) from error


def _size(source: Source, lines: int) -> Tuple[int, int]:
    """Return height and width of a source's frames when they are `lines` high."""
    height, width = read_frames(source, 0, 1).shape[1:3]
    return lines, max(round(width * lines / height), 1)


def _digest(paths: List[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        for each in _files(path):
            known = each.stat()
            digest.update(f"{each.relative_to(path.parent)} {known.st_size} {known.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        return iter(sorted(each for each in path.rglob("*") if each.is_file()))
    return iter([path] if path.is_file() else frame_files(path))
