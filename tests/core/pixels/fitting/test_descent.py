"""Damped least squares against answers that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.pixels.fitting.descent import descend


def test_a_line_is_the_one_of_linear_regression() -> None:
    """On a linear problem the answer is numpy's least squares, from a start far away."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=50), rng.normal(size=50)
    numbers, error = descend(np.array([30.0, -8.0]), lambda n: n[0] + n[1] * x - y, np.ones(2))
    expected = np.linalg.lstsq(np.stack([np.ones(50), x], 1), y, rcond=None)[0]
    assert numbers == pytest.approx(expected, abs=1e-4)
    assert error == pytest.approx(numbers[0] + numbers[1] * x - y, abs=1e-9)


def test_a_bent_problem_is_solved() -> None:
    """A gain and an exponent are found again from their own curve."""
    x = np.linspace(0.1, 3, 40)
    numbers, error = descend(np.array([1.0, 1.0]), lambda n: n[0] * x ** n[1] - 0.7 * x**1.8, np.ones(2))
    assert numbers == pytest.approx([0.7, 1.8], abs=1e-5)
    assert np.abs(error).max() < 1e-5


def test_it_never_gets_worse() -> None:
    """Where no step helps, the start comes back."""
    numbers, _ = descend(np.array([0.0]), lambda n: np.array([1 + abs(n[0])]), np.ones(1))
    assert numbers.tolist() == [0.0]
