"""A test set's files on disk: the inputs of all methods, ours and others', and the truth for the measures.

    inputs/SET/CLIP/case.json
    inputs/SET/CLIP/composite/00000.exr      the input
    inputs/SET/CLIP/plate/                   the background without the foreground
    inputs/SET/CLIP/mask/                    the foreground's matte, channel Y
    inputs/SET/CLIP/reference/, truth/       the clip whose motion should be kept; the perfect result, where it is known
    inputs/SET/CLIP/png/composite/, ...      the same as 8-bit sRGB for methods that read pictures (without the truth)

EXRs are half float, scene-linear, Rec. 709 primaries. Results are measured after they have been written as half-float
EXR and read back, like the truth. A folder is written under a temporary name and renamed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

import cv2
import numpy as np
from harmovid.errors import InputError
from harmovid.pixels import exr
from harmovid.pixels.colour.srgb import srgb_encode
from harmovid_training.clips.read import read_exr
from harmovid_training.files import save_json
from harmovid_training.metrics.degrade import Array

from harmovid_evaluate.testsets import Made

FORMAT = 1
NAME = "case.json"
PICTURES = ("composite", "plate", "mask")
"""Roles that are also written as 8-bit pictures for other people's methods."""


@dataclass(frozen=True)
class Case(Made):
    """One clip of one set as it lies on disk.

    Attributes:
        set, clip, task: the names of set and clip, and the task (harmonize or deflicker).
        folder: of its files.
        key: fingerprint of everything it was made from.
    """

    set: str
    clip: str
    task: str
    folder: Path
    key: str


def slug(name: str) -> str:
    """Return a name reduced to what a folder name may hold: letters, digits, dots, dashes, underscores.

    Raises:
        InputError: no character is left.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    if not plain:
        raise InputError(f"{name!r} cannot be used as a name.", fix="Use letters and digits.")
    return plain


def fingerprint(*parts: Any) -> str:
    """Return a short hash of plain values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save_case(folder: Path, head: Mapping[str, Any], made: Made) -> None:
    """Write a case, replacing an older one; `head` is the content of `case.json`."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    clips = {
        "composite": made.composite,
        "plate": made.plate,
        "mask": made.mask[..., None],
        "reference": made.reference,
    }
    if made.truth is not None and made.truth is not made.reference:
        clips["truth"] = made.truth
    for name, clip in clips.items():
        save_clip(part / name, clip)
    for name in PICTURES:
        save_pictures(part / "png" / name, clips[name])
    told = {
        **head, "note": made.note, "frames": len(made.composite), "truth": made.truth is not None,
        "truth_is_reference": made.truth is made.reference,
    }  # fmt: skip
    save_json(part / NAME, told)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part.replace(folder)


def read_head(folder: Path) -> Dict[str, Any]:
    """Return the content of `case.json`, empty where it is missing or cannot be read."""
    try:
        head = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return head if isinstance(head, dict) else {}


def load_case(folder: Path) -> Case:
    """Return a case that `save_case` has written."""
    head = read_head(folder)
    clips = {name: load_frames(folder / name) for name in ("composite", "plate", "mask", "reference")}
    truth = None
    if head["truth"]:
        truth = clips["reference"] if head["truth_is_reference"] else load_frames(folder / "truth")
    return Case(
        clips["composite"], clips["plate"], clips["mask"][..., 0], clips["reference"], truth, head["note"],
        head["set"], head["clip"], head["task"], folder, head["key"],
    )  # fmt: skip


def save_clip(folder: Path, clip: Array) -> None:
    """Write `(T, H, W, C)` as `00000.exr` and on, half float: three channels as R, G, B, one as Y."""
    folder.mkdir(parents=True, exist_ok=True)
    names = "Y" if clip.shape[-1] == 1 else "RGB"
    header = exr.PartHeader.make((0, 0, clip.shape[2], clip.shape[1]))
    for index, frame in enumerate(clip):
        planes = {
            name: exr.to_half(np.ascontiguousarray(frame[..., k], np.float32))[0]
            for k, name in enumerate(names)
        }
        exr.write(exr.make_frame(header, planes), folder / f"{index:05d}.exr")


def load_frames(folder: Path) -> Array:
    """Return the frames that `save_clip` has written, float32.

    Raises:
        FrameError: a file cannot be read.
    """
    return np.stack([read_exr(path) for path in sorted(folder.glob("*.exr"))])


def save_pictures(folder: Path, clip: Array) -> None:
    """Write `(T, H, W, C)` as 8-bit PNG: colour with the sRGB curve, clipped at 1; a mask without a curve."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(clip):
        shown = np.clip(frame, 0, 1)
        codes = shown if clip.shape[-1] == 1 else srgb_encode(shown)[..., ::-1]
        cv2.imwrite(str(folder / f"{index:05d}.png"), (codes * 255 + 0.5).astype(np.uint8))


def frames_there(folder: Path, count: int) -> bool:
    """Return whether a folder holds exactly `count` numbered EXRs."""
    return folder.is_dir() and len(list(folder.glob("*.exr"))) == count


def unique_slugs(names: Sequence[str]) -> None:
    """Raise `InputError` if two names would share a folder."""
    seen: Dict[str, str] = {}
    for name in names:
        other = seen.setdefault(slug(name), name)
        if other != name:
            raise InputError(
                f"{other!r} and {name!r} would share the folder {slug(name)}.", fix="Rename one."
            )
