"""A field written into an EXR and read back relights the original plate to the delivered picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes import lighting
from fakes.lighting import bits
from harmovid.errors import FrameRefused, FrameUnreadable, InputError
from harmovid.pixels import exr
from harmovid.pixels.apply.fast import apply_field, apply_stops, field_stops
from harmovid.pixels.field import NULL, Curve, Faded, Grid, LightingField
from harmovid.pixels.field.exr_channels import (
    FIELD_CHANNELS,
    GRADE_ATTRIBUTE,
    REPRODUCE_RTOL,
    grade_from_json,
    grade_to_json,
    read_grade,
    read_stops,
    with_field,
)
from hypothesis import given, settings

WINDOW = (3, -2, 24, 15)
SIZE = (17, 21)


def frame(rgb, **others):
    """A frame of the data window with R, G, B and other channels."""
    header = exr.PartHeader.make(WINDOW, (0, 0, 20, 10))
    return exr.make_frame(header, {**{name: rgb[..., i].copy() for i, name in enumerate("RGB")}, **others})


def delivered(seed, kinds, dtype):
    """A plate, its field, and the result's EXR bytes with the field in it, masked and at strength 0.8."""
    rgb = lighting.picture(seed, *SIZE, dtype)
    field = lighting.field(seed, kinds)
    mask = np.random.default_rng(seed).random(SIZE).astype(np.float32)
    asked = {"origin": WINDOW[:2], "mask": mask, "strength": 0.8}
    result, _ = apply_field(rgb, field, **asked)
    stops = field_stops(rgb, field, **asked)
    return rgb, field, exr.write(with_field(frame(result), stops, field))


@settings(max_examples=20, deadline=None)
@given(lighting.seeds, lighting.kinds, lighting.dtypes)
def test_the_written_field_reproduces_the_result(seed, kinds, dtype):
    """The plate and the written stops give the delivered bits, or one rounding of them with any pow."""
    rgb, _, data = delivered(seed, kinds, dtype)
    back = exr.read(data)
    stops = read_stops(back)
    result = np.stack([back.channels[name] for name in "RGB"], axis=-1)
    again, _ = apply_stops(rgb, stops)
    assert (bits(again) == bits(result)).all()
    finite = np.isfinite(rgb).all(axis=2)
    exact = rgb[finite].astype(np.float64) * np.exp2(stops[finite].astype(np.float64))
    limit = float(np.finfo(dtype).max)
    rtol, atol = (REPRODUCE_RTOL, 0) if dtype is np.float32 else (2.0**-10, 2.0**-24)
    assert np.allclose(result[finite], np.clip(exact, -limit, limit), rtol=rtol, atol=atol)


def test_the_channels_are_float32_beside_a_half_picture():
    """Half colours stay half, the stops are float32, and nothing else of the frame changes."""
    _, _, data = delivered(1, "cg", np.float16)
    back = exr.read(data)
    assert [back.channels[name].dtype for name in FIELD_CHANNELS] == [np.float32] * 3
    assert back.channels["R"].dtype == np.float16
    assert back.data_window == WINDOW


def test_an_older_field_is_replaced_whatever_its_type():
    """A frame with half field channels of an earlier pass gets exact new ones, other channels stay."""
    rgb = lighting.picture(2, *SIZE, np.float16)
    depth = np.full(SIZE, 7, np.uint32)
    old = frame(rgb, **{name: np.ones(SIZE, np.float16) for name in FIELD_CHANNELS}, depth=depth)
    stops = np.random.default_rng(0).normal(size=(*SIZE, 3)).astype(np.float32)
    back = exr.read(exr.write(with_field(old, stops, NULL)))
    assert (read_stops(back) == stops).all()
    assert (back.channels["depth"] == depth).all()


@settings(max_examples=20, deadline=None)
@given(lighting.seeds, lighting.kinds)
def test_the_global_part_comes_back_exactly(seed, kinds):
    """The attribute holds every curve, with all digits, in order, and nothing of grids and maps."""
    field = lighting.field(seed, kinds).scaled(0.7).then(lighting.field(seed + 1, "c"))
    back = exr.read(
        exr.write(with_field(frame(np.ones((*SIZE, 3), np.float32)), np.zeros((*SIZE, 3)), field))
    )
    grade = read_grade(back)
    flat = [each for part in grade.parts for each in (part.parts if isinstance(part, Faded) else (part,))]
    assert all(isinstance(each, Curve) for each in flat)
    assert len(flat) == kinds.count("c") + 1
    assert grade_to_json(grade) == grade_to_json(field)
    assert (flat[-1].coeffs == field.parts[-1].coeffs).all()


def test_a_field_without_curves_has_the_null_grade():
    """A grid alone has no global part."""
    grid = LightingField((Grid(np.ones((1, 1, 1, 3)), (0, 0, 1, 1), -1, 1),))
    assert grade_from_json(grade_to_json(grid.scaled(0.5))).is_null


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "parts": []}',
        '{"version": 1, "parts": [1]}',
        '{"version": 1, "parts": [{"coeffs": [[0]], "anchor": 1, "low": -1, "high": 1}]}',
        '{"version": 1, "parts": [{"strength": NaN, "parts": []}]}',
        "[" * 30000,
        json.dumps({"version": 1, "parts": []}) + " " * 70000,
    ],
)
def test_damaged_grades_are_refused(text):
    """Anything that is not a grade raises FrameUnreadable."""
    with pytest.raises(FrameUnreadable):
        grade_from_json(text)


def test_frames_without_a_field_say_so():
    """A plain frame has neither stops nor grade, and stops of another size are not taken."""
    plain = frame(np.ones((*SIZE, 3), np.float32))
    with pytest.raises(FrameRefused, match="harmovid"):
        read_stops(plain)
    with pytest.raises(FrameRefused, match=GRADE_ATTRIBUTE):
        read_grade(plain)
    with pytest.raises(InputError):
        with_field(plain, np.zeros((2, 2, 3), np.float32), NULL)
