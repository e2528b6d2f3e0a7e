"""The Group's inside, evaluated node by node by the stand-in's interpreter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest
from fakes import nuke_shots as shots
from fakes.nuke_host.images import RGB, RenderError, picture
from harmovid.pixels.apply.fast import apply_stops
from harmovid_nuke import graph, node, template

STOPS = ("harmovid.red", "harmovid.green", "harmovid.blue")
RTOL = 5e-7
"""Four roundings to float32 (docs/lighting-field.md)."""


@pytest.fixture
def lit(nuke: Any, tmp_path: Path) -> Any:
    """Return a Harmonize Group with an input and a result at frame 7, and both pictures."""
    plate = shots.plate(1)
    result = shots.field(2, plate)
    group = node.create("harmonize")
    group.setInput(0, shots.reader(nuke, shots.save(tmp_path / "in", "fg", {7: plate}, half=False), 7, 7))
    shots.show_result(group, shots.save(tmp_path / "out", "result", {7: result}), 7, 7)
    return group, plate, result


def out_of(group: Any, frame: int = 7) -> Dict[str, Any]:
    """Return the channels of a Group's output."""
    return picture(group, frame, "main").channels


def stops_of(plate: Any, out: Dict[str, Any]) -> Any:
    """Return by how many stops the colours were changed, where the plate is light."""
    rgb = np.stack([plate.channels[name] for name in RGB])
    with np.errstate(all="ignore"):
        return np.where(rgb > 1e-3, np.log2(np.stack([out[name] for name in RGB]) / rgb), np.nan)


@pytest.mark.parametrize("kind", ["harmonize", "deflicker"])
def test_it_has_at_most_ten_nodes(kind: str) -> None:
    """A non-commercial Nuke lets Python touch ten nodes: the inside has no more."""
    assert len(graph.inside(kind)) <= graph.MAX_INNER_NODES


@pytest.mark.parametrize("kind", ["harmonize", "deflicker"])
def test_the_template_names_no_colour_space_and_no_place(kind: str) -> None:
    """The saved text names no colour space, no absolute path and nothing pickled."""
    text = template.text(kind)
    assert not re.search(r"(?i)srgb|aces|rec709|colorspace|pickle", text)
    assert not re.search(r"[\s\"]/\w|[A-Z]:/", text)


def test_it_applies_the_stops_as_the_product_does(lit: Any) -> None:
    """`in * 2 ** stops`, as `apply_stops` has it, within four roundings; values above 1 and below 0 survive."""
    group, plate, result = lit
    stops = np.stack([result.channels[name] for name in STOPS], -1)
    wanted, _ = apply_stops([plate.channels[name] for name in RGB], np.ascontiguousarray(stops))
    out = out_of(group)
    for name, plane in zip(RGB, wanted):
        np.testing.assert_allclose(out[name], plane, rtol=RTOL, atol=0)
    assert out["rgba.red"].max() > 1
    assert out["rgba.red"].min() < 0


def test_alpha_and_other_layers_come_from_upstream(lit: Any) -> None:
    """Alpha and the plate's own layers pass to the bit; nothing is added to the stream."""
    group, plate, _ = lit
    out = out_of(group)
    assert out.keys() == plate.channels.keys()
    for name in ("rgba.alpha", "depth.Z"):
        assert out[name].tobytes() == plate.channels[name].tobytes()


def test_untouched_where_alpha_or_field_is_zero(lit: Any) -> None:
    """Pixels with alpha 0, and pixels with no stops, are the input's to the bit, at any strength and softness."""
    group, plate, result = lit
    still = plate.channels["rgba.alpha"] <= 0
    null = np.all([result.channels[name] == 0 for name in STOPS], axis=0)
    assert 0 < still.sum() < null.sum() < null.size
    for strength in (0.3, 1.0, 2.0):
        group["strength"].setValue(strength)
        out = out_of(group)
        assert all(out[name][null].tobytes() == plate.channels[name][null].tobytes() for name in RGB)
    group["soften"].setValue(6)
    group["trim"].setValue(0.4)
    out = picture(group, 7, "main").over(plate.box).channels
    assert all(out[name][still].tobytes() == plate.channels[name][still].tobytes() for name in RGB)


def test_strength_zero_and_use_result_off_pass_the_input(lit: Any) -> None:
    """With strength 0 or the result switched off the output is bit-identical to the input."""
    group, plate, _ = lit
    group["strength"].setValue(0)
    first = out_of(group)
    group["strength"].setValue(1)
    group["use_result"].setValue(False)
    second = out_of(group)
    for name in plate.channels:
        assert first[name].tobytes() == second[name].tobytes() == plate.channels[name].tobytes()


def test_strength_scales_the_stops(lit: Any) -> None:
    """Half the strength is half the stops."""
    group, plate, result = lit
    group["strength"].setValue(0.5)
    found = stops_of(plate, out_of(group))
    wanted = 0.5 * np.stack([result.channels[name] for name in STOPS])
    np.testing.assert_allclose(found[np.isfinite(found)], wanted[np.isfinite(found)], atol=1e-5)


def test_luma_and_chroma_are_apart(lit: Any) -> None:
    """Without luma the luminance of the stops is 0; without chroma all channels move alike."""
    group, plate, _ = lit
    group["luma"].setValue(0)
    red, green, blue = stops_of(plate, out_of(group))
    mean = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    np.testing.assert_allclose(mean[np.isfinite(mean)], 0, atol=1e-5)
    group["luma"].setValue(1)
    group["chroma"].setValue(0)
    red, green, blue = stops_of(plate, out_of(group))
    seen = np.isfinite(red + green + blue)
    np.testing.assert_allclose(red[seen], green[seen], atol=1e-5)
    np.testing.assert_allclose(red[seen], blue[seen], atol=1e-5)


def test_softening_does_not_bleed_over_the_edge(nuke: Any, tmp_path: Path) -> None:
    """A constant field stays constant when softened, up to the last pixel of its gate."""
    plate = shots.plate(3)
    result = shots.field(4, plate)
    gate = plate.channels["rgba.alpha"] > 0
    for name in STOPS:
        result.channels[name][:] = np.where(gate, 0.5, 0)
    group = node.create("harmonize")
    group.setInput(0, shots.reader(nuke, shots.save(tmp_path, "fg", {7: plate}, half=False), 7, 7))
    shots.show_result(group, shots.save(tmp_path, "result", {7: result}), 7, 7)
    group["soften"].setValue(8)
    out = picture(group, 7, "main").over(plate.box)
    found = stops_of(plate, out.channels)
    inside = np.isfinite(found) & gate
    np.testing.assert_allclose(found[inside], 0.5, atol=1e-4)


def test_a_mask_input_limits_live(lit: Any, nuke: Any, tmp_path: Path) -> None:
    """Limited by the mask input, the stops are those times its alpha, following its soft edge or not."""
    group, plate, result = lit
    mask = shots.plate(9)
    group.setInput(2, shots.reader(nuke, shots.save(tmp_path / "mask", "m", {7: mask}, half=False), 7, 7))
    group["limit_by"].setValue("mask input")
    group["matte_edge"].setValue(1)
    found, full = stops_of(plate, out_of(group)), np.stack([result.channels[name] for name in STOPS])
    seen = np.isfinite(found)
    np.testing.assert_allclose(found[seen], (full * mask.channels["rgba.alpha"])[seen], atol=1e-5)
    group["matte_edge"].setValue(0)
    found = stops_of(plate, out_of(group))
    np.testing.assert_allclose(found[seen], (full * (mask.channels["rgba.alpha"] > 0))[seen], atol=1e-5)


def test_trim_and_the_edited_curve_move_the_picture(lit: Any) -> None:
    """A trim of one stop at one frame doubles the light there; an edited correction changes its own channel only."""
    group, plate, result = lit
    full = np.stack([result.channels[name] for name in STOPS])
    acts = plate.channels["rgba.alpha"] > 0
    group["trim"].setValueAt(0, 6)
    group["trim"].setValueAt(1, 7)
    found = stops_of(plate, out_of(group))
    seen = np.isfinite(found) & acts
    np.testing.assert_allclose(found[seen], (full + 1)[seen], atol=1e-5)
    group["trim"].clearAnimated()
    group["trim"].setValue(0)
    for name in ("correction", "measured"):
        group[name].setValueAt(0.25, 7, 0)
    before = out_of(group)
    np.testing.assert_allclose(stops_of(plate, before)[0][seen[0]], full[0][seen[0]], atol=1e-5)
    group["correction"].setValueAt(0.75, 7, 0)
    after = stops_of(plate, out_of(group))
    np.testing.assert_allclose(after[0][seen[0]], (full[0] + 0.5)[seen[0]], atol=1e-5)
    assert out_of(group)["rgba.green"].tobytes() == before["rgba.green"].tobytes()


def test_frames_without_a_result_pass_or_stop_the_render(lit: Any) -> None:
    """Without a result the input passes to the bit, or the node is in error with its status as message."""
    group, plate, _ = lit
    group["present"].fromScript("{{curve K x7 1 x8 0}}")
    group.input(0)["last"].setValue(9)
    group.input(0)["on_error"].setValue("nearest frame")
    out = out_of(group, 8)
    assert all(out[name].tobytes() == plate.channels[name].tobytes() for name in plate.channels)
    group["on_missing"].setValue("error")
    group["status"].setValue("Frame 8 has no result. Press Missing.")
    out_of(group, 7)
    with pytest.raises(RenderError, match=r"Press Missing"):
        out_of(group, 8)


def test_a_plate_without_alpha_is_lit_everywhere(nuke: Any, tmp_path: Path) -> None:
    """Deflicker acts on a whole plate that has no alpha."""
    plate = shots.plate(5, alpha=False)
    result = shots.field(6, plate)
    group = node.create("deflicker")
    group.setInput(0, shots.reader(nuke, shots.save(tmp_path, "p", {7: plate}, half=False), 7, 7))
    shots.show_result(group, shots.save(tmp_path, "result", {7: result}), 7, 7, alpha=False)
    found = stops_of(plate, out_of(group))
    seen = np.isfinite(found)
    np.testing.assert_allclose(
        found[seen], np.stack([result.channels[name] for name in STOPS])[seen], atol=1e-5
    )
