"""Proxies to the network's pictures and back: linear composites, one exposure anchor per shot, the VAE's range.

    seen = see(frame, conditions)                        # Seen: composite, background, mask, all scene-linear
    picture = to_range(seen.composite, anchor, description)
    light = from_range(picture, anchor, description)

The same rules as `harmovid_training.stages.pairs` and `harmovid_training.models.space`; the numbers are in the bundle.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Dict, Iterable, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import EngineFailed
from harmovid.pixels.colour.model_space import MID_GREY, exposure_anchor, from_model, to_model
from harmovid.pixels.colour.srgb import srgb_decode, srgb_encode

from harmovid_server.engines.base import ProxyFrame
from harmovid_server.engines.diffusion.description import BACKGROUND, COMPOSITE, SRGB, Description

Float32 = npt.NDArray[np.float32]

MATTE_STEPS = 255
"""Number of levels of a matte that is packed while its frame waits for an answer."""

CLIPPED = 0.98
"""From this value on a picture in the VAE's range may be clipped, so the brightness is not known."""


@dataclass(frozen=True)
class Seen:
    """One frame as the network sees it.

    Attributes:
        number: the frame number. box: the display window in plate pixels.
        pictures: `composite`, and `background` if the network needs one, `(h, w, 3)` scene-linear.
        mask: `(h, w)` where the foreground is, or where to remove flicker.
    """

    number: int
    box: Tuple[int, int, int, int]
    pictures: Dict[str, Float32]
    mask: Float32


def see(frame: ProxyFrame, conditions: Tuple[str, ...]) -> Seen:
    """Return a frame as seen by a network with these conditions.

    Raises:
        EngineFailed: a foreground has no matte.
    """
    if BACKGROUND not in conditions:
        plate = frame.images["plate"]
        mask = frame.mattes.get("mask", np.ones(plate.shape[:2], np.float32))
        return Seen(frame.number, frame.box, {COMPOSITE: plate}, mask * frame.mattes["coverage"])
    matte = frame.mattes.get("matte")
    if matte is None:
        raise EngineFailed("this engine needs a matte.", fix="Give one, or a foreground with alpha.")
    foreground, background, share = frame.images["fg"], frame.images["bg"], matte[..., None]
    composite = np.asarray(foreground * share + background * (1 - share), np.float32)
    return Seen(frame.number, frame.box, {COMPOSITE: composite, BACKGROUND: background}, matte)


def anchor_of(composites: Iterable[Float32], description: Description) -> float:
    """Return the exposure anchor of a shot from its first composites; pictures in display space have a fixed one."""
    return MID_GREY if description.space == SRGB else exposure_anchor(composites)


def to_range(linear: Float32, anchor: float, description: Description) -> Float32:
    """Return scene-linear pictures in the VAE's range, clipped to -1..1."""
    if description.space == SRGB:
        return np.asarray(srgb_encode(np.clip(linear, 0, 1)) * 2 - 1, np.float32)
    span = 2.0 / (description.white - description.black)
    scaled = (to_model(linear, anchor) - description.black) * span - 1.0
    return np.asarray(np.clip(scaled, -1.0, 1.0), np.float32)


def from_range(pictures: Float32, anchor: float, description: Description) -> Float32:
    """Return the VAE's pictures converted to scene-linear."""
    if description.space == SRGB:
        return np.asarray(srgb_decode(np.clip((pictures + 1) / 2, 0, 1)), np.float32)
    half = (description.white - description.black) / 2.0
    codes = np.asarray((pictures + 1.0) * half + description.black, np.float32)
    return np.asarray(from_model(codes, anchor), np.float32)


def padded(picture: Float32, unit: Tuple[int, int]) -> Float32:
    """Return a picture `(h, w, ...)` with its lower and right edges repeated up to sides of these multiples."""
    down, right = (-side % one for side, one in zip(picture.shape[:2], unit))
    return np.pad(picture, ((0, down), (0, right), *((0, 0),) * (picture.ndim - 2)), mode="edge")


def coverage(masks: Float32, description: Description, first: bool) -> Float32:
    """Return the coverage of each latent, `(1, 1, T', h, w)`: the mean over its pixels and frames.

    Args:
        masks: `(T, H, W)`. first: whether frame 0 is the clip's first frame, which has its own latent.
    """
    count, high, wide = masks.shape
    unit = description.spatial
    small = masks.reshape(count, high // unit, unit, wide // unit, unit).mean(axis=(2, 4), dtype=np.float32)
    lead = 1 if first else 0
    later = small[lead:].reshape(-1, description.temporal, *small.shape[1:]).mean(axis=1)
    return np.concatenate([small[:lead], later])[None, None].astype(np.float32)


def packed(mask: Float32) -> bytes:
    """Return a matte packed for keeping it for a whole shot."""
    return zlib.compress(np.rint(np.clip(mask, 0, 1) * MATTE_STEPS).astype(np.uint8).tobytes(), 1)


def unpacked(data: bytes, size: Tuple[int, int]) -> Float32:
    """Return the matte `(h, w)` that `packed` packed."""
    return np.frombuffer(zlib.decompress(data), np.uint8).reshape(size).astype(np.float32) / np.float32(
        MATTE_STEPS
    )
