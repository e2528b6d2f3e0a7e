"""Stage 1: image harmonizers that see one frame at a time, behind one interface, eq. 1 of the paper.

    harmonizer = IcLight.from_pretrained(file)                   # background-conditioned IC-Light through diffusers
    harmonizer = CommandHarmonizer(["my-tool", "{foreground}", "{background}", "{mask}", "{out}"])
    synthetic = harmonize_frames(clip, background, mask, harmonizer)

A harmonizer takes several frames at once for speed, but treats each on its own, so the result flickers; stage 2 removes
that flicker. Frames are scene-linear `(N, H, W, 3)` float32.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Protocol, Sequence

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

from harmovid_training.clips.command import checked, exchange
from harmovid_training.stages.pairs import composite

Float32 = npt.NDArray[np.float32]


class FrameHarmonizer(Protocol):
    """HarmoIm of eq. 1, applied to each frame independently."""

    def __call__(self, foreground: Float32, background: Float32, mask: Float32) -> Float32:
        """Return the harmonized frames `(N, H, W, 3)`, scene-linear; only their foreground is used.

        Args:
            foreground, background: `(N, H, W, 3)` scene-linear.
            mask: `(N, H, W)` in 0..1.
        """


def harmonize_frames(
    foreground: Float32, background: Float32, mask: Float32, harmonizer: FrameHarmonizer, batch: int = 0
) -> Float32:
    """Return V_S of eq. 1, `(T, H, W, 3)`: every frame harmonized alone, over the untouched background.

    Args:
        batch: number of frames per call of the harmonizer; 0 passes the whole clip.

    Raises:
        InputError: the clips differ in size or length, or the harmonizer returns another size or values that are not
            finite.
    """
    made = composite(foreground, background, mask)
    for start in range(0, len(made), batch or len(made)):
        part = slice(start, start + (batch or len(made)))
        frames = harmonizer(foreground[part], background[part], mask[part])
        if frames.shape != made[part].shape:
            raise InputError(f"the harmonizer made {frames.shape} of {made[part].shape}.")
        bad = np.flatnonzero(~np.isfinite(frames).all((1, 2, 3)))
        if len(bad):
            raise InputError(f"the harmonizer's frame {start + bad[0]} holds values that are no numbers.")
        made[part] = composite(frames, background[part], mask[part])
    return made


FOLDERS = ("foreground", "background", "mask")
"""What an external program reads."""


class CommandHarmonizer:
    """An external program, started once per clip: it reads EXRs in the folders `{foreground}`, `{background}`, `{mask}`
    and writes one EXR of the same name for each to `{out}`.

    Raises:
        InputError: there is no such program, or it names other folders.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = checked(command, FOLDERS)

    def __call__(self, foreground: Float32, background: Float32, mask: Float32) -> Float32:
        """See `FrameHarmonizer`."""
        given = dict(zip(FOLDERS, (foreground, background, mask[..., None])))
        with tempfile.TemporaryDirectory() as folder:
            return exchange(self._command, Path(folder), given, len(foreground))
