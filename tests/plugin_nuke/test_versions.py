"""Versions, history, frames made again, views, staleness, options of another engine: after the first send."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import nuke_shots as shots
from fakes.nuke_driver import FIRST, LAST, harmonize, sent
from fakes.nuke_host import exr
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RGB, picture
from fakes.running import RunningServer
from harmovid.job import EngineInfo, LayerInfo, Option, Preset
from harmovid_nuke import node, readback, record

ENGINE = EngineInfo(
    name="harmonize", version="1", task="harmonize", summary="", target="fg",
    layers=(LayerInfo("fg", True, ""), LayerInfo("bg", True, "")),
    options=(
        Option("amount", "float", 0.5, "How much.", group="light", unit="stops", minimum=0, maximum=2),
        Option("window", "int", 8, "Frames.", group="light"),
        Option("skin", "bool", True, "Keep skin."),
        Option("mode", "choice", "auto", "How.", choices=("auto", "still")),
        Option("reference_frame", "frame", None, "Match this one.", advanced=True),
    ),
    presets=(Preset("strong", "Strong", "More of it.", {"amount": 1.5, "reference_frame": -3}),),
)  # fmt: skip


def test_each_send_is_a_version_and_all_can_be_shown(host: Host, shot: Any) -> None:
    """Two sends are two versions; the list has both, and Show brings the first one back with its own pixels."""
    first = sent(host, shot).record
    shot["last"].setValue(LAST - 2)
    second = sent(host, shot).record
    assert [Path(each.folder).name for each in (first, second)] == ["v001", "v002"]
    assert len(shot["history"].values()) == 2
    assert shot["version"].value() == 2
    shot["history"].setValue(next(each for each in shot["history"].values() if each.startswith("v001")))
    shot["show_version"].execute()
    assert shot["version"].value() == 1
    assert shot.node("Result")["file"].value() == first.result("")
    assert picture(shot, LAST, "main").channels["rgba.red"].any()


def test_frames_made_again_are_the_same_and_others_untouched(host: Host, shot: Any) -> None:
    """Frames made again have the same bits, since the engine sees the whole range; the others are not touched."""
    run = sent(host, shot)
    path = {n: Path(run.record.result("") % n) for n in range(FIRST, LAST + 1)}
    before = {n: (path[n].read_bytes(), path[n].stat().st_mtime_ns) for n in path}
    redo = (FIRST + 1, FIRST + 3, FIRST + 4)
    for frame in redo:
        path[frame].write_bytes(b"damaged")
    shot["redo_frames"].setValue(f"{FIRST + 1}, {FIRST + 3}-{FIRST + 4}")
    run = sent(host, shot, "redo")
    assert run.error is None
    assert set(run.reports) == set(redo)
    assert not list(Path(run.record.folder).glob(".harmovid-*"))
    for frame, file in path.items():
        assert file.read_bytes() == before[frame][0]
        assert (file.stat().st_mtime_ns == before[frame][1]) == (frame not in redo)


def test_frames_of_another_range_are_refused(host: Host, shot: Any) -> None:
    """Frames that the version does not have cannot be made again, and the message says what it has."""
    sent(host, shot)
    shot["redo_frames"].setValue("2000")
    shot["redo"].execute()
    assert "2000" in host.messages[-1]
    assert f"{FIRST}-{LAST}" in host.messages[-1]


def test_handles_are_sent_and_not_shown(host: Host, shot: Any) -> None:
    """With two handles the engine sees four more frames; the range asked for alone is made and shown."""
    shot["first"].setValue(FIRST + 2)
    shot["last"].setValue(FIRST + 3)
    shot["handles"].setValue(2)
    run = sent(host, shot)
    assert run.record.frames == f"{FIRST}-{FIRST + 5}"
    results = [run.record.result("") % number for number in (FIRST + 2, FIRST + 3)]
    assert sorted(str(path) for path in Path(run.record.folder).glob("result.*")) == results
    assert set(run.reports) == {FIRST + 2, FIRST + 3}
    assert [bool(shot["present"].valueAt(n)) for n in range(FIRST, FIRST + 6)] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]


def test_a_reference_frame_outside_the_range_is_sent_too(host: Host, shot: Any) -> None:
    """A part that matches a frame elsewhere in the shot sends that frame too; one that is nowhere is refused."""
    sent(host, shot)
    shot["first"].setValue(FIRST + 3)
    shot["last"].setValue(FIRST + 3)
    shot["o_reference_frame"].setValue(str(FIRST))
    run = sent(host, shot)
    assert run.error is None
    assert (run.record.frames, run.record.shot) == (f"{FIRST},{FIRST + 3}", f"{FIRST}-{LAST}")
    assert {frame: said["engine"]["decision"] for frame, said in run.reports.items()} == {
        FIRST + 3: "matched"
    }
    shot["o_reference_frame"].setValue("99")
    shot["send"].execute()
    assert "no frame of the shot" in host.messages[-1]


def test_current_frame(host: Host, shot: Any, nuke: Any) -> None:
    """ "current frame" sends the frame that Nuke is at."""
    nuke.frame(FIRST + 4)
    shot["send_what"].setValue("current frame")
    assert sent(host, shot).record.wanted == str(FIRST + 4)


def test_negative_frames(host: Host, nuke: Any, tmp_path: Path, server: RunningServer) -> None:
    """A shot from -2 to 1 keeps its numbers."""
    group = harmonize(nuke, tmp_path, server.endpoint, -2, 1)
    run = sent(host, group)
    assert run.error is None
    assert list(run.record.present()) == [-2, -1, 0, 1]
    assert picture(group, -2, "main").channels["rgba.red"].tobytes() != b""


def test_stereo_views(host: Host, shot: Any, nuke: Any, tmp_path: Path) -> None:
    """Each view has its own frames and its own job; the node reads the view that is asked for."""
    host.views = ["left", "right"]
    host.view = "left"
    for view, seed in (("left", 0), ("right", 50)):
        shots.save(tmp_path / "st" / view, "fg", {n: shots.plate(n + seed) for n in range(FIRST, LAST + 1)})
    shot.input(0)["file"].setValue(f"{tmp_path.as_posix()}/st/%V/fg.%04d.exr")
    run = sent(host, shot)
    assert run.error is None
    assert run.record.views == ("left", "right")
    for view in host.views:
        out = picture(shot, FIRST, view).channels
        result = exr.load(run.record.result(view) % FIRST).channels
        np.testing.assert_allclose(out["rgba.red"], result["rgba.red"], rtol=1e-3, atol=1e-6)
    left, right = (picture(shot, FIRST, view).channels["rgba.red"] for view in host.views)
    assert left.tobytes() != right.tobytes()


def test_pixel_aspect_and_overscan_come_back(host: Host, shot: Any, tmp_path: Path) -> None:
    """An anamorphic plate with overscan has its windows and its pixel aspect in the result."""
    for name in ("fg", "bg"):
        shots.save(tmp_path / name, name, {n: shots.plate(n, aspect=2.0) for n in range(FIRST, LAST + 1)})
    run = sent(host, shot)
    assert run.error is None, shot["status"].value()
    result = exr.load(run.record.result("") % FIRST)
    assert (result.aspect, result.box, result.size) == (2.0, shots.OVERSCAN, shots.SIZE)


def test_a_change_upstream_is_noticed(host: Host, shot: Any, nuke: Any) -> None:
    """A knob, a connection or a file that changes above makes the result stale; where nodes stand does not."""
    sent(host, shot)
    grade = nuke.nodes.Grade()
    nuke.toNode("Foreground").setXYpos(500, 700)
    shot["check"].execute()
    assert not shot["stale"].value()
    grade.setInput(0, nuke.toNode("Foreground"))
    shot.setInput(0, grade)
    shot["check"].execute()
    assert shot["stale"].value()
    assert "changed" in shot["status"].value()
    shot.setInput(0, nuke.toNode("Foreground"))
    shot["check"].execute()
    assert not shot["stale"].value()
    path = nuke.toNode("Foreground")["file"].evaluate(FIRST)
    os.utime(path, (1, 1))
    shot["check"].execute()
    assert shot["stale"].value()


def test_a_stale_result_stops_a_render_when_wanted(host: Host, shot: Any, nuke: Any) -> None:
    """With "missing frames" on error, a stale result is an error of the node, with the status as its message."""
    sent(host, shot)
    shot["on_missing"].setValue("error")
    assert not shot.hasError()
    nuke.toNode("Foreground")["before"].setValue("black")
    shot["check"].execute()
    assert shot.hasError()


def test_options_are_rebuilt_and_values_kept(host: Host, shot: Any) -> None:
    """Another engine brings other knobs; a value whose option is still there stays, unless it is no choice any more."""
    node.take_engine(shot, ENGINE)
    shot["o_amount"].setValue(0.9)
    shot["o_mode"].setValue("still")
    shot["o_reference_frame"].setValue("-12")
    newer = replace(
        ENGINE,
        version="2",
        options=(
            Option("amount", "float", 0.1, "How much."),
            Option("mode", "choice", "auto", "How.", choices=("auto", "fast")),
            Option("reference_frame", "frame", None, ""),
            Option("extra", "int", 3, "More."),
        ),
    )
    node.take_engine(shot, newer)
    assert shot["o_amount"].value() == 0.9
    assert shot["o_mode"].value() == "auto"
    assert shot["o_reference_frame"].value() == "-12"
    assert shot["o_extra"].value() == 3
    assert shot.knob("o_window") is None
    assert shot.knob("o_preset").value() == "custom"


def test_presets_set_their_options_and_travel(host: Host, shot: Any, nuke: Any, tmp_path: Path) -> None:
    """A preset sets its options and the others' defaults; saved and opened, the script has it still."""
    node.take_engine(shot, ENGINE)
    shot["o_window"].setValue(99)
    shot["o_preset"].setValue("strong")
    assert (shot["o_amount"].value(), shot["o_window"].value(), shot["o_reference_frame"].value()) == (
        1.5,
        8,
        "-3",
    )
    nuke.scriptSave(str(tmp_path / "p.nk"))
    nuke.scriptClear()
    nuke.scriptOpen(str(tmp_path / "p.nk"))
    assert nuke.toNode("Harmonize1")["o_preset"].value() == "strong"
    assert nuke.toNode("Harmonize1")["o_amount"].value() == 1.5


def test_every_option_of_a_real_server_is_a_knob(host: Host, shot: Any) -> None:
    """Connect brings every option of the engine as a knob with its label, range and default, and says what answered."""
    shot["engine"].setValue("harmonize")
    shot["connect"].execute()
    host.run_until(lambda: shot["server_info"].value() != "Not connected yet.")
    from harmovid_nuke import plan

    engine = plan.engine_of(shot)
    assert engine is not None
    for option in engine.options:
        knob = shot["o_" + option.name]
        assert option.label in knob.label()
        if option.kind in ("float", "int", "bool", "choice", "str"):
            assert knob.value() == option.default
    assert "harmonize" in shot["server_info"].value()


def test_curves_arrive_and_edits_survive_a_new_result(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """Deflicker's measured level and correction are keys; an edit of one frame is kept when the shot is sent again."""
    frames = range(FIRST, FIRST + 12)
    plates = {n: shots.plate(7, alpha=False) for n in frames}
    for n in frames:
        for name in RGB:
            plates[n].channels[name] = plates[n].channels[name] * np.float32(2 ** (0.25 * (n % 2)))
    group = node.create("deflicker")
    read = shots.reader(nuke, shots.save(tmp_path / "p", "p", plates), FIRST, FIRST + 11)
    group.setInput(0, read)
    for name, value in (("server", server.endpoint), ("first", FIRST), ("last", FIRST + 11)):
        group[name].setValue(value)
    nuke.scriptSave(str(tmp_path / "d.nk"))
    assert sent(host, group).error is None
    levels = [group["flicker"].valueAt(n, 1) for n in frames]
    assert max(levels) - min(levels) > 0.1
    assert group["correction"].isAnimated(0)
    before = group["correction"].valueAt(FIRST + 3, 0)
    group["correction"].setValueAt(before + 0.5, FIRST + 3, 0)
    assert sent(host, group).error is None
    moved = group["correction"].valueAt(FIRST + 3, 0) - group["measured"].valueAt(FIRST + 3, 0)
    assert moved == pytest.approx(0.5)
    group["reset_curves"].execute()
    assert group["correction"].toScript() == group["measured"].toScript()


def test_damaged_state_does_no_harm(host: Host, shot: Any) -> None:
    """Rubbish in the hidden knobs, as a merge of scripts may leave it, is taken for nothing."""
    for name in ("engine_data", "job_data", "history_data"):
        shot[name].setValue("not base64 {[")
    assert node.record_of(shot) is None
    assert readback.listed(shot) == []
    assert sent(host, shot).error is None


def test_records_of_a_newer_plugin_are_read(tmp_path: Path) -> None:
    """A record with fields that we do not know is read without them; a damaged one is none."""
    made = record.Record(f"{tmp_path}/v001", "N", "harmonize", "e", "1-2", "1-2")
    os.makedirs(made.folder)
    made.save()
    text = Path(made.folder, record.RECORD).read_text().replace('"node"', '"new_field": 3, "node"')
    Path(made.folder, record.RECORD).write_text(text)
    assert record.load(made.folder) == made
    Path(made.folder, record.RECORD).write_text("{")
    assert record.load(made.folder) is None


def test_a_graph_scope_variable_chooses_the_preset(host: Host, shot: Any) -> None:
    """Where Nuke has Graph Scope Variables, `harmovid_preset` gives the shot its preset; the knobs stay as they are."""
    from harmovid_nuke import plan

    node.take_engine(shot, ENGINE)
    shot["o_amount"].setValue(0.7)
    assert plan.make(shot).options["amount"] == 0.7
    host.give_scope({"__default__": {"harmovid_preset": "strong", "shot": "sh010"}})
    assert plan.make(shot).options == {**plan.make(shot).options, "amount": 1.5, "reference_frame": -3}
    assert shot["o_amount"].value() == 0.7
    host.give_scope({"__default__": {"harmovid_preset": "nonsense"}})
    shot["send"].execute()
    assert "no preset 'nonsense'" in host.messages[-1]


@pytest.mark.parametrize(
    "config", ["Nuke's own", "ocio://cg-config-v2.1.0_aces-v1.3_ocio-v2.3", "studio/config.ocio"]
)
def test_no_colour_space_is_named(host: Host, shot: Any, nuke: Any, config: str) -> None:
    """Under three colour configurations the frames sent are the same bytes, and none of our nodes converts a pixel."""
    if config != "Nuke's own":
        nuke.root()["colorManagement"].setValue("OCIO")
        nuke.root()["OCIO_config"].setValue(config)
        nuke.root()["workingSpaceLUT"].setValue("ACEScg")
    shot["keep_inputs"].setValue(True)
    run = sent(host, shot)
    assert run.error is None
    out = picture(shot, FIRST, "main").channels["rgba.red"]
    assert not [note for note in host.notes if note[0] == "converted"]
    plate = exr.load(shot.input(0)["file"].evaluate(FIRST)).channels["rgba.red"]
    assert exr.load(run.record.input("fg", "") % FIRST).channels["rgba.red"].tobytes() == plate.tobytes()
    assert out.shape == plate.shape
    assert shot.node("Result")["colorspace"].value() == "default"


def test_a_node_of_a_newer_plugin_is_left_alone(host: Host, shot: Any) -> None:
    """A node whose knobs are of a later version says so and is not changed."""
    shot["harmovid_schema"].setValue("99")
    before = shot.writeKnobs(0)
    node.take_engine(shot, ENGINE)
    assert shot.writeKnobs(0) == before
    shot["send"].execute()
    assert "newer HarmoVid" in host.messages[-1]


def test_frames_sent_for_failed_versions_go_with_the_next_good_one(host: Host, shot: Any) -> None:
    """The inputs of a version that failed stay until a later one is done, and no longer."""
    host.cancel_after_frames = 2
    failed = sent(host, shot).record
    assert Path(failed.folder, record.INPUTS).exists()
    host.cancel_after_frames = None
    run = sent(host, shot)
    assert run.error is None
    assert not Path(failed.folder, record.INPUTS).exists()
    assert not list(Path(run.record.folder).glob(".*.tmp"))
