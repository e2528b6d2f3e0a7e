"""Real footage as a network's inputs, to measure FP8's scales and to check that a plan's results are finite.

    clip = clip_of(Path("plates/street"), count=17, size=(480, 720), space="acescct")
    clip.pictures["composite"], clip.mask              # (T, H, W, 3) in the VAE's range, (T, H, W)

One plate becomes an input of either network: an ellipse in it is the foreground, and its light differs from the
plate's and flickers. It needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict

import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError
from harmovid_training.clips.read import Source, count_frames, read_frames
from harmovid_training.models import space as ranges

Float32 = npt.NDArray[np.float32]

TINT_STOPS = (0.9, 0.2, -0.5)
"""How much brighter red, green and blue of the foreground are than the plate's light."""

FLICKER_STOPS = 0.4


@dataclass(frozen=True)
class Proxies:
    """A clip as networks take it: pictures `(T, H, W, 3)` in the VAE's range by name, a mask `(T, H, W)` in 0..1."""

    pictures: Dict[str, Float32]
    mask: Float32


def clip_of(source: Path, count: int, size: tuple[int, int], space: str) -> Proxies:
    """Return the first `count` frames of a folder of frames or a video; a shorter one stands still at its end.

    Args:
        size: height and width in pixels.
        space: of the pictures, `harmovid_training.models.space`.

    Raises:
        InputError, FrameError: it holds no frames, or one cannot be read.
    """
    given = Source(source)
    try:
        has = min(count_frames(given), count)
    except OSError as error:
        raise InputError(
            f"{source} cannot be read: {error}.", fix="Name a folder of frames or a video."
        ) from error
    plate = read_frames(given, 0, has, size)
    return proxies_of(np.concatenate([plate, *[plate[-1:]] * (count - has)]), space)


def drawn(count: int, size: tuple[int, int], space: str) -> Proxies:
    """Return a drawn clip, for machines without footage: a ramp over 12 stops, a lamp that moves, grain."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    rng = np.random.default_rng(0)
    frames = []
    for number in range(count):
        light = 0.18 * 2 ** (12 * columns / max(size[1] - 1, 1) - 7)
        middle = size[0] / 2, size[1] * (number + 1) / (count + 1)
        far = np.hypot(rows - middle[0], columns - middle[1]) / size[0]
        light = light + 50 * np.exp(-((far * 12) ** 2))
        frames.append(light[..., None] * (1 + 0.05 * rng.standard_normal((*size, 3))))
    return proxies_of(np.stack(frames).astype(np.float32), space)


def proxies_of(plate: Float32, space: str) -> Proxies:
    """Return the inputs that are made of a plate `(T, H, W, 3)` of scene-linear light."""
    count, high, wide = plate.shape[:3]
    rows, columns = np.mgrid[:high, :wide].astype(np.float32)
    inside = np.hypot((rows / high - 0.55) / 0.35, (columns / wide - 0.5) / 0.2)
    mask = np.repeat(np.clip((1 - inside) * 8, 0, 1)[None], count, axis=0).astype(np.float32)
    flicker = FLICKER_STOPS * np.sin(np.arange(count) * 2.1)
    stops = np.asarray(TINT_STOPS)[None, None, None] + flicker[:, None, None, None]
    foreground = plate * np.exp2(stops).astype(np.float32)
    composite = foreground * mask[..., None] + plate * (1 - mask[..., None])
    anchor = ranges.anchor_of(composite, space)
    pictures = {
        "composite": ranges.encode(composite, anchor, space),
        "background": ranges.encode(plate, anchor, space),
    }
    return Proxies(pictures, mask)
