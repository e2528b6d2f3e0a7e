"""How a layer's colours are stored, and conversion to linear light and back. docs/colour.md explains it.

    space = space_of(job.colorspace.get("plate", ""), frame.chromaticities)
    linear = space.to_linear(rgb)                           # in space.primaries
    background = bg_space.to_linear(bg, space.primaries)    # in the plate's primaries
    stored = space.from_linear(linear)

One standard per file: `primaries.py`, `acescct.py`, `srgb.py`, `ocio.py`, `model_space.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np
import numpy.typing as npt

from harmovid.errors import ColourError
from harmovid.pixels.colour.ocio import DEFAULT_CONFIG, ColourConfig, load_config
from harmovid.pixels.colour.primaries import (
    AP0,
    AP1,
    GAMUTS,
    P3_D65,
    REC709,
    REC2020,
    Primaries,
    convert_primaries,
    file_primaries,
    same_gamut,
)

__all__ = [
    "Space", "space_of", "load_config", "ColourConfig", "DEFAULT_CONFIG",
    "Primaries", "REC709", "REC2020", "P3_D65", "AP0", "AP1", "GAMUTS",
    "convert_primaries", "file_primaries", "same_gamut",
]  # fmt: skip

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """How a layer's colours are stored.

    Attributes:
        primaries: of the linear light that `to_linear` returns.
        name: OpenColorIO name if a transform is needed; empty if the stored values are linear already.
        config: the configuration with that name.
    """

    primaries: Primaries
    name: str = ""
    config: Optional[ColourConfig] = None

    @property
    def linear(self) -> bool:
        """Whether the stored values are linear light already."""
        return self.config is None

    def to_linear(self, rgb: Float32, primaries: Optional[Primaries] = None) -> Float32:
        """Return stored `(H, W, 3)` float32 as scene-linear light, unbounded.

        Args:
            rgb: as stored; unassociated if the space is not linear.
            primaries: primaries of the result; None for the space's own. `rgb` itself if there is nothing to convert.

        Raises:
            ColourError: the configuration cannot convert the space.
        """
        config = self.config
        linear = rgb if config is None else config.convert(rgb, self.name, config.scene_linear)
        return linear if primaries is None else convert_primaries(linear, self.primaries, primaries)

    def from_linear(self, rgb: Float32, primaries: Optional[Primaries] = None) -> Float32:
        """Return scene-linear `(H, W, 3)` float32 converted to this space; the inverse of `to_linear`."""
        config = self.config
        linear = rgb if primaries is None else convert_primaries(rgb, primaries, self.primaries)
        return linear if config is None else config.convert(linear, config.scene_linear, self.name)


def space_of(
    name: str = "", chromaticities: Optional[Sequence[float]] = None, config: Optional[ColourConfig] = None
) -> Space:
    """Return how a layer is stored.

    Args:
        name: OpenColorIO colour space, alias or role; empty is scene-linear with the file's own primaries.
        chromaticities: the file's attribute, used if `name` is empty. None is Rec.709, the default of OpenEXR.
        config: the configuration; None for `load_config()`.

    Returns:
        a space. A named linear space whose primaries the configuration states needs no transform: its values are
        used as they are. Any other is converted to the configuration's scene_linear role and back.

    Raises:
        ColourError: there is no such colour space, it is for data, or the chromaticities do not define a gamut.
    """
    if not name:
        return Space(file_primaries(chromaticities))
    known = config or load_config()
    canonical = known.canonical(name)
    if known.is_data(canonical):
        raise ColourError(
            f"{canonical} holds data, not colour.", fix="Name the colour space the picture is in."
        )
    told = known.primaries(canonical) if known.is_linear(canonical) else None
    if told is not None:
        return Space(told)
    return Space(known.scene_linear_primaries(), canonical, known)
