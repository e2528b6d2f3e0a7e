"""Nuke's Grade node: a correction, the one closest to a lighting field's curves, and the node as script text.

Nuke 13 reference guide, "Grade": `A = multiply * (gain - lift) / (whitepoint - blackpoint)`, `B = offset + lift - A *
blackpoint`, `output = pow(A * input + B, 1 / gamma)` per channel. Here blackpoint, whitepoint, lift and gain keep
their defaults, so A is the knob `multiply` and B the knob `add`. According to the Grade example of Nuke's developer
kit, the power applies from 0 to 1 only: values of 0 or below stay, and above 1 the output is the straight line `1 +
(value - 1) / gamma`. Black clamp is off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Mapping, Tuple

import numpy as np

from harmovid.pixels.field import Float64, LightingField
from harmovid.pixels.field.exr_channels import global_part
from harmovid.pixels.fitting.cdl import EXACT_STOPS, Array, Triple, samples
from harmovid.pixels.fitting.descent import descend

NODE_NAME = "HarmoVid_global"

_DARKEST = 2.0**-30
_GAMMA_LIMITS = (0.2, 5.0)
"""The range of Nuke's own slider."""


@dataclass(frozen=True)
class NukeGrade:
    """One frame of the node, and its distance from the curve that it approximates.

    Attributes:
        multiply, add, gamma: knobs, per channel.
        max_residual_stops, mean_residual_stops: over the colours of the fit.
    """

    multiply: Triple = (1.0, 1.0, 1.0)
    add: Triple = (0.0, 0.0, 0.0)
    gamma: Triple = (1.0, 1.0, 1.0)
    max_residual_stops: float = 0.0
    mean_residual_stops: float = 0.0

    def apply(self, rgb: Array) -> Float64:
        """Return scene-linear `(..., 3)` graded like Nuke does."""
        value = np.asarray(rgb, np.float64)
        channels = [
            _graded(value[..., c], self.multiply[c], self.add[c], 1 / self.gamma[c]) for c in range(3)
        ]
        return np.stack(channels, axis=-1)


def _graded(value: Float64, multiply: float, add: float, power: float) -> Float64:
    ramp = multiply * value + add
    curved = np.maximum(ramp, 0.0) ** power
    graded: Float64 = np.where(ramp <= 0, ramp, np.where(ramp < 1, curved, 1 + (ramp - 1) * power))
    return graded


def fit_nuke_grade(field: LightingField) -> NukeGrade:
    """Return the node closest to the field's curves, in stops, over their range.

    Exact for a gain per channel; otherwise damped least squares over the three knobs of each channel.
    """
    grade = global_part(field)
    if grade.is_null:
        return NukeGrade()
    colours, wanted = samples(grade)
    fitted = [_fit_channel(colours[:, c], wanted[:, c]) for c in range(3)]
    knobs = np.array([numbers for numbers, _ in fitted])
    error = np.concatenate([error for _, error in fitted])
    multiply, add, gamma = np.exp2(knobs[:, 0]), knobs[:, 1], 1 / _power(knobs[:, 2])
    found = NukeGrade(_triple(multiply), _triple(add), _triple(gamma))
    return replace(
        found, max_residual_stops=float(np.abs(error).max()), mean_residual_stops=float(np.abs(error).mean())
    )


def _fit_channel(light: Float64, wanted: Float64) -> Tuple[Float64, Float64]:
    """Return log2 multiply, add and log2 of 1 / gamma for one channel, and the errors in stops."""

    def error_of(numbers: Float64) -> Float64:
        graded = _graded(light, float(np.exp2(numbers[0])), float(numbers[1]), float(_power(numbers[2])))
        error: Float64 = np.log2(np.maximum(graded, _DARKEST)) - wanted
        return error

    gain = np.array([float(np.mean(wanted - np.log2(light))), 0.0, 0.0])
    error = error_of(gain)
    if np.abs(error).max() <= EXACT_STOPS:
        return gain, error
    # An offset matters most at the dark end, so its unit is the darkest sample.
    return descend(gain, error_of, np.array([1.0, float(light.min()), 1.0]))


def _power(log: Array) -> Float64:
    low, high = _GAMMA_LIMITS
    power: Float64 = np.clip(np.exp2(log), 1 / high, 1 / low)
    return power


def _triple(values: Float64) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])


def nk_text(grades: Mapping[int, NukeGrade]) -> str:
    """Return a Grade node, animated over the frames (linear between them), as text to open or to paste in Nuke.

    Args:
        grades: by frame number. The node's label states the largest residual of all frames.
    """
    frames = sorted(grades)
    worst = max((grades[frame].max_residual_stops for frame in frames), default=0.0)
    knobs = []
    for knob, rest in (("multiply", 1), ("add", 0), ("gamma", 1)):
        curves = [
            _curve({frame: getattr(grades[frame], knob)[c] for frame in frames}, rest) for c in range(3)
        ]
        knobs.append(f" {knob} {{{' '.join(curves)} {rest}}}")
    label = f"global part of the lighting field\\nat most {worst:.4f} stops off"
    lines: List[str] = [
        "Grade {",
        " channels rgb",
        *knobs,
        " black_clamp false",
        f" name {NODE_NAME}",
        f' label "{label}"',
        "}",
    ]
    return "\n".join([*lines, ""])


def _curve(values: Mapping[int, float], rest: int) -> str:
    """Return one channel's animation; a knob that always has its default value is not animated."""
    if all(value == rest for value in values.values()):
        return str(rest)
    keys = " ".join(f"x{frame} {value:.9g}" for frame, value in values.items())
    return f"{{curve L {keys}}}"
