"""Foreground removal: makes the real plate for the synthetic-to-real path.

    plate = temporal_median(clip, mask)                           # classical, offline, no weights
    plate = CommandRemoval(["propainter", "--frames", "{frames}", ...])(clip, mask)

Clips are scene-linear `(T, H, W, 3)` float32, masks `(T, H, W)`, foreground above 0.5.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Protocol, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from harmovid_training.clips.command import checked, exchange

Float32 = npt.NDArray[np.float32]

GROW_PX = 2
"""By how much the mask is grown, so that the foreground's soft edge is removed too."""

REACH_FRAMES = 12
"""Frames in each direction that the median uses."""


class Remover(Protocol):
    """Removes the foreground."""

    def __call__(self, clip: Float32, mask: Float32) -> Float32:
        """Return the clip as it would be without its foreground; outside the grown mask bit-identical."""


def temporal_median(clip: Float32, mask: Float32) -> Float32:
    """Return the plate from the clip's own frames: see `Remover`.

    A hidden pixel takes the median of the nearest frames in which the same place is visible; pixels that are never
    visible are filled from their surroundings, coarse to fine (pull-push, Gortler et al. 1996). It does not follow
    camera motion: for moving cameras use a command with a network.
    """
    kernel = np.ones((2 * GROW_PX + 1, 2 * GROW_PX + 1), np.uint8)
    hidden = np.stack([cv2.dilate((frame > 0.5).astype(np.uint8), kernel) > 0 for frame in mask])
    plate = clip.copy()
    for index in range(len(clip)):
        near = slice(max(index - REACH_FRAMES, 0), index + REACH_FRAMES + 1)
        hole = hidden[index]
        seen = ~hidden[near][:, hole]
        values = np.where(seen[..., None], clip[near][:, hole], np.nan)
        known = seen.any(0)
        found = np.zeros((int(hole.sum()), 3), np.float32)
        if known.any():
            found[known] = np.nanmedian(values[:, known], axis=0)
        plate[index][hole] = found
        left = hole.copy()
        left[hole] = ~known
        if left.any():
            seen_here = (~left).astype(np.float32)
            plate[index][left] = _filled(plate[index] * seen_here[..., None], seen_here)[left]
    return plate


def _filled(picture: Float32, weight: Float32) -> Float32:
    if min(picture.shape[:2]) == 1 or (weight > 0).all():
        return np.asarray(picture / np.maximum(weight, 1e-9)[..., None], np.float32)
    half = ((picture.shape[1] + 1) // 2, (picture.shape[0] + 1) // 2)
    small: list[Any] = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in (picture, weight)]
    coarse = cv2.resize(_filled(small[0], small[1]), picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    own = picture / np.maximum(weight, 1e-9)[..., None]
    return np.where((weight > 0)[..., None], own, coarse).astype(np.float32)


class CommandRemoval:
    """An external inpainter: a command that reads `{frames}` and `{masks}`, folders of EXR, and writes EXR to `{out}`.

    Raises:
        InputError: there is no such program, or it names other folders.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = checked(command, ("frames", "masks"))

    def __call__(self, clip: Float32, mask: Float32) -> Float32:
        """See `Remover`; the command's changes outside the mask are discarded."""
        with tempfile.TemporaryDirectory() as folder:
            made = exchange(
                self._command, Path(folder), {"frames": clip, "masks": mask[..., None]}, len(clip)
            )
        kernel = np.ones((2 * GROW_PX + 1, 2 * GROW_PX + 1), np.uint8)
        hole = np.stack([cv2.dilate((frame > 0.5).astype(np.uint8), kernel) > 0 for frame in mask])
        return np.where(hole[..., None], made, clip).astype(np.float32)
