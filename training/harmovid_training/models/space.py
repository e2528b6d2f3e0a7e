"""The VAE's range: how model-space codes (ACEScct of anchored linear light) become the -1..1 that video VAEs
were trained on.

    pictures = encode(linear, anchor)                 # (T, H, W, 3) numpy, about -1..1
    linear = decode(pictures, anchor)

The space `srgb` follows the paper, whose videos are display pictures.

-1 is linear 0, +1 is `WHITE_STOPS` above mid grey: the highest light that still has detail in an ordinary picture.
Brighter values are clipped, because the VAE was never trained on them. The product still keeps highlights, as it
applies the change of light to the plate and does not use the network's picture (docs/lighting-field.md). The scale is
logarithmic, so that shadows and highlights have equal weight; to a VAE trained on display pictures they look flat.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from harmovid.pixels.colour.acescct import ACESCCT_OFFSET, ACESCCT_STOPS_TOTAL, acescct_encode
from harmovid.pixels.colour.model_space import MID_GREY, exposure_anchor, from_model, to_model
from harmovid.pixels.colour.srgb import srgb_decode, srgb_encode

Float32 = npt.NDArray[np.float32]

BLACK_CODE = ACESCCT_OFFSET
"""ACEScct of linear 0."""

MID_GREY_CODE = float(acescct_encode(np.array(MID_GREY)))
"""Where `model_space` puts the anchor."""

WHITE_STOPS = 5.0
"""Stops above the anchor that are encoded as +1: 32 times mid grey."""

WHITE_CODE = MID_GREY_CODE + WHITE_STOPS / ACESCCT_STOPS_TOTAL

SRGB, ACESCCT = "srgb", "acescct"

CONTRACT = {
    "encoding": "ACEScct of linear * 0.18 / anchor, primaries unchanged",
    "anchor": "harmovid.pixels.colour.model_space.exposure_anchor, once per shot",
    "minus_one": f"code {BLACK_CODE:.6f} (linear 0)",
    "plus_one": f"code {WHITE_CODE:.6f} ({WHITE_STOPS:g} stops above the anchor); brighter is clipped",
}
"""The colour contract, as written in a checkpoint's configuration and model card."""

CONTRACTS: dict[str, dict[str, str]] = {
    ACESCCT: CONTRACT,
    SRGB: {
        "encoding": "sRGB (IEC 61966-2-1) of linear, primaries unchanged; the paper's display pictures",
        "anchor": f"{MID_GREY:g}, fixed: light is taken as it is",
        "minus_one": "linear 0",
        "plus_one": "linear 1; brighter is clipped",
    },
}
"""By the name of a picture space: ours, and the paper's."""


def anchor_of(clip: Float32, space: str = ACESCCT) -> float:
    """Return the exposure anchor of a shot `(T, H, W, 3)` in a picture space."""
    return MID_GREY if space == SRGB else exposure_anchor(clip)


def encode(linear: Float32, anchor: float, space: str = ACESCCT) -> Float32:
    """Return scene-linear pictures in the VAE's range."""
    if space == SRGB:
        return np.asarray(srgb_encode(np.clip(linear, 0, 1)) * 2 - 1, np.float32)
    return to_vae(to_model(linear, anchor))


def decode(pictures: Float32, anchor: float, space: str = ACESCCT) -> Float32:
    """Return the scene-linear light of pictures in the VAE's range; the inverse of `encode` inside it."""
    if space == SRGB:
        return np.asarray(srgb_decode(np.clip((pictures + 1) / 2, 0, 1)), np.float32)
    return np.asarray(from_model(from_vae(pictures), anchor), np.float32)


def to_vae(codes: Float32) -> Float32:
    """Return model-space codes of any shape in the VAE's range, clipped to -1..1."""
    scaled = (codes - BLACK_CODE) * (2.0 / (WHITE_CODE - BLACK_CODE)) - 1.0
    return np.clip(scaled, -1.0, 1.0).astype(np.float32)


def from_vae(pictures: Float32) -> Float32:
    """Return model-space codes of pictures in the VAE's range; the inverse of `to_vae` inside it."""
    return np.asarray((pictures + 1.0) * ((WHITE_CODE - BLACK_CODE) / 2.0) + BLACK_CODE, np.float32)
