"""Fusion compositions of the stand-in for Resolve: rendered by expressions, with the measured ways to lose them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Tuple

import numpy as np
import pytest
from fakes.resolve_host import custom_tool, pictures, scene
from fakes.resolve_host.host import Host

SHAPE = (2, 4, 3)


@pytest.fixture
def item(tmp_path: Path) -> Any:
    """Return a timeline item of three frames, all of them 0.25."""
    host = Host(folder=tmp_path)
    scene.new_project(host, size=(4, 2))
    clip = scene.add_sequence(host, tmp_path / "in", {n: np.full(SHAPE, 0.25) for n in range(1001, 1004)})
    line = scene.add_timeline(host, "Edit")
    return host.wrap(scene.place(line, clip))


def shown(item: Any, offset: int = 0) -> np.ndarray:
    """Return what is rendered of a frame of the item."""
    host = item._host
    line = host.project.timeline
    return pictures.frame_of(host.project, line, line.start_frame + offset, (4, 2), host.lut_folder)


def wired(item: Any) -> Tuple[Any, Any]:
    """Return a comp of MediaIn, Custom and MediaOut, and the Custom tool."""
    comp = item.AddFusionComp()
    tool = comp.AddTool("Custom", -32768, -32768)
    assert tool.ConnectInput("Image1", comp.FindTool("MediaIn1"))
    assert comp.FindTool("MediaOut1").ConnectInput("Input", tool)
    return comp, tool


def test_a_custom_tool_is_rendered(item: Any) -> None:
    """Expressions per channel, with numbers; channels without one stay."""
    comp, tool = wired(item)
    tool.SetInput("NumberIn1", 2.0)
    tool.SetInput("RedExpression", "r1 * n1")
    tool.GreenExpression = "if(g1 > 0.5, 1, g1 ^ 2)"
    assert np.allclose(shown(item)[0, 0], [0.5, 0.0625, 0.25])
    assert tool.GetInput("NumberIn1") == 2.0
    assert comp.GetToolList(False, "Custom")[1].GetAttrs()["TOOLS_RegID"] == "Custom"
    tool.SetAttrs({"TOOLB_PassThrough": True})
    assert np.allclose(shown(item), 0.25)
    assert item.GetFusionCompNameList() == ["Composition 1"]
    assert item.DeleteFusionCompByName("Composition 1")
    assert item.GetFusionCompCount() == 0


def test_a_loader_gives_a_picture_a_frame(item: Any, tmp_path: Path) -> None:
    """The field of each frame is read from its own file, of any size, and sampled between its pixels."""
    fields = {n: np.tile(np.float32([[[n], [2 * n]]]), (1, 1, 3)) for n in (1, 2, 3)}
    scene.write_sequence(tmp_path / "field", fields, "field", half=False)
    comp, tool = wired(item)
    loader = comp.AddTool("Loader")
    loader.SetInput("Clip", str(tmp_path / "field" / "field.0001.exr"))
    tool.ConnectInput("Image2", loader)
    tool.SetInput("RedExpression", "r1 * getr2b(x, y)")
    tool.SetInput("GreenExpression", "g1 * r2")
    for offset in (0, 1, 2):
        row = shown(item, offset)[0]
        n = offset + 1
        assert np.allclose(row[:, 0], 0.25 * n * np.array([1, 1.25, 1.75, 2]))
        assert np.allclose(row[:, 1], 0.25 * n * np.array([1, 1, 2, 2]))
    (tmp_path / "field" / "field.0002.exr").unlink()
    with pytest.raises(OSError, match=r"field\.0002"):
        shown(item, 1)


def test_a_loader_reads_the_channels_it_is_reported(item: Any, tmp_path: Path) -> None:
    """A layer of another name is read by the names of its channels, where Resolve heeds them."""
    import OpenEXR

    planes = {f"harmovid.{name}": np.full(SHAPE[:2], 3.0, np.float32) for name in "RGB"}
    with OpenEXR.File({"type": OpenEXR.scanlineimage}, planes) as file:
        file.write(str(tmp_path / "field.0001.exr"))
    comp, tool = wired(item)
    loader = comp.AddTool("Loader")
    loader.SetInput("Clip", str(tmp_path / "field.0001.exr"))
    tool.ConnectInput("Image2", loader)
    tool.SetInput("RedExpression", "r1 * r2")
    item._host.quirks.loader_channels_ignored = False
    with pytest.raises(OSError, match="harmovid"):
        shown(item)
    for name in ("Red", "Green", "Blue"):
        loader.SetInput(f"Clip1.OpenEXRFormat.{name}Name", f"harmovid.{name[0]}")
    assert np.allclose(shown(item)[0, 0], [0.75, 0.25, 0.25])


def test_a_value_that_was_set_under_a_lock_is_not_rendered(item: Any) -> None:
    """It reads back; the first value that is set without the lock brings it out."""
    comp, tool = wired(item)
    comp.Lock()
    tool.SetInput("RedExpression", "r1 * 2")
    comp.Unlock()
    assert tool.GetInput("RedExpression") == "r1 * 2"
    assert np.allclose(shown(item), 0.25)
    tool.SetInput("NumberIn1", 0.0)
    assert np.allclose(shown(item)[0, 0, 0], 0.5)


def test_a_comp_without_a_path_from_media_in_is_passed_by(item: Any) -> None:
    """The clip is rendered as it is; a tool without a source fails the render."""
    comp = item.AddFusionComp()
    tool = comp.AddTool("Custom")
    tool.SetInput("RedExpression", "9")
    comp.FindTool("MediaOut1").ConnectInput("Input", tool)
    assert np.allclose(shown(item), 0.25)
    tool.ConnectInput("Image2", comp.FindTool("MediaIn1"))
    with pytest.raises(OSError, match="no Image1"):
        shown(item)


def test_misuse_is_refused(item: Any) -> None:
    """Unknown inputs raise, unknown tools are None, and both are noted; titles have no comps."""
    comp, tool = wired(item)
    with pytest.raises(TypeError):
        tool.SetInput("RedExpresion", "1")
    with pytest.raises(TypeError):
        tool.ConnectInput("Image1", "MediaIn1")
    assert comp.AddTool("Lodaer") is None
    assert len(item._host.violations) == 3
    assert comp.NoSuchThing is None
    line = item._host.project.timeline
    title = item._host.wrap(scene.place_other(line, "title", "Text", 90000, 10))
    assert title.AddFusionComp() is None


def test_a_loader_reads_the_first_layer_whatever_it_is_reported(item: Any, tmp_path: Path) -> None:
    """As measured: of a file with two layers the one without a name, of a file with one that."""
    import OpenEXR

    layers = {"beauty": {"": 1.0, "harmovid.": 3.0}, "field": {"harmovid.": 5.0}}
    for name, parts in layers.items():
        planes = {f"{part}{c}": np.full(SHAPE[:2], v, np.float32) for part, v in parts.items() for c in "RGB"}
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, planes) as file:
            file.write(str(tmp_path / f"{name}.0001.exr"))
    comp, tool = wired(item)
    loader = comp.AddTool("Loader")
    tool.ConnectInput("Image2", loader)
    tool.SetInput("RedExpression", "r2")
    loader.SetInput("Clip1.OpenEXRFormat.RedName", "harmovid.R")
    for name, red in (("beauty", 1.0), ("field", 5.0)):
        loader.SetInput("Clip", str(tmp_path / f"{name}.0001.exr"))
        assert np.allclose(shown(item)[0, 0, 0], red)


def test_a_comp_goes_through_a_file(item: Any, tmp_path: Path) -> None:
    """Export and import keep tools, wires, values and the Loader's clip."""
    comp, tool = wired(item)
    scene.write_sequence(tmp_path, {1: np.full(SHAPE, 2.0)}, "field", half=False)
    loader = comp.AddTool("Loader")
    loader.SetInput("Clip", str(tmp_path / "field.0001.exr"))
    tool.ConnectInput("Image2", loader)
    tool.SetInput("RedExpression", "r1 * r2 + n1")
    tool.SetInput("NumberIn1", 0.5)
    path = str(tmp_path / "mine.comp")
    assert item.ExportFusionComp(path, 1)
    assert item.DeleteFusionCompByName("Composition 1")
    assert item.ImportFusionComp(str(tmp_path / "none.comp")) is None
    assert item.ImportFusionComp(path)
    assert np.allclose(shown(item)[0, 0], [1, 0.25, 0.25])


FUSION = """Composition {
\tCurrentTime = 0, -- a comment
\tTools = ordered() {
\t\tMediaIn1 = MediaIn { CtrlWZoom = false, Inputs = { GlobalOut = Input { Value = 2, }, } },
\t\tField = Loader {
\t\t\tClips = { Clip { ID = "Clip1", Filename = "FILE", FormatID = "OpenEXRFormat", GlobalStart = 0, } },
\t\t\tInputs = { ["Clip1.OpenEXRFormat.RedName"] = Input { Value = FuID { "R" } }, },
\t\t},
\t\tApply = Custom {
\t\t\tInputs = {
\t\t\t\tRedExpression = Input { Value = "r1*r2", },
\t\t\t\tImage1 = Input { SourceOp = "MediaIn1", Source = "Output", },
\t\t\t\tImage2 = Input { SourceOp = "Field", Source = "Output", },
\t\t\t},
\t\t\tViewInfo = OperatorInfo { Pos = { 110, -16.5 } },
\t\t},
\t\tMediaOut1 = MediaOut { Inputs = { Input = Input { SourceOp = "Apply", Source = "Output", }, } },
\t}
}
"""


def test_a_comp_in_fusions_own_form(item: Any, tmp_path: Path) -> None:
    """It is read as text that Fusion writes; text that cannot be read gives an empty comp without an error."""
    scene.write_sequence(tmp_path, {1: np.full(SHAPE, 3.0)}, "field", half=False)
    path = tmp_path / "mine.comp"
    path.write_text(FUSION.replace("FILE", str(tmp_path / "field.0001.exr")), encoding="utf-8")
    comp = item.ImportFusionComp(str(path))
    assert sorted(tool.Name for tool in comp.GetToolList().values()) == [
        "Apply",
        "Field",
        "MediaIn1",
        "MediaOut1",
    ]
    assert np.allclose(shown(item)[0, 0], [0.75, 0.25, 0.25])
    assert item.DeleteFusionCompByName("Composition 1")
    path.write_text(
        path.read_text(encoding="utf-8").replace('"r1*r2", }', '"r1*r2" } Oops = 1'), encoding="utf-8"
    )
    comp = item.ImportFusionComp(str(path))
    assert comp.GetToolList() == {}
    assert np.allclose(shown(item), 0.25)


def test_a_comp_that_was_built_by_calls_may_not_be_rendered(item: Any, tmp_path: Path) -> None:
    """With `live_comps_ignored` only an imported comp is, and not while a built one is there, too."""
    item._host.quirks.live_comps_ignored = True
    _, tool = wired(item)
    tool.SetInput("RedExpression", "9")
    assert np.allclose(shown(item), 0.25)
    path = str(tmp_path / "mine.comp")
    assert item.ExportFusionComp(path, 1)
    assert item.ImportFusionComp(path)
    assert np.allclose(shown(item), 0.25)
    assert item.DeleteFusionCompByName("Composition 1")
    assert np.allclose(shown(item)[0, 0], [9, 0.25, 0.25])


def test_ask_user() -> None:
    """Answers by name, defaults for the rest, None for Cancel, and no controls that there are not."""
    from fakes.resolve_host.comp import Comp

    host = Host()
    comp = Comp(host, "c")
    host.asked = {"Handles": 4}
    controls = {1: {1: "Handles", 2: "Slider", "Default": 8}, 2: {1: "Graded", 2: "Checkbox", "Default": 1}}
    assert comp.AskUser("HarmoVid", controls) == {"Handles": 4, "Graded": 1}
    host.asked = None
    assert comp.AskUser("HarmoVid", controls) is None
    with pytest.raises(TypeError):
        comp.AskUser("HarmoVid", {1: {1: "x", 2: "Spinner"}})


@pytest.mark.parametrize("text", ["r1 +", "__import__('os')", "r9", "r1.real", "[r1]"])
def test_expressions_that_are_none_fail(text: str) -> None:
    """What the Custom Tool does not know fails the render."""
    with pytest.raises(OSError, match="the expression"):
        custom_tool.evaluate(text, {"r1": 1.0})
