"""The training pairs of each stage, as functions of clips: equations 4 to 6 of the paper and its two training paths.

                      composite                             background    mask          target
    stage 2  (eq. 4)  C(synthetic, real, binary)            -             binary        real
    stage 3  real to synthetic
                      C(real, new background, binary)       new bg        binary        steady synthetic
    stage 3  synthetic to real
                      C(steady synthetic, plate, alpha)     plate         pseudo alpha  real

`synthetic` is stage 1's result, `steady` the same after the deflicker network, `plate` the real background
with the foreground removed. Clips are scene-linear `(T, H, W, 3)` float32, masks `(T, H, W)` in 0..1.
Composites are made in linear light. All pictures of a sample are encoded with one exposure anchor, that of the
composite, so that differences of brightness between them are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

from harmovid_training.models.space import ACESCCT, anchor_of, decode, encode

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shot:
    """The clips of one entry of the dataset, for all stages; see the module for the fields."""

    real: Float32
    mask: Float32
    background: Float32
    synthetic: Float32
    plate: Float32
    alpha: Float32
    steady: Float32 | None = None


@dataclass(frozen=True)
class Sample:
    """One training sample: pictures in the VAE's range `(T, H, W, 3)`, a mask `(T, H, W)`.

    Attributes:
        pictures: `composite`, and `background` where the path has one.
        mask: the network's mask input.
        target: the right answer.
        anchor: linear value at mid grey of this sample's encoding.
        space: of the pictures, see `models.space`.
    """

    pictures: dict[str, Float32]
    mask: Float32
    target: Float32
    anchor: float
    space: str = ACESCCT

    def light(self, pictures: Float32) -> Float32:
        """Return the scene-linear light of a network's pictures for this sample."""
        return decode(pictures, self.anchor, self.space)


def composite(foreground: Float32, background: Float32, mask: Float32) -> Float32:
    """Return C(F, B, M), eq. 4: unassociated foreground over background, in linear light.

    Raises:
        InputError: the clips differ in size or length.
    """
    if foreground.shape != background.shape or mask.shape != foreground.shape[:3]:
        raise InputError(
            f"a foreground of {foreground.shape} and a mask of {mask.shape} do not go over {background.shape}.",
            fix="Bring all clips to one length and size.",
        )
    cover = mask[..., None]
    return np.asarray(foreground * cover + background * (1 - cover), np.float32)


def padded(clip: Float32, multiple: int) -> Float32:
    """Return `(T, H, W, C)` with its lower and right edges repeated up to sides of that multiple."""
    down, right = (-side % multiple for side in clip.shape[1:3])
    return np.pad(clip, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge")


def deflicker_sample(shot: Shot, space: str = ACESCCT) -> Sample:
    """Stage 2: the flickering, relit foreground over the real background; the target is the real clip."""
    return _sample(composite(shot.synthetic, shot.real, shot.mask), None, shot.mask, shot.real, space)


def stage_one_sample(shot: Shot, space: str = ACESCCT) -> Sample:
    """The input from which the trained deflicker network makes `steady`: stage 1's clip. It has no target."""
    made = composite(shot.synthetic, shot.background, shot.mask)
    return _sample(made, None, shot.mask, made, space)


def real_to_synthetic(shot: Shot, space: str = ACESCCT) -> Sample:
    """Stage 3, first path: real foreground over a new background, binary mask, towards the steady synthetic clip."""
    made = composite(shot.real, shot.background, shot.mask)
    return _sample(made, shot.background, shot.mask, _steady(shot), space)


def synthetic_to_real(shot: Shot, space: str = ACESCCT) -> Sample:
    """Stage 3, second path: relit foreground over the real plate with the pseudo alpha, towards the real clip.

    Composite and conditioning use the same alpha; the real clip as the target has true edges to learn from.
    """
    made = composite(_steady(shot), shot.plate, shot.alpha)
    return _sample(made, shot.plate, shot.alpha, shot.real, space)


def dual_path(shot: Shot, rng: np.random.Generator, space: str = ACESCCT) -> Sample:
    """Stage 3: one of the two paths, drawn with equal probability."""
    return real_to_synthetic(shot, space) if rng.random() < 0.5 else synthetic_to_real(shot, space)


def _steady(shot: Shot) -> Float32:
    if shot.steady is None:
        raise InputError(
            "stage 3 needs clips that stage 2 has made steady.", fix="Run the deflicker network first."
        )
    return shot.steady


def _sample(made: Float32, background: Float32 | None, mask: Float32, target: Float32, space: str) -> Sample:
    anchor = anchor_of(made, space)
    pictures = {"composite": encode(made, anchor, space)}
    if background is not None:
        pictures["background"] = encode(background, anchor, space)
    return Sample(pictures, mask.astype(np.float32), encode(target, anchor, space), anchor, space)
