"""Inputs from the engine's description: an engine that nobody knew, and the harmonizer's own further inputs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List

import numpy as np
import pytest
from fakes import nuke_shots as shots
from fakes import studio_engine
from fakes.nuke_driver import FIRST, harmonize, sent, settle
from fakes.nuke_host import exr
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RGB, Picture, picture
from fakes.running import RunningServer
from harmovid.cli import main as harmovid
from harmovid.job import VECTORS
from harmovid_nuke import channels, engine_cache, farm, inputs, node, record, submit

LAST = FIRST + 1
FRAMES = range(FIRST, LAST + 1)
PIPES = ("clean_plate", "dirt")
FIELD = ("harmovid.red", "harmovid.green", "harmovid.blue")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run one server for the module, with the engines of another package."""
    folder = tmp_path_factory.mktemp("server")
    environ = studio_engine.installed(folder / "packages")
    with RunningServer(folder, "--codecs", "1", echo=False, environ=environ) as running:
        yield running


def facing(of: Picture) -> Dict[str, Any]:
    """Return normals in a layer of their own, as renderers write them."""
    rng = np.random.default_rng(11)
    shape = of.channels["rgba.red"].shape
    normals = rng.normal(0, 1, (3, *shape))
    normals /= np.linalg.norm(normals, axis=0)
    return {f"N.{name}": plane.astype(np.float32) for name, plane in zip(("red", "green", "blue"), normals)}


def panorama(path: Path, level: float = 0.3) -> Path:
    """Write a small panorama whose sun is beyond the range of half."""
    rng = np.random.default_rng(5)
    planes = {name: rng.gamma(2, level, (8, 16)).astype(np.float32) for name in RGB}
    planes["rgba.red"][2, 5] = 200_000.0
    path.parent.mkdir(parents=True, exist_ok=True)
    exr.save(str(path), Picture((16, 8), (0, 0, 16, 8), planes), RGB, False, "Zip (1 scanline)", {})
    return path


@pytest.fixture
def shot(host: Host, nuke: Any, tmp_path: Path, server: RunningServer) -> Any:
    """Return a Harmonize node on a foreground with normals, connected to the server's unknown engine."""
    group = harmonize(nuke, tmp_path, server.endpoint, FIRST, LAST)
    fg = {n: shots.plate(n) for n in FRAMES}
    for each in fg.values():
        each.channels.update(facing(each))
    shots.save(tmp_path / "fg", "fg", fg, half=False)
    group["engine"].setValue(studio_engine.NAME)
    connect(host, group)
    return group


def connect(host: Host, group: Any) -> None:
    """Press Connect and wait for the answer."""
    group["server_info"].setValue("")
    group["connect"].execute()
    host.run_until(lambda: group["server_info"].value() != "")


def number(group: Any, name: str) -> int:
    """Return the number of a pipe by its name."""
    found = [one for one in group.nodes() if one.Class() == "Input" and one.name() == name]
    return int(found[0]["number"].value())


def wire(nuke: Any, group: Any, folder: Path) -> Dict[str, str]:
    """Connect everything that the engine takes; return the inputs as the command line is given them."""
    given = {}
    for seed, name in ((300, "clean_plate"), (400, "dirt")):
        frames = {n: shots.plate(n + seed, alpha=name == "dirt") for n in FRAMES}
        pattern = shots.save(folder / name, name, frames)
        group.setInput(number(group, name), shots.reader(nuke, pattern, FIRST, LAST, name.capitalize()))
        given[name] = pattern
    inputs.refresh_choices(group)
    group["in_facing"].setValue("N")
    given["sky"] = panorama(folder / "hdri" / "sky.exr").as_posix()
    group["in_sky"].setValue(given["sky"])
    return given


def command_line(folder: Path, server: RunningServer, *words: str) -> Path:
    """Run `harmovid harmonize` on the shot's own files; return the folder of its results."""
    out = folder / "cli"
    shutil.rmtree(out, ignore_errors=True)
    line = [f"{folder}/fg/fg.####.exr", f"{folder}/bg/bg.####.exr", "-o", f"{out}/result.####.exr"]
    assert harmovid(["harmonize", *line, "--field", "-q", "--server", server.endpoint, *words]) == 0
    return out


def assert_same_results(made: record.Record, out: Path) -> None:
    """Colours, alpha and field of every frame are the same bits; half colours, as the node sends them."""
    for frame in FRAMES:
        own = exr.load(made.result("") % frame)
        wanted = exr.load(str(out / f"result.{frame}.exr"))
        assert own.box == wanted.box
        for name in FIELD:
            assert own.channels[name].tobytes() == wanted.channels[name].tobytes(), (frame, name)
        for name in (*RGB, "rgba.alpha"):
            assert own.channels[name].tobytes() == wanted.channels[name].tobytes(), (frame, name)


def all_inputs(given: Dict[str, str], folder: Path) -> List[str]:
    """Return the flags of the made-up engine's inputs."""
    flags = [f"--clean-plate={given['clean_plate']}", f"--dirt={given['dirt']}", f"--sky={given['sky']}"]
    return [
        "--engine",
        studio_engine.NAME,
        *flags,
        "--facing",
        f"{folder}/fg/fg.####.exr",
        "--layer",
        "facing=N",
    ]


def test_a_new_engine_brings_its_inputs(host: Host, shot: Any) -> None:
    """Every layer that an engine describes can be connected: pipes by its names, channels and files as knobs, each with
    label and help; what every node has keeps its place.
    """
    names = {int(one["number"].value()): one.name() for one in shot.nodes() if one.Class() == "Input"}
    assert names == {0: "fg", 1: "bg", 2: "matte", 3: "clean_plate", 4: "dirt"}
    assert shot.maxInputs() == 5
    for layer in studio_engine.INFO.layers[3:]:
        knob = shot["in_" + layer.name]
        assert layer.label in knob.label()
        assert layer.help in knob.tooltip()
    assert [shot["in_" + name].Class() for name in ("clean_plate", "facing", "sky")] == [
        "Text_Knob", "Enumeration_Knob", "File_Knob",
    ]  # fmt: skip
    assert shot["in_facing"].values() == ["none", "N"]
    assert shot["harmovid_schema"].value() == "2"


def test_what_is_connected_is_what_the_command_line_gets(
    host: Host, nuke: Any, shot: Any, tmp_path: Path, server: RunningServer
) -> None:
    """With all inputs of the new engine the results have the bits of the command line's on the same files; each input
    alone changes them. Nothing that was made for the render stays.
    """
    shot["datatype"].setValue("32 bit float")
    bare = sent(host, shot)
    assert bare.error is None
    given = wire(nuke, shot, tmp_path)
    before = len(nuke.allNodes())
    run = sent(host, shot)
    assert run.error is None, run.error
    assert run.problems == []
    assert run.reports[FIRST]["engine"]["inputs"] == ["bg", "clean_plate", "dirt", "facing", "fg", "sky"]
    assert len(nuke.allNodes()) == before
    assert_same_results(run.record, command_line(tmp_path, server, *all_inputs(given, tmp_path)))
    full = exr.load(run.record.result("") % FIRST).channels
    assert all(
        (full[name] != exr.load(bare.record.result("") % FIRST).channels[name]).any() for name in FIELD
    )
    shown = picture(shot, FIRST, "main").channels
    for name in RGB:
        np.testing.assert_allclose(shown[name], full[name], rtol=1e-3, atol=1e-6)


def test_a_script_keeps_its_further_inputs(
    host: Host, nuke: Any, shot: Any, tmp_path: Path, server: RunningServer
) -> None:
    """Saved, opened, sent again and made again in part: connections, choices and bits are the same."""
    wire(nuke, shot, tmp_path)
    first = sent(host, shot).record
    before = {n: Path(first.result("") % n).read_bytes() for n in FRAMES}
    nuke.scriptSave(str(tmp_path / "again.nk"))
    nuke.scriptClear()
    nuke.scriptOpen(str(tmp_path / "again.nk"))
    host.drain()
    group = nuke.toNode("Harmonize1")
    assert group.input(number(group, "dirt")).name() == "Dirt"
    assert group["in_facing"].value() == "N"
    group["check"].execute()
    assert not group["stale"].value()
    Path(first.result("") % LAST).write_bytes(b"damaged")
    group["redo_frames"].setValue(str(LAST))
    assert sent(host, group, "redo").error is None
    assert {n: Path(first.result("") % n).read_bytes() for n in FRAMES} == before
    second = sent(host, group).record
    assert second.folder != first.folder
    assert {n: Path(second.result("") % n).read_bytes() for n in FRAMES} == before


def test_the_farm_has_the_further_inputs(
    host: Host, nuke: Any, shot: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A farm's one task renders and sends them too: its results are those of a send from Nuke."""
    wire(nuke, shot, tmp_path)
    wanted = sent(host, shot).record
    shot["send_what"].setValue("farm")
    shot["send"].execute()
    folder = next((tmp_path / "harmovid").rglob("v002"))
    host.remove()
    blade = Host(gui=False)
    try:
        assert submit.main([str(folder / farm.SCRIPT), "Harmonize1"]) == 0
        assert blade.violations == []
    finally:
        blade.remove()
        host.come_back()
    for frame in FRAMES:
        made = folder / f"result.{frame}.exr"
        assert made.read_bytes() == Path(wanted.result("") % frame).read_bytes()


def test_only_the_panorama_is_read_by_its_colour_space(
    host: Host, nuke: Any, shot: Any, tmp_path: Path
) -> None:
    """The file of a panorama comes into the working space as by any Read, as one frame in 32 bits; what is upstream is
    sent as it is.
    """
    wire(nuke, shot, tmp_path)
    shot["keep_inputs"].setValue(True)
    run = sent(host, shot)
    assert {note[1] for note in host.notes if note[0] == "converted"} == {"Read1"}
    folder = Path(run.record.folder, record.INPUTS)
    assert [path.name for path in folder.glob("sky.*")] == [f"sky.{FIRST}.exr"]
    sky = exr.load(str(folder / f"sky.{FIRST}.exr")).channels["rgba.red"]
    assert sky.max() == 200_000.0
    normals = exr.load(str(folder / f"facing.{LAST}.exr")).channels
    assert normals["rgba.red"].tobytes() == facing(shots.plate(LAST))["N.red"].tobytes()


def test_a_sequence_of_panoramas_is_sent_frame_by_frame(
    host: Host, nuke: Any, shot: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A file with a frame number in its name is a sequence, of which each frame is sent."""
    for n in FRAMES:
        panorama(tmp_path / "hdri" / f"sky.{n}.exr", 0.1 + 0.2 * (n - FIRST))
    pattern = f"{tmp_path.as_posix()}/hdri/sky.%04d.exr"
    shot["in_sky"].setValue(pattern)
    shot["datatype"].setValue("32 bit float")
    run = sent(host, shot)
    assert run.error is None
    flags = ["--engine", studio_engine.NAME, "--sky", pattern]
    assert_same_results(run.record, command_line(tmp_path, server, *flags))


def test_each_view_has_its_own_pipes_and_panorama(host: Host, nuke: Any, shot: Any, tmp_path: Path) -> None:
    """Further inputs are rendered for each view; a panorama whose name holds the view is read for it."""
    host.views, host.view = ["left", "right"], "left"
    for view, seed, level in (("left", 300, 0.1), ("right", 350, 0.6)):
        frames = {n: shots.plate(n + seed, alpha=False) for n in FRAMES}
        shots.save(tmp_path / "clean" / view, "c", frames)
        panorama(tmp_path / "hdri" / f"sky.{view}.exr", level)
    pattern = f"{tmp_path.as_posix()}/clean/%V/c.%04d.exr"
    shot.setInput(number(shot, "clean_plate"), shots.reader(nuke, pattern, FIRST, LAST))
    shot["in_sky"].setValue(f"{tmp_path.as_posix()}/hdri/sky.%V.exr")
    shot["keep_inputs"].setValue(True)
    run = sent(host, shot)
    assert run.error is None, run.error
    for view in host.views:
        sky = exr.load(run.record.input("sky", view) % LAST).channels["rgba.green"]
        assert sky.tobytes() == exr.load(f"{tmp_path}/hdri/sky.{view}.exr").channels["rgba.green"].tobytes()
        clean = exr.load(run.record.input("clean_plate", view) % FIRST).channels["rgba.red"]
        own = exr.load(f"{tmp_path}/clean/{view}/c.{FIRST}.exr").channels["rgba.red"]
        assert clean.tobytes() == own.tobytes()
    left, right = (exr.load(run.record.result(view) % FIRST).channels[FIELD[2]] for view in host.views)
    assert (left != right).any()


@pytest.mark.parametrize("lights", [False, True], ids=["source plate", "known light"])
def test_the_harmonizers_own_inputs(
    host: Host, nuke: Any, shot: Any, tmp_path: Path, server: RunningServer, lights: bool
) -> None:
    """Source plate, measure mask, normals and panoramas of the harmonizer give the command line's bits."""
    settle(shot, (("engine", "harmonize"), ("datatype", "32 bit float")))
    connect(host, shot)
    inputs.refresh_choices(shot)
    shot["in_normals"].setValue("N")
    words = ["--engine", "harmonize", "--normals", f"{tmp_path}/fg/fg.####.exr", "--layer", "normals=N"]
    if lights:
        for name, level in (("light_to", 0.2), ("light_from", 0.6)):
            path = panorama(tmp_path / f"{name}.exr", level)
            shot["in_" + name].setValue(path.as_posix())
            words += ["--" + name.replace("_", "-"), str(path)]
    else:
        for name, seed in (("measure_mask", 600), ("source_plate", 500)):
            frames = {n: shots.plate(n + seed, alpha=name == "measure_mask") for n in FRAMES}
            pattern = shots.save(tmp_path / name, name, frames)
            shot.setInput(number(shot, name), shots.reader(nuke, pattern, FIRST, LAST))
            words += ["--" + name.replace("_", "-"), pattern]
    run = sent(host, shot)
    assert run.error is None, run.error
    assert_same_results(run.record, command_line(tmp_path, server, *words))


def test_a_new_node_has_its_inputs_without_a_server(host: Host, nuke: Any, shot: Any, tmp_path: Path) -> None:
    """The description that was got last is kept for this user: a new node has its inputs when no server answers; a
    damaged file is no description.
    """
    engine_cache.keep("harmonize", studio_engine.INFO)
    group = node.create("harmonize")
    assert [number(group, name) for name in PIPES] == [3, 4]
    assert group["in_sky"].value() == ""
    assert group["o_amount"].value() == 1.0
    (Path(os.environ["XDG_CONFIG_HOME"]) / "harmovid" / engine_cache.FILE).write_text("{")
    assert node.create("harmonize").maxInputs() == 3


def test_another_engine_moves_no_connection(host: Host, nuke: Any, shot: Any, tmp_path: Path) -> None:
    """Pipes keep their numbers when the engine changes: a free one is used again, and one that is connected but not
    taken stays and is named by the send.
    """
    wire(nuke, shot, tmp_path)
    shot.setInput(number(shot, "dirt"), None)
    shot["engine"].setValue("harmonize")
    connect(host, shot)
    assert number(shot, "clean_plate") == 3
    assert number(shot, "measure_mask") == 4
    assert shot.input(3).name() == "Clean_plate"
    run = sent(host, shot)
    assert run.error is None, run.error
    assert run.record.layers == {"fg": 0, "bg": 1}
    assert "does not use the input clean_plate" in shot["status"].value()
    shot["engine"].setValue(studio_engine.NAME)
    connect(host, shot)
    assert number(shot, "clean_plate") == 3
    assert sent(host, shot).record.layers == {"fg": 0, "bg": 1, "clean_plate": 3}


def test_an_engine_for_plates_may_need_a_further_input(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A required input that came with the description is asked for by its name, and then sent."""
    plate = shots.save(tmp_path / "p", "p", {n: shots.plate(n, alpha=False) for n in FRAMES})
    group = node.create("deflicker")
    group.setInput(0, shots.reader(nuke, plate, FIRST, LAST, "Plate"))
    settle(group, (("server", server.endpoint), ("engine", "studio-clean"), ("first", FIRST), ("last", LAST)))
    nuke.scriptSave(str(tmp_path / "d.nk"))
    run = sent(host, group)
    assert "input clean_plate is not connected" in str(run.error)
    clean = shots.save(tmp_path / "c", "c", {n: shots.plate(n + 50, alpha=False) for n in FRAMES})
    group.setInput(number(group, "clean_plate"), shots.reader(nuke, clean, FIRST, LAST))
    run = sent(host, group)
    assert run.error is None, run.error
    assert run.record.layers == {"plate": 0, "clean_plate": 3}


def test_errors_name_the_input_and_the_fix(host: Host, nuke: Any, shot: Any, tmp_path: Path) -> None:
    """Another format, channels that are gone, a matte without alpha and a file that is not there are refused before
    anything is sent.
    """
    wire(nuke, shot, tmp_path)
    clean = number(shot, "clean_plate")
    wide = Picture((40, 20), (0, 0, 40, 20), {name: np.ones((20, 40), np.float32) for name in RGB})
    kept = shot.input(clean)
    shot.setInput(
        clean, shots.reader(nuke, shots.save(tmp_path, "wide", dict.fromkeys(FRAMES, wide)), FIRST, LAST)
    )
    assert "the input clean_plate is 40 x 20, fg is 32 x 20. Put a Reformat to 32 x 20 above" in refused(
        host, shot
    )
    tall = shots.plate(1, alpha=False, aspect=2.0)
    shot.setInput(
        clean, shots.reader(nuke, shots.save(tmp_path, "tall", dict.fromkeys(FRAMES, tall)), FIRST, LAST)
    )
    assert "the pixel aspect of the input clean_plate is 2, that of fg 1. Put a Reformat" in refused(
        host, shot
    )
    shot.setInput(clean, kept)
    shot["in_sky"].setValue(f"{tmp_path}/nowhere.exr")
    assert "the input sky cannot be rendered" in refused(host, shot)
    shot["in_sky"].setValue("")
    flat = shots.save(tmp_path, "flat", {n: shots.plate(n, alpha=False) for n in FRAMES})
    shot.setInput(number(shot, "dirt"), shots.reader(nuke, flat, FIRST, LAST))
    assert "the input dirt has no alpha channel. Put the matte" in refused(host, shot)
    shot.setInput(number(shot, "dirt"), None)
    shot.setInput(0, nuke.toNode("Background"))
    assert "the input fg has no channels N for facing; of three it has none. Choose others" in refused(
        host, shot
    )


def refused(host: Host, group: Any) -> str:
    """Send, and return why it was refused."""
    run = sent(host, group)
    assert run.error is not None
    return str(run.error)


def test_a_change_of_a_further_input_is_noticed(host: Host, nuke: Any, shot: Any, tmp_path: Path) -> None:
    """Check sees other channels, another file, a file that was written again, and a pipe that was connected later."""
    wire(nuke, shot, tmp_path)
    dirt = shot.input(number(shot, "dirt"))
    shot.setInput(number(shot, "dirt"), None)
    assert sent(host, shot).error is None

    def stale() -> bool:
        shot["check"].execute()
        return bool(shot["stale"].value())

    assert not stale()
    shot.setInput(number(shot, "dirt"), dirt)
    assert stale()
    shot.setInput(number(shot, "dirt"), None)
    assert not stale()
    shot["in_facing"].setValue("none")
    assert stale()
    shot["in_facing"].setValue("N")
    assert not stale()
    os.utime(tmp_path / "hdri" / "sky.exr", (1, 1))
    assert stale()


def test_the_background_twice_is_said(host: Host, nuke: Any, shot: Any) -> None:
    """A further image that is the background's own node is most likely a slip."""
    shot.setInput(number(shot, "clean_plate"), nuke.toNode("Background"))
    run = sent(host, shot)
    assert run.error is None
    assert "clean_plate is the same node as the background" in shot["status"].value()


def test_layers_of_three_numbers_are_found_in_their_order() -> None:
    """Colours, coordinates in either case and nothing else; the order is that of the numbers, not of the names."""
    names = [
        "N.blue",
        "N.green",
        "N.red",
        "P.Z",
        "P.X",
        "P.Y",
        "depth.Z",
        "rgba.red",
        "rgba.green",
        "rgba.blue",
    ]
    assert channels.triples([*names, "motion.u", "motion.v"]) == {
        "N": ("N.red", "N.green", "N.blue"), "P": ("P.X", "P.Y", "P.Z"),
    }  # fmt: skip
    assert any(layer.kind == VECTORS for layer in studio_engine.INFO.layers)
