"""ASC CDL: a correction, and the one that comes closest to a lighting field's curves.

ASC Color Decision List 1.2 (American Society of Cinematographers, 2009): `out = (in * slope + offset) **
power` per channel, then `luma + saturation * (out - luma)` with Rec. ITU-R BT.709 luma. Here it applies to
scene-linear light without clamping, as OpenColorIO and Nuke read CDL files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Tuple

import numpy as np
import numpy.typing as npt

from harmovid.pixels.apply.tiles import field_stops
from harmovid.pixels.field import LUMA, Curve, Faded, Float64, LightingField, Part
from harmovid.pixels.field.exr_channels import global_part
from harmovid.pixels.fitting.descent import descend

Triple = Tuple[float, float, float]
Array = npt.NDArray[Any]

LEVELS = 25
"""Number of levels over the curve's range at which a correction is fitted."""

TINTS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0), (0, -1, 0), (0, 0, -1))
"""At each level: grey, and colours that differ from it in one channel by these multiples of `TINT_STOPS`."""

TINT_STOPS = 0.75

EXACT_STOPS = 1e-4
"""If a gain and a power per channel are this close to the curve, they are used as they are."""

_DARKEST = 2.0**-30
_SMALLEST_POWER = 0.05


@dataclass(frozen=True)
class Cdl:
    """One correction, and its distance from the curve that it approximates.

    Attributes:
        slope, offset, power: per channel.
        saturation: about Rec.709 luma, after the powers.
        max_residual_stops, mean_residual_stops: over the colours of the fit.
    """

    slope: Triple = (1.0, 1.0, 1.0)
    offset: Triple = (0.0, 0.0, 0.0)
    power: Triple = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    max_residual_stops: float = 0.0
    mean_residual_stops: float = 0.0

    def apply(self, rgb: Array) -> Float64:
        """Return scene-linear `(..., 3)` corrected; the power is not applied to values of 0 or below."""
        value = np.asarray(rgb, np.float64) * np.array(self.slope) + np.array(self.offset)
        value = np.where(value > 0, np.abs(value) ** np.array(self.power), value)
        luma = (value @ np.array(LUMA))[..., None]
        corrected: Float64 = luma + self.saturation * (value - luma)
        return corrected


def fit_cdl(field: LightingField) -> Cdl:
    """Return the correction closest to the field's curves, in stops, over their range.

    Exact for a gain and a power per channel; otherwise damped least squares over all ten numbers.
    """
    grade = global_part(field)
    if grade.is_null:
        return Cdl()
    colours, wanted = samples(grade)
    numbers = _start(colours, wanted)
    error = _error(numbers, colours, wanted)
    if np.abs(error).max() > EXACT_STOPS:
        # An offset matters most at the dark end, so its unit is the darkest sample.
        unit = np.array([1.0] * 3 + [float(colours.min())] * 3 + [1.0] * 4)
        numbers, error = descend(numbers, lambda trial: _error(trial, colours, wanted), unit)
    largest, mean = float(np.abs(error).max()), float(np.abs(error).mean())
    return replace(_correction(numbers), max_residual_stops=largest, mean_residual_stops=mean)


def samples(grade: LightingField) -> Tuple[Float64, Float64]:
    """Return colours `(n, 3)` over the range of a grade's first curve, and the log2 values that they should get.

    Args:
        grade: a field's global part, not null.
    """
    colours = _sample_colours(grade.parts[0])
    shift = field_stops(np.ascontiguousarray(colours, np.float32)[:, None], grade, origin=(0, 0))[:, 0]
    return colours, np.log2(colours) + shift.astype(np.float64)


def _sample_colours(part: Part) -> Float64:
    """Return `(tints * levels, 3)` colours over the range of the first curve, as exact float32 values."""
    if isinstance(part, Faded):
        return _sample_colours(part.parts[0])
    if not isinstance(part, Curve):
        raise TypeError("a grade holds curves only")
    levels = np.linspace(part.low, part.high, LEVELS)
    tints = np.array(TINTS, np.float64)[:, None] * TINT_STOPS
    stops = np.clip(levels[None, :, None] + tints, part.low, part.high)
    colours: Float64 = (part.anchor * np.exp2(stops)).reshape(-1, 3).astype(np.float32).astype(np.float64)
    return colours


def _start(colours: Float64, wanted: Float64) -> Float64:
    """Return the ten numbers of the best line per channel: log2 slope, offset, log2 power; saturation - 1."""
    numbers = np.zeros(10)
    for channel in range(3):
        logs, target = np.log2(colours[:, channel]), wanted[:, channel]
        power = max(float(np.polyfit(logs, target, 1)[0]), _SMALLEST_POWER)
        numbers[channel] = (target - power * logs).mean() / power
        numbers[6 + channel] = np.log2(power)
    return numbers


MOST_STOPS = 24.0
"""Slopes and powers are limited to two to the power of plus or minus this."""


def _correction(numbers: Float64) -> Cdl:
    """Return the correction with these ten numbers."""
    # The search may try any number; no correction needs more than this.
    slope, power = (np.exp2(np.clip(part, -MOST_STOPS, MOST_STOPS)) for part in (numbers[:3], numbers[6:9]))
    offset = numbers[3:6]
    return Cdl(_triple(slope), _triple(offset), _triple(power), float(1 + numbers[9]))


def _triple(values: Float64) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])


def _error(numbers: Float64, colours: Float64, wanted: Float64) -> Float64:
    """Return the error of each channel of each colour, in stops."""
    error: Float64 = np.log2(np.maximum(_correction(numbers).apply(colours), _DARKEST)) - wanted
    return error
