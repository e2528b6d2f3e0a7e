"""Photos for `--source-plate`: a subject and its own photo under one look, over a plate without it.

Each clip is one frame of a photo that was never trained on. The truth is the subject without the look; the source plate
has the look, and the plate has not. Three cases, from easy to hard:

    same    the source plate is the subject's own photo, and the plate is that photo without the subject
    part    the subject and its source plate are one half of a photo, the plate is the other half
    other   the plate is the subject's own photo, the source plate is another photo: only what most photos share agrees
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional

import cv2
import numpy as np
from harmovid.pixels.colour.srgb import srgb_decode
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.harmonize_looks import LOOKS
from harmovid_training.data.cache import MASKS, PHOTO_TYPES, TEST, use_of
from harmovid_training.metrics.degrade import Array

CASES = ("same", "part", "other")
SEED = 47
SHARES = (0.015, 0.5)
"""The smallest and the largest subject, as shares of the picture."""


@dataclass(frozen=True)
class Looked:
    """A clip of one frame whose `frames` are the truth, the composite, and the source plate, all `(1, H, W, 3)`."""

    clip: Clip
    case: str
    look: str
    composite: Array
    source: Array


def looked_photos(folder: Path, count: int, looks: List[str], lines: int) -> Iterator[Looked]:
    """Yield `count` clips of each case, `lines` high, their looks in turn; `folder` holds photos with subject masks."""
    paths = [path for path in sorted(folder.rglob("*")) if _is_photo(path)]
    masked = [path for path in paths if _mask_of(path)]
    rng = np.random.default_rng(SEED)
    for case in CASES:
        made = 0
        for path in (masked[int(i)] for i in rng.permutation(len(masked))):
            others = [one for one in paths if one != path]
            look = looks[made % len(looks)]
            found = _looked(path, others[int(rng.integers(len(others)))], case, look, lines, rng)
            if found is not None:
                yield found
                made += 1
            if made == count:
                break


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_TYPES and not path.name.endswith(MASKS) and use_of(path) == TEST


def _mask_of(path: Path) -> Optional[Path]:
    return next((mask for mask in map(path.with_suffix, MASKS) if mask.is_file()), None)


def _looked(
    path: Path, other: Path, case: str, look: str, lines: int, rng: np.random.Generator
) -> Optional[Looked]:
    """Return the clip of a photo, or None if its subject is too small or too large."""
    photo, mask = _read(path), cv2.imread(str(_mask_of(path)), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    mask = cv2.resize(mask, photo.shape[1::-1])
    subject, plate = (0, 1) if rng.random() < 0.5 else (1, 0)
    if case == "part":
        shown, matte, behind = (
            _framed(photo, lines, subject),
            _framed(mask, lines, subject),
            _framed(photo, lines, plate),
        )
    else:
        shown, matte = _framed(photo, lines), _framed(mask, lines)
        behind = shown
    if not SHARES[0] < float(matte.mean()) < SHARES[1]:
        return None
    source = _framed(_read(other), lines) if case == "other" else shown
    seed = [int(rng.integers(1 << 30)), zlib.crc32(path.name.encode())]
    changed, source = (LOOKS[look](one[None], np.random.default_rng(seed)) for one in (shown, source))
    truth = behind + (shown - behind) * matte[..., None]
    composite = behind + (changed[0] - behind) * matte[..., None]
    clip = Clip(path.stem, truth[None].astype(np.float32), matte[None])
    return Looked(clip, case, look, composite[None].astype(np.float32), source.astype(np.float32))


def _read(path: Path) -> Array:
    shown = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return np.asarray(srgb_decode(shown / np.float32(255)), np.float32)


def _framed(picture: Array, lines: int, half: Optional[int] = None) -> Array:
    """Return the middle of a picture, or of the half of it with this number, as 4:3 and `lines` high."""
    height, width = picture.shape[:2]
    if half is not None:
        across = width >= height
        step = (width if across else height) // 2
        kept = slice(half * step, (half + 1) * step)
        picture = picture[:, kept] if across else picture[kept]
        height, width = picture.shape[:2]
    rows, columns = min(height, width * 3 // 4), min(width, height * 4 // 3)
    y, x = (height - rows) // 2, (width - columns) // 2
    size = (lines * 4 // 3, lines)
    return np.asarray(
        cv2.resize(picture[y : y + rows, x : x + columns], size, interpolation=cv2.INTER_AREA), np.float32
    )
