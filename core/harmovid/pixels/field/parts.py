"""The lighting field: how light changed, in stops, as a function of a pixel's colour and position.

    from harmovid.pixels.field import NULL, Curve, LightingField

    field = LightingField((Curve.gain(0.5, 0.5, 0.5),))   # half a stop brighter
    field.then(other).scaled(0.8)                          # composed, then faded towards "no change"
    LightingField.from_bytes(field.to_bytes())             # no pickle, size-capped (docs/lighting-field.md)

A field holds numbers only. `harmovid.pixels.apply` evaluates it, `fitting.fit` makes one from two pictures,
`exr_channels` writes it into EXR channels, `fitting.grade` exports its global part.

Every part maps (the pixel's unassociated scene-linear RGB, its position in plate pixels) to stops per channel. Parts
are applied one after the other: each sees the pixel as the parts before it have changed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple, Union

import numpy as np
import numpy.typing as npt

from harmovid.errors import InputError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Box = Tuple[float, float, float, float]

CURVE_TERMS = ("1", "r", "g", "b", "rr", "gg", "bb", "rg", "gb", "br")
"""The terms that the ten coefficients of a `Curve` multiply, in this order."""

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of the luma that addresses a `Grid` (Rec. ITU-R BT.709-6, item 3.2). Part of the definition of a
field: the same weights for any primaries, since luma only selects a cell here."""

STOPS_LIMIT = 16.0
"""No part changes a pixel by more than this, in stops: all positive half floats, denormals too, span 40."""

STRENGTH_LIMIT = 16.0
"""Limit of the strength of `Faded`; negative strengths invert a field."""

GUIDE_FLOOR_STOPS = -40.0
GUIDE_CEIL_STOPS = 40.0
"""Logarithms are taken of values clipped to 2**-40 ... 2**40; black and negative pixels count as the lower limit."""

MID_GREY = 0.18


def _array(value: Any, dtype: Any, shape: Tuple[int, ...], name: str) -> npt.NDArray[Any]:
    """Return `value` as a read-only contiguous array after checking its shape (-1 is any length >= 1)."""
    array = np.array(value, dtype=dtype, order="C", copy=True)
    fits = array.ndim == len(shape) and all(
        have >= 1 and want in (-1, have) for have, want in zip(array.shape, shape)
    )
    if not fits:
        raise InputError(f"{name} of a lighting field has shape {array.shape}.", fix=f"It must be {shape}.")
    if not np.isfinite(array).all():
        raise InputError(
            f"{name} of a lighting field holds NaN or infinity.", fix="Every number must be finite."
        )
    array.setflags(write=False)
    return array


def _range(low: float, high: float, owner: str) -> Tuple[float, float]:
    low, high = float(low), float(high)
    if not (GUIDE_FLOOR_STOPS <= low < high <= GUIDE_CEIL_STOPS):
        raise InputError(
            f"the range of a {owner} is {low} to {high} stops.",
            fix=f"It must rise and lie within {GUIDE_FLOOR_STOPS} to {GUIDE_CEIL_STOPS}.",
        )
    return low, high


def _box(box: Any, owner: str) -> Box:
    x0, y0, x1, y1 = (float(value) for value in box)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        raise InputError(
            f"the box of a {owner} is {(x0, y0, x1, y1)}.", fix="It must be finite and not empty."
        )
    return (x0, y0, x1, y1)


@dataclass(frozen=True, eq=False)
class Curve:
    """The global part: a quadratic in log2 light, the same for every pixel.

    `stops = coeffs @ [1, r, g, b, rr, gg, bb, rg, gb, br]`, `r, g, b = clip(log2(rgb / anchor), low, high)`.
    The clip limits the slope: values outside the fitted range get the stops at the end of the range.

    Attributes:
        coeffs: `(3, 10)` float64, rows are the stops of R, G, B; columns as in `CURVE_TERMS`.
        anchor: scene-linear value that reads as 0, > 0.
        low, high: ends of the range, in stops from the anchor.
    """

    coeffs: Float64
    anchor: float = MID_GREY
    low: float = -12.0
    high: float = 12.0

    def __post_init__(self) -> None:
        low, high = _range(self.low, self.high, "curve")
        anchor = float(self.anchor)
        if not 2.0**-20 <= anchor <= 2.0**20:
            raise InputError(f"the anchor of a curve is {anchor}.", fix="It must be a positive linear value.")
        object.__setattr__(self, "coeffs", _array(self.coeffs, np.float64, (3, 10), "coeffs"))
        object.__setattr__(self, "anchor", anchor)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @classmethod
    def gain(cls, red: float, green: float, blue: float) -> Curve:
        """Return the curve that adds the same stops to every pixel: `red, green, blue` in stops."""
        coeffs = np.zeros((3, 10))
        coeffs[:, 0] = (red, green, blue)
        return cls(coeffs)

    def scaled(self, strength: float) -> Curve:
        """Return the curve with all its stops times `strength`."""
        return Curve(self.coeffs * strength, self.anchor, self.low, self.high)


@dataclass(frozen=True, eq=False)
class Grid:
    """The local part: a bilateral grid of stops over x, y and log2 luma, read trilinearly.

    The coordinates of a pixel are its position in `box` and `clip(log2 luma, low, high)`. Samples are at the centres of
    `gw` x `gh` equal cells of the box (like the pixels of a picture) and at `gz` equal steps from `low` to
    `high`; coordinates beyond the outermost samples are clamped.

    Attributes:
        stops: `(gh, gw, gz, 3)` float32.
        box: `(x0, y0, x1, y1)` in plate pixels, x1/y1 exclusive.
        low, high: log2 of scene-linear luma (`LUMA`), not relative to an anchor.
    """

    stops: Float32
    box: Box
    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = _range(self.low, self.high, "grid")
        object.__setattr__(self, "stops", _array(self.stops, np.float32, (-1, -1, -1, 3), "grid stops"))
        object.__setattr__(self, "box", _box(self.box, "grid"))
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def scaled(self, strength: float) -> Grid:
        """Return the grid with all its stops times `strength`."""
        return Grid(self.stops * np.float32(strength), self.box, self.low, self.high)


@dataclass(frozen=True, eq=False)
class GainMap:
    """The sharp local part: stops at proxy size, read bilinearly, the same for dark and bright pixels.

    Attributes:
        stops: `(h, w, 3)` float32, samples at the centres of `w` x `h` equal cells of `box`.
        box: `(x0, y0, x1, y1)` in plate pixels, x1/y1 exclusive; positions outside are clamped to the border.
    """

    stops: Float32
    box: Box

    def __post_init__(self) -> None:
        object.__setattr__(self, "stops", _array(self.stops, np.float32, (-1, -1, 3), "gain map stops"))
        object.__setattr__(self, "box", _box(self.box, "gain map"))

    def scaled(self, strength: float) -> GainMap:
        """Return the map with all its stops times `strength`."""
        return GainMap(self.stops * np.float32(strength), self.box)


@dataclass(frozen=True, eq=False)
class Faded:
    """Several parts combined: the sum of their stops, times `strength`.

    Inside, the parts see each other at full strength, so that fading blends the whole answer with "no change" and does
    not alter the input of the later parts.
    """

    parts: Tuple[Part, ...]
    strength: float

    def __post_init__(self) -> None:
        strength = float(self.strength)
        if not abs(strength) <= STOPS_LIMIT:
            raise InputError(
                f"the strength of a field is {strength}.", fix=f"It must be within {STOPS_LIMIT}."
            )
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "strength", strength)

    def scaled(self, strength: float) -> Faded:
        """Return the same parts, faded further."""
        return Faded(self.parts, self.strength * strength)


Part = Union[Curve, Grid, GainMap, Faded]


@dataclass(frozen=True, eq=False)
class LightingField:
    """A frame's change of light: parts applied one after the other. No parts: the null field."""

    parts: Tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))

    @property
    def is_null(self) -> bool:
        """Whether the field has no parts; such a field leaves every pixel bit-identical."""
        return not self.parts

    def scaled(self, strength: float) -> LightingField:
        """Return this field blended with the null field, in stops.

        Args:
            strength: factor for the stops; 0 gives the null field, 1 this field.
        """
        if strength == 0 or self.is_null:
            return NULL
        if strength == 1:
            return self
        if len(self.parts) == 1:
            return LightingField((self.parts[0].scaled(strength),))
        return LightingField((Faded(self.parts, strength),))

    def then(self, other: LightingField) -> LightingField:
        """Return the field that applies this one and then `other`."""
        return LightingField(self.parts + other.parts)

    def to_bytes(self) -> bytes:
        """Return the field as bytes ("Saved fields" in docs/lighting-field.md); `InputError` if too large."""
        from harmovid.pixels.field.encoding import pack

        return pack(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> LightingField:
        """Rebuild a field; raise `ProtocolError` for bytes that `to_bytes` could not have made."""
        from harmovid.pixels.field.encoding import unpack

        return unpack(data)


NULL = LightingField()
"""The null field: every pixel stays bit-identical."""
