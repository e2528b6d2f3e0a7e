"""Baking: an ordinary node or a CDL gives the same pixels as our node if the correction is the same everywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from fakes import nuke_shots as shots
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RGB, picture
from harmovid.pixels import exr
from harmovid.pixels.colour.acescct import acescct_decode
from harmovid.pixels.field import Curve, LightingField
from harmovid.pixels.field.exr_channels import GRADE_ATTRIBUTE, grade_to_json
from harmovid_nuke import bake, node, readback, record, result_curve

STOPS = {7: (0.5, -0.25, 0.1), 8: (0.2, 0.1, -0.4)}


@pytest.fixture
def baked(host: Host, nuke: Any, tmp_path: Path) -> Any:
    """Return a node whose result has constant stops in each frame, which its reports contain."""
    plates = {n: shots.plate(n) for n in STOPS}
    results = {}
    for n, stops in STOPS.items():
        results[n] = shots.field(n, plates[n])
        for name, value in zip(("red", "green", "blue"), stops):
            results[n].channels[f"harmovid.{name}"][:] = np.where(
                plates[n].channels["rgba.alpha"] > 0, value, 0
            )
    group = node.create("harmonize")
    group.setInput(0, shots.reader(nuke, shots.save(tmp_path / "fg", "fg", plates, half=False), 7, 8))
    made = record.Record(f"{tmp_path.as_posix()}/v001", group.fullName(), "harmonize", "e", "7-8", "7-8")
    shots.save(tmp_path / "v001", "result", results)
    made.save(state=record.DONE)
    reports = {n: {"engine": {"measured": [0, 0, 0], "corrected": list(stops)}} for n, stops in STOPS.items()}
    made.save_reports({n: result_curve.noted(made.result(""), n, said) for n, said in reports.items()})
    node.show(group, made)
    return group


@pytest.mark.parametrize("how", ["Grade", "OCIOCDLTransform"])
def test_an_ordinary_node_gives_the_same_picture(baked: Any, nuke: Any, how: str) -> None:
    """With strength, luma, chroma, an edit and a trim, the baked node's pixels are the node's, negatives included."""
    for name, value in (("strength", 0.8), ("luma", 1.3), ("chroma", 0.6)):
        baked[name].setValue(value)
    baked["trim"].setValueAt(0.25, 8)
    baked["trim"].setValueAt(0.0, 7)
    baked["correction"].setValueAt(0.9, 8, 1)
    baked["bake_as"].setValue(how)
    baked["bake"].execute()
    made = nuke.toNode("Harmonize1_baked1")
    assert made.Class() == how
    for frame in STOPS:
        out, want = picture(made, frame, "main").channels, picture(baked, frame, "main").channels
        for name in RGB:
            np.testing.assert_allclose(out[name], want[name], rtol=1e-5, atol=1e-7)


def test_cdl_files_hold_every_frame(baked: Any, tmp_path: Path) -> None:
    """The collection has a correction per frame with the slopes of its stops; OpenColorIO reads it."""
    baked["bake_as"].setValue("CDL files")
    baked["bake"].execute()
    path = tmp_path / "v001" / "Harmonize1.ccc"
    assert str(path) in baked["status"].value()
    found = ElementTree.parse(path).getroot()  # noqa: S314 (our own file)
    slopes = {
        each.get("id"): [float(v) for v in each.findtext(".//{*}Slope", "").split()]
        for each in found.findall("{*}ColorCorrection")
    }
    for frame, stops in STOPS.items():
        np.testing.assert_allclose(slopes[f"Harmonize1.{frame:04d}"], [2**s for s in stops], rtol=1e-6)
    assert (tmp_path / "v001" / "Harmonize1.cdl").exists()


def test_without_a_result_there_is_nothing_to_bake(host: Host) -> None:
    """A node without a result says so."""
    group = node.create("deflicker")
    group["bake"].execute()
    assert "no result to bake" in host.messages[-1]


def test_a_lut_needs_a_python(baked: Any, host: Host) -> None:
    """Without the setting `python` the LUT is refused, with a fix."""
    baked["bake_as"].setValue("LUT file")
    baked["bake"].execute()
    assert "python" in host.messages[-1]


def test_a_lut_is_made_by_the_servers_python(
    baked: Any, nuke: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the setting the LUT of the current frame is written beside its results: a gain of light, in ACEScct."""
    monkeypatch.setenv("HARMOVID_PYTHON", sys.executable)
    result = tmp_path / "v001" / "result.0008.exr"
    coeffs = np.zeros((3, 10))
    coeffs[:, 0] = STOPS[8][0]  # grey: the same in any primaries
    text = exr.Attribute.of("string", grade_to_json(LightingField((Curve(coeffs, 0.18, -4.0, 4.0),))))
    exr.write(exr.with_attributes(exr.read(result), {GRADE_ATTRIBUTE: text}), result)
    nuke.frame(8)
    baked["bake_as"].setValue("LUT file")
    baked["bake"].execute()

    cube = tmp_path / "v001" / "Harmonize1.0008.cube"
    assert str(cube) in baked["status"].value()
    lines = cube.read_text(encoding="ascii").splitlines()
    size = next(int(line.split()[1]) for line in lines if line.startswith("LUT_3D_SIZE"))
    rows = np.array([line.split() for line in lines if line[:1].isdigit() or line[:1] == "-"], np.float64)
    codes = np.linspace(0, 1, size)
    for i in range(size // 3, size - 3):  # on the grey axis, within the range that the curve was fitted in
        light = acescct_decode(codes[i])
        if 0.18 / 16 < light < 0.18 * 16:
            found = acescct_decode(rows[i * (1 + size + size * size)])
            np.testing.assert_allclose(found, light * 2 ** STOPS[8][0], rtol=1e-4)


def test_curves_of_a_header_are_read_without_libraries(tmp_path: Path) -> None:
    """The overall correction in a result's header, as the server writes it, gives its stops at middle grey."""
    from fakes.exr_files import plate
    from harmovid.pixels import exr

    coeffs = np.zeros((3, 10))
    coeffs[:, 0] = (0.3, -0.2, 0.1)
    coeffs[0, 1] = 0.1
    field = LightingField((Curve(coeffs, 0.18, -4.0, 4.0),)).then(
        LightingField((Curve(coeffs, 0.18, -4.0, 4.0),))
    )
    frame = exr.with_attributes(
        plate(), {"harmovid/grade": exr.Attribute.of("string", grade_to_json(field))}, 0
    )
    (tmp_path / "r.0001.exr").write_bytes(exr.write(frame))
    found = result_curve.correction(f"{tmp_path}/r.%04d.exr", 1, {})
    assert found == pytest.approx((0.63, -0.4, 0.2))
    assert result_curve.correction(f"{tmp_path}/r.%04d.exr", 2, {}) is None


def test_stops_at_is_the_sum_of_its_parts(baked: Any) -> None:
    """At full strength without edits the baked stops are the measured ones."""
    assert bake.stops_at(baked, 7) == pytest.approx(STOPS[7])
    readback.reset_curves(baked)
    assert bake.stops_at(baked, 8) == pytest.approx(STOPS[8])
