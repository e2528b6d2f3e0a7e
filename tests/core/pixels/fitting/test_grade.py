"""Exported grades, read back by OpenColorIO through OpenImageIO: the numbers must be the field's own."""

from __future__ import annotations

import re

import numpy as np
import OpenImageIO
import pytest
from fakes import lighting
from harmovid.errors import OutputError
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.colour.acescct import acescct_decode, acescct_encode
from harmovid.pixels.colour.primaries import AP1, REC709, rgb_to_rgb
from harmovid.pixels.field import NULL, Curve, GainMap, LightingField
from harmovid.pixels.fitting.cdl import EXACT_STOPS, LEVELS, Cdl
from harmovid.pixels.fitting.grade import CUBE_SIZE, cube_text, fit_cdl, write_ccc, write_cdl, write_cube
from hypothesis import given, settings
from hypothesis import strategies as st

OCIO_RTOL = 6e-4
"""OpenColorIO's fast power, and half floats in its optimised transforms, are good to about this."""
CUBE_STOPS = 0.05
"""99 % of colours through a cube are within this of the field, half of them within a tenth of it."""


def through(path, rgb, config=""):
    """Colours `(n, 3)` through a file, as OpenColorIO reads it."""
    source = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(len(rgb), 1, 3, "float"))
    source.set_pixels(OpenImageIO.ROI(), np.ascontiguousarray(rgb, np.float32)[None])
    done = OpenImageIO.ImageBufAlgo.ociofiletransform(source, str(path), colorconfig=str(config))
    assert not done.has_error, done.geterror()
    return done.get_pixels(OpenImageIO.FLOAT)[0]


def relit(field, rgb):
    """Colours `(n, 3)` through the field itself."""
    return apply_field(np.ascontiguousarray(rgb, np.float32)[None], field, origin=(0, 0))[0][0]


def graded(slopes=(0.2, -0.1, 0.0), gains=(0.5, -0.2, 0.1), bends=0.0, seed=0):
    """A field of one curve: gain and power per channel, and bends with cross-talk if asked for."""
    coeffs = np.random.default_rng(seed).normal(size=(3, 10)) * bends
    coeffs[:, 0], coeffs[:, 1:4] = gains, coeffs[:, 1:4] + np.diag(slopes)
    return LightingField((Curve(coeffs, 0.18, -7.0, 5.0),))


COLOURS = np.exp2(np.random.default_rng(1).uniform(-8, 4, (40, 3)))


def test_gain_and_power_are_exact_in_a_cdl_file(tmp_path):
    """A gain and a power per channel, written as .cdl, give the same colours through OpenColorIO."""
    cdl = fit_cdl(graded())
    assert cdl.max_residual_stops < EXACT_STOPS
    assert np.allclose(cdl.power, (1.2, 0.9, 1.0), atol=1e-5)
    assert cdl.offset == (0.0, 0.0, 0.0)
    assert cdl.saturation == 1.0
    write_cdl(tmp_path / "shot.cdl", cdl, 'a "shot" & more')
    inside = COLOURS[(COLOURS > 0.18 * 2**-7).all(axis=1) & (COLOURS < 0.18 * 2**5).all(axis=1)]
    got = through(tmp_path / "shot.cdl", inside)
    assert np.allclose(got, relit(graded(), inside), rtol=OCIO_RTOL)
    assert np.allclose(got, cdl.apply(inside), rtol=OCIO_RTOL)
    assert [path.name for path in tmp_path.iterdir()] == ["shot.cdl"]


@settings(max_examples=12, deadline=None)
@given(lighting.seeds)
def test_the_residual_is_what_it_says(seed):
    """For bent curves the stated residual bounds the error at every grey of the seen range."""
    field = graded(bends=0.012, seed=seed)
    cdl = fit_cdl(field)
    greys = np.repeat(0.18 * np.exp2(np.linspace(-7, 5, LEVELS))[:, None], 3, axis=1)
    off = np.abs(np.log2(cdl.apply(greys)) - np.log2(relit(field, greys)))
    assert off.max() <= cdl.max_residual_stops + 1e-4
    assert 0 < cdl.mean_residual_stops < cdl.max_residual_stops < 3.0


def test_saturation_is_found():
    """A curve made from a desaturation comes back as one, nearer than gain and power can be."""
    rng = np.random.default_rng(2)
    truth = Cdl(slope=(1.2, 1.0, 0.9), saturation=0.8)
    colours = np.exp2(rng.uniform(-5, 3, (4000, 1)) + rng.normal(0, 0.5, (4000, 3)))
    logs = np.log2(colours / 0.18)
    r, g, b = logs.T
    terms = np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r])
    coeffs = np.linalg.lstsq(terms.T, np.log2(truth.apply(colours) / colours), rcond=None)[0].T
    cdl = fit_cdl(LightingField((Curve(coeffs, 0.18, -3.0, 4.0),)))
    assert abs(cdl.saturation - 0.8) < 0.08


def test_a_range_is_one_correction_per_frame(tmp_path):
    """Every frame of a .ccc gives its own numbers when OpenColorIO picks it by id."""
    fields = {f"s.{frame}": graded(gains=(frame % 1000 / 500, 0, 0)) for frame in (-1, 1001, 1002)}
    write_ccc(tmp_path / "range.ccc", {name: fit_cdl(field) for name, field in fields.items()})
    spaces = "".join(
        f"  - !<ColorSpace>\n    name: x{i}\n    from_scene_reference: !<FileTransform> "
        f"{{src: {tmp_path}/range.ccc, cccid: '{name}'}}\n"
        for i, name in enumerate(fields)
    )
    config = tmp_path / "config.ocio"
    config.write_text(
        "ocio_profile_version: 2\nroles: {default: ref}\ndisplays:\n  d:\n"
        "    - !<View> {name: v, colorspace: ref}\nactive_displays: [d]\nactive_views: [v]\n"
        "colorspaces:\n  - !<ColorSpace>\n    name: ref\n" + spaces
    )
    source = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(1, 1, 3, "float"))
    source.set_pixels(OpenImageIO.ROI(), np.full((1, 1, 3), 0.3, np.float32))
    for i, field in enumerate(fields.values()):
        done = OpenImageIO.ImageBufAlgo.colorconvert(source, "ref", f"x{i}", colorconfig=str(config))
        assert not done.has_error, done.geterror()
        want = relit(field, np.full((1, 3), 0.3))
        assert np.allclose(done.get_pixels(OpenImageIO.FLOAT)[0], want, rtol=OCIO_RTOL)


def test_a_cdl_file_says_what_is_lost(tmp_path):
    """The residual is in the file's description."""
    write_cdl(tmp_path / "x.cdl", fit_cdl(graded(bends=0.01)), "x")
    note = re.search("<Description>(.*)</Description>", (tmp_path / "x.cdl").read_text())
    assert f"{fit_cdl(graded(bends=0.01)).max_residual_stops:.4f}" in note[1]


@pytest.mark.parametrize("primaries", [AP1, REC709], ids=["AP1", "Rec.709"])
def test_a_cube_gives_the_fields_colours(tmp_path, primaries):
    """Plate to ACEScct, the cube through OpenColorIO, back: the colours of the field, within CUBE_STOPS."""
    field = graded(bends=0.01)
    path = tmp_path / "shot.cube"
    write_cube(path, field, primaries=primaries)
    to_ap1 = rgb_to_rgb(primaries, AP1)
    rng = np.random.default_rng(3)
    colours = np.exp2(rng.uniform(-7, 4, (200, 1)) + rng.uniform(-0.7, 0.7, (200, 3)))
    codes = through(path, acescct_encode(colours @ to_ap1.T))
    got = acescct_decode(codes.astype(np.float64)) @ np.linalg.inv(to_ap1).T
    off = np.abs(np.log2(got) - np.log2(relit(field, colours)))
    assert np.percentile(off, 99) < CUBE_STOPS
    assert np.median(off) < CUBE_STOPS / 10


def test_a_null_grade_is_the_identity(tmp_path):
    """Null fields, and fields of places only, give a neutral correction and a cube that changes nothing."""
    places = LightingField((GainMap(np.ones((1, 1, 3)), (0, 0, 1, 1)),))
    assert fit_cdl(NULL) == fit_cdl(places) == Cdl()
    write_cube(tmp_path / "null.cube", places, primaries=REC709)
    codes = np.random.default_rng(0).uniform(0.2, 1, (50, 3))
    assert np.allclose(through(tmp_path / "null.cube", codes), codes, atol=2e-4)


def test_a_cube_has_its_form():
    """Size 33, red fastest, no NaN, and a line that says which codes it takes."""
    lines = cube_text(NULL, primaries=AP1).splitlines()
    rows = [line for line in lines if line[0] in "-0123456789"]
    assert f"LUT_3D_SIZE {CUBE_SIZE}" in lines
    assert any("ACEScct" in line for line in lines if line.startswith("#"))
    assert len(rows) == CUBE_SIZE**3
    values = np.array([row.split() for row in rows[: CUBE_SIZE + 1]], float)
    assert (np.diff(values[:CUBE_SIZE, 0]) > 0).all()
    assert values[CUBE_SIZE, 1] > values[0, 1]


@settings(max_examples=10, deadline=None)
@given(lighting.seeds, st.floats(0.1, 1.5))
def test_faded_and_composed_grades_fit_too(seed, strength):
    """Several curves, faded, are one grade: its correction is near them and finite."""
    field = lighting.field(seed, "cc").scaled(strength)
    cdl = fit_cdl(field)
    assert np.isfinite([*cdl.slope, *cdl.offset, *cdl.power, cdl.saturation]).all()
    assert min(cdl.power) > 0


def test_unwritable_places_raise_output_error(tmp_path):
    """A missing folder raises OutputError and leaves nothing behind."""
    with pytest.raises(OutputError):
        write_cdl(tmp_path / "missing" / "x.cdl", Cdl(), "x")
    assert not list(tmp_path.iterdir())
