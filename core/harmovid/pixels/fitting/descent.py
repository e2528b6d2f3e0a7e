"""Damped least squares over a few numbers: Levenberg-Marquardt with numeric derivatives.

numbers, error = descend(start, error_of, unit)
"""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np

from harmovid.pixels.field import Float64

_ROUNDS = 60
_STEP = 1e-5


def descend(
    numbers: Float64, error_of: Callable[[Float64], Float64], unit: Float64
) -> Tuple[Float64, Float64]:
    """Return the numbers with the least squared error, never worse than the start, and their errors.

    Args:
        numbers: `(n,)` the start.
        error_of: function from numbers to errors, an array of any shape.
        unit: `(n,)` the size of a change that matters, for each number.
    """
    count = len(numbers)
    error = error_of(numbers)
    damping = 1e-3
    for _ in range(_ROUNDS):
        steps = np.diag(unit * _STEP)
        slopes = np.stack([(error_of(numbers + step) - error).ravel() / _STEP for step in steps])
        square = slopes @ slopes.T
        damped = square + damping * np.eye(count) * np.trace(square) / count
        move = np.linalg.solve(damped, -slopes @ error.ravel())
        trial = numbers + move * unit
        after = error_of(trial)
        better = (after**2).sum() < (error**2).sum()
        numbers, error = (trial, after) if better else (numbers, error)
        damping = damping / 4 if better else damping * 6
    return numbers, error
