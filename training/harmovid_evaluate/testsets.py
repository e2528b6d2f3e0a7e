"""The paper's test sets (section 4.1), and rendered truth: how each makes its input from a clip.

| set | task | input | truth |
|---|---|---|---|
| `lut` | harmonize | one look on the foreground of all frames | the original |
| `lut-flicker` | deflicker | another look on the foreground of every frame | the original |
| `harmonized` | deflicker | the foreground over another background, harmonized frame by frame | none |
| `relit` | harmonize | the foreground in another light (role `composite` of the index) | the original |

Looks are `.cube` files where given, else our procedural creative ones. Every draw is a function of the seed and the
clip's name, so a clip's input does not depend on which other clips are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Tuple
from zlib import crc32

import cv2
import numpy as np
from harmovid.errors import InputError
from harmovid_training.clips.read import covering
from harmovid_training.clips.removal import temporal_median
from harmovid_training.metrics.degrade import DEGRADATIONS, Array
from harmovid_training.stages.frame_harmonizers import FrameHarmonizer, harmonize_frames
from harmovid_training.stages.pairs import composite

from harmovid_evaluate.cubes import Cube, apply_cube, digest
from harmovid_evaluate.footage import Material
from harmovid_evaluate.harmonize_looks import LOOKS
from harmovid_evaluate.harmonize_methods import reinhard_log

HARMONIZE, DEFLICKER = "harmonize", "deflicker"


class NotThisClip(InputError):
    """A set cannot be made from this clip; the message says why. Other clips are not affected."""


@dataclass(frozen=True)
class Made:
    """One set's input from one clip; pictures `(T, H, W, 3)` scene-linear, the mask `(T, H, W)` in 0..1.

    Attributes:
        composite: the input.
        plate: the background without the foreground.
        reference: the video whose motion a result should keep.
        truth: the perfect result, where it is known.
        note: a sentence on how the input was made.
    """

    composite: Array
    plate: Array
    mask: Array
    reference: Array
    truth: Optional[Array]
    note: str


@dataclass(frozen=True)
class Makers:
    """The settings that the sets are made with.

    Attributes:
        seed: of all random draws.
        look: procedural look of `lut` where there are no LUTs: a name of `LOOKS`.
        cubes: LUTs; empty for procedural looks.
        harmonizer: for `harmonized`, applied to each frame independently; None for the stand-in.
        harmonizer_name: its name, for the report.
        batch: number of frames per call of it; 0 for all.
    """

    seed: int = 0
    look: str = "creative"
    cubes: List[Cube] = field(default_factory=list)
    harmonizer: Optional[FrameHarmonizer] = None
    harmonizer_name: str = "stand-in: statistics with an error of light in every frame"
    batch: int = 0

    def describe(self, name: str) -> Dict[str, object]:
        """Return the settings that a set's inputs depend on."""
        told: Dict[str, object] = {"seed": self.seed}
        if name.startswith("lut"):
            told["look"] = digest(self.cubes) if self.cubes else self.look
        if name == "harmonized":
            told["harmonizer"] = self.harmonizer_name
        return told

    def draw(self, name: str, clip: str) -> np.random.Generator:
        """Return the random generator for one set and clip."""
        return np.random.default_rng([self.seed, crc32(name.encode()), crc32(clip.encode())])


@dataclass(frozen=True)
class ClipSet:
    """A set by name, with its texts for the report."""

    name: str
    task: str
    title: str
    about: str


SETS: Tuple[ClipSet, ...] = (
    ClipSet("lut", HARMONIZE, "Uniform LUT", "One look on the foreground of the whole clip; the truth is the clip."),
    ClipSet(
        "relit", HARMONIZE, "Relit foreground",
        "The foreground was lit by another light; the truth is the same performance in the plate's light.",
    ),
    ClipSet(
        "lut-flicker", DEFLICKER, "Per-frame LUT",
        "Another look on the foreground of every frame; the truth is the clip.",
    ),
    ClipSet(
        "harmonized", DEFLICKER, "Per-frame harmonization",
        "The foreground over another background, harmonized frame by frame. No truth is known: measured are "
        "time and seam, motion against the original foreground.",
    ),
)  # fmt: skip


def make(name: str, material: Material, others: Iterable[Material], makers: Makers) -> Made:
    """Return a set's input from a clip.

    Args:
        others: clips whose background may be used, for `harmonized`; they are loaded one at a time.

    Raises:
        NotThisClip: the clip lacks what the set needs.
    """
    clip = material.clip
    if clip.masks is None or not (clip.masks > 0.5).any():
        raise NotThisClip(f"{clip.name} has no foreground mask.", fix="Put masks beside its frames.")
    rng = makers.draw(name, clip.name)
    if name == "harmonized":
        return _harmonized(material, clip.masks, others, makers, rng)
    if clip.cut_out:
        raise NotThisClip(f"{clip.name} is cut out: there is no background to fit.")
    if name == "relit":
        if material.composite is None:
            raise NotThisClip(f"{clip.name} has no role `composite` in its index.")
        changed, note = material.composite, "rendered in another light"
    elif name == "lut":
        changed, note = _one_look(clip.frames, clip.masks, rng, makers)
    else:
        changed, note = _many_looks(clip.frames, clip.masks, rng, makers)
    return Made(changed, _plate(material, clip.masks), clip.masks, clip.frames, clip.frames, note)


def _one_look(frames: Array, mask: Array, rng: np.random.Generator, makers: Makers) -> Tuple[Array, str]:
    if makers.cubes:
        cube = makers.cubes[int(rng.integers(len(makers.cubes)))]
        return _inside(frames, apply_cube(frames, cube.table), mask), f"LUT {cube.name}"
    return _inside(frames, LOOKS[makers.look](frames, rng), mask), f"procedural {makers.look} look"


def _many_looks(frames: Array, mask: Array, rng: np.random.Generator, makers: Makers) -> Tuple[Array, str]:
    if makers.cubes:
        picks = rng.integers(len(makers.cubes), size=len(frames))
        graded = np.stack([apply_cube(frame, makers.cubes[k].table) for frame, k in zip(frames, picks)])
        return _inside(frames, graded, mask), f"one of {len(makers.cubes)} LUTs per frame"
    graded = DEGRADATIONS["looks-fg"].function(frames, rng)
    return _inside(frames, graded, mask), "a procedural display grade per frame"


def _harmonized(
    material: Material, mask: Array, others: Iterable[Material], makers: Makers, rng: np.random.Generator
) -> Made:
    frames = material.clip.frames
    background, where = _background(material, mask, others)
    made = harmonize_frames(frames, background, mask, makers.harmonizer or StandIn(rng), makers.batch)
    # The motion to keep is the original foreground's; over the new background, as the paper measures it.
    reference = composite(frames, background, mask)
    return Made(made, background, mask, reference, None, f"{makers.harmonizer_name}, over {where}")


class StandIn:
    """A per-frame harmonizer without a network: right on average, with a random error in every frame.

    It matches the background's statistics and adds a new error to each frame: of exposure, of colour and of the light's
    direction (a gradient over the subject). The result flickers, as the paper describes image harmonizers that run
    frame by frame. A `stages.frame_harmonizers.FrameHarmonizer`.
    """

    EXPOSURE_STOPS, COLOUR_STOPS, GRADIENT_STOPS = 0.15, 0.06, 0.5

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def __call__(self, foreground: Array, background: Array, mask: Array) -> Array:
        """Return harmonized frames `(N, H, W, 3)`."""
        return np.stack([self._frame(*one) for one in zip(foreground, background, mask)])

    def _frame(self, foreground: Array, background: Array, mask: Array) -> Array:
        rng = self._rng
        level = rng.normal(0, self.EXPOSURE_STOPS) + rng.normal(0, self.COLOUR_STOPS, 3)
        angle, steep = rng.uniform(0, 2 * np.pi), rng.normal(0, self.GRADIENT_STOPS)
        made = composite(foreground[None], background[None], mask[None])
        right = np.asarray(reinhard_log(made, mask[None])[0], np.float32)
        rows, columns = np.nonzero(mask > 0.5)
        if not len(rows):
            return right
        height, width = mask.shape
        y, x = np.mgrid[0:height, 0:width]
        reach = max(float(np.ptp(rows)), float(np.ptp(columns)), 1.0)
        along = ((x - columns.mean()) * np.cos(angle) + (y - rows.mean()) * np.sin(angle)) / reach
        stops = level + steep * np.clip(along, -1, 1)[..., None]
        return (right * np.exp2(stops)).astype(np.float32)


def _background(material: Material, mask: Array, others: Iterable[Material]) -> Tuple[Array, str]:
    """Return the new background at the clip's size, and its origin as text."""
    if material.background is not None:
        return material.background, "its own new background"
    for each in others:
        usable = not each.clip.cut_out and each.clip.name != material.clip.name
        if usable and each.clip.masks is not None:
            plate = _plate(each, each.clip.masks)
            index = _there_and_back(len(plate), len(mask))
            return np.stack([covering(plate[k], mask.shape[1:]) for k in index]), each.clip.name
    raise NotThisClip(
        f"{material.clip.name} has no other background.",
        fix="Give more clips, or the role `background` in the index.",
    )


def _there_and_back(count: int, wanted: int) -> List[int]:
    """Return `wanted` frame numbers that run to the end of `count` frames and back."""
    period = max(2 * (count - 1), 1)
    return [min(k % period, period - k % period) for k in range(wanted)] if count > 1 else [0] * wanted


def _plate(material: Material, mask: Array) -> Array:
    """Return the background without foreground, as given or by temporal median; soft edges are cleared, too."""
    if material.plate is not None:
        return material.plate
    hard = np.stack([cv2.dilate((each > 0.02).astype(np.float32), np.ones((3, 3))) for each in mask])
    return temporal_median(material.clip.frames, hard.astype(np.float32))


def _inside(frames: Array, changed: Array, mask: Array) -> Array:
    """Return the change inside the mask, and elsewhere the unchanged values."""
    weight = mask[..., None]
    return np.where(weight > 0, frames + (changed - frames) * weight, frames).astype(np.float32)
