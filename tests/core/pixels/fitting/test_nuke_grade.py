"""Nuke's Grade node: its formula, the fit to a field, and the script it is written as."""

from __future__ import annotations

import re

import numpy as np
import pytest
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.field import NULL, Curve, Grid, LightingField
from harmovid.pixels.fitting.grade import write_nk
from harmovid.pixels.fitting.nuke_grade import NukeGrade, fit_nuke_grade, nk_text


def curve(gains=(0.0, 0.0, 0.0), powers=(0.0, 0.0, 0.0), bends=0.0) -> LightingField:
    """Return a field of one curve over -7 to 5 stops: gains, powers less 1, and random bends."""
    coeffs = np.random.default_rng(5).normal(size=(3, 10)) * bends
    coeffs[:, 0] += gains
    coeffs[:, 1:4] += np.diag(powers)
    return LightingField((Curve(coeffs, 0.18, -7.0, 5.0),))


def test_the_formula_is_nukes() -> None:
    """By hand: a ramp, a power from 0 to 1, a straight line above, and nothing below 0."""
    node = NukeGrade((2.0, 2.0, 2.0), (0.1, 0.1, 0.1), (2.0, 2.0, 2.0))
    values = np.array([-1.0, 0.2, 0.45, 1.0])[:, None].repeat(3, 1)
    assert node.apply(values)[:, 0] == pytest.approx([-1.9, 0.5**0.5, 1.0, 1 + 1.1 / 2])


def test_gains_are_exact() -> None:
    """A gain per channel is a multiply and nothing else, and grades as the field does, above 1 too."""
    field = curve(gains=(0.5, -0.25, 0.0))
    node = fit_nuke_grade(field)
    assert node.multiply == pytest.approx((2**0.5, 2**-0.25, 1.0), rel=1e-5)
    assert (node.add, node.gamma) == ((0, 0, 0), (1, 1, 1))
    light = np.exp2(np.random.default_rng(0).uniform(-9, 5, (1, 50, 3))).astype(np.float32)
    assert node.apply(light) == pytest.approx(apply_field(light, field, origin=(0, 0))[0], rel=1e-4)


@pytest.mark.parametrize("bends", [0.0, 0.006])
def test_the_residual_is_what_it_says(bends: float) -> None:
    """For powers and bends the stated residual bounds the error at every grey of the seen range."""
    field = curve((0.2, -0.1, 0.1), (0.05, -0.05, 0.02), bends)
    node = fit_nuke_grade(field)
    greys = (0.18 * np.exp2(np.linspace(-7, 5, 25)))[:, None].repeat(3, 1).astype(np.float32)
    wanted = apply_field(greys[None], field, origin=(0, 0))[0][0]
    off = np.abs(np.log2(node.apply(greys)) - np.log2(wanted))
    assert off.max() <= node.max_residual_stops + 1e-4
    assert 0 < node.mean_residual_stops < node.max_residual_stops < 1.0


def test_places_are_no_grade() -> None:
    """Grids are left out; a field without curves is a node that does nothing."""
    grid = Grid(np.ones((2, 2, 2, 3), np.float32), (0, 0, 4, 4), -8, 4)
    assert fit_nuke_grade(LightingField((grid,))) == fit_nuke_grade(NULL) == NukeGrade()


def test_the_script_is_one_animated_node(tmp_path) -> None:
    """Every frame is a key of each channel; knobs at rest are plain; the residual stands in the label."""
    grades = {1002: NukeGrade((1.5, 1, 0.5)), 1001: NukeGrade((1.25, 1, 2), max_residual_stops=0.0123)}
    write_nk(tmp_path / "g.nk", grades)
    text = (tmp_path / "g.nk").read_text("utf-8")
    assert text == nk_text(grades)
    assert " multiply {{curve L x1001 1.25 x1002 1.5} 1 {curve L x1001 2 x1002 0.5} 1}\n" in text
    assert " add {0 0 0 0}\n" in text
    assert " gamma {1 1 1 1}\n" in text
    assert "black_clamp false" in text
    assert "at most 0.0123 stops off" in text
    assert re.fullmatch(r"Grade \{\n( .+\n)+\}\n", text)
    assert text.count("{") == text.count("}")
