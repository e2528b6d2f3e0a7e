"""From the Send button to the picture: the stand-in Nuke, a real server, real EXRs, compared number by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import numpy as np
import pytest
from fakes import nuke_shots as shots
from fakes.nuke_driver import FIRST, LAST, harmonize, sent
from fakes.nuke_host import exr, script
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RGB, picture
from fakes.running import RunningServer
from harmovid_nuke import record

HALF = 1e-3
"""One rounding to half."""


def test_send_brings_the_light_into_the_node(host: Host, shot: Any) -> None:
    """The node's picture is the server's result on every frame; alpha and other layers are the input's to the bit."""
    run = sent(host, shot)
    assert run.error is None
    assert shot["status"].value().startswith("v001: 6 of 6 frames.")
    changed = 0
    for frame in range(FIRST, LAST + 1):
        out, plate = picture(shot, frame, "main").channels, picture(shot.input(0), frame, "main").channels
        result = exr.load(run.record.result("") % frame).channels
        for name in RGB:
            np.testing.assert_allclose(out[name], result[name], rtol=HALF, atol=1e-6)
            changed += int((out[name] != plate[name]).sum())
        for name in ("rgba.alpha", "depth.Z"):
            assert out[name].tobytes() == plate[name].tobytes()
        still = plate["rgba.alpha"] == 0
        assert all(out[name][still].tobytes() == plate[name][still].tobytes() for name in RGB)
    assert changed > 100


def test_nothing_is_left_in_the_script(host: Host, shot: Any, nuke: Any) -> None:
    """Proxy mode, selection and frame are as before, the Write is gone, and the frames sent are removed at the end."""
    nuke.root()["proxy"].setValue(True)
    nuke.toNode("Background").setSelected(True)
    before = [one.name() for one in nuke.selectedNodes()]
    run = sent(host, shot)
    assert nuke.root()["proxy"].value() is True
    assert [one.name() for one in nuke.selectedNodes()] == before
    assert nuke.frame() == FIRST
    assert not nuke.allNodes("Write")
    assert not Path(run.record.folder, record.INPUTS).exists()
    assert nuke.Undo.disabled == 0
    assert nuke.Undo.depth == 0
    loaded = exr.load(run.record.result("") % FIRST)
    assert (loaded.size, loaded.box) == (shots.SIZE, shots.OVERSCAN)


def test_saved_and_opened_again_it_is_the_same(host: Host, shot: Any, nuke: Any, tmp_path: Path) -> None:
    """A script with a result, saved and opened, has the same picture and the same text, the plugin's state included."""
    sent(host, shot)
    before = picture(shot, FIRST + 2, "main").channels
    nuke.scriptSave(str(tmp_path / "again.nk"))
    text = (tmp_path / "again.nk").read_text()
    nuke.scriptClear()
    nuke.scriptOpen(str(tmp_path / "again.nk"))
    host.drain()
    group = nuke.toNode("Harmonize1")
    after = picture(group, FIRST + 2, "main").channels
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    assert script.write(host.root) == text


def test_a_script_without_the_plugin_renders(host: Host, shot: Any, nuke: Any, tmp_path: Path) -> None:
    """A saved script renders the same pixels in a Nuke without the plugin; its callbacks fail without an error."""
    import sys

    run = sent(host, shot)
    write = nuke.nodes.Write()
    for name, value in (
        ("file_type", "exr"),
        ("file", f"{tmp_path}/final.%04d.exr"),
        ("channels", "rgba"),
        ("raw", True),
    ):
        write[name].setValue(value)
    write.setInput(0, shot)
    nuke.execute(write, FIRST, LAST, 1)
    first = {n: (tmp_path / f"final.{n}.exr").read_bytes() for n in range(FIRST, LAST + 1)}
    nuke.scriptSave(str(tmp_path / "plain.nk"))
    nuke.scriptClear()
    ours = {name: module for name, module in sys.modules.items() if name.startswith("harmovid_nuke")}
    # The stand-in itself uses `nk.word` of the plugin; only the modules of the callbacks must not be found.
    hidden = [name for name in ours if name.split(".")[-1] in ("callbacks", "buttons", "node", "jobs")]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        nuke.scriptOpen(str(tmp_path / "plain.nk"))
        nuke.execute(next(iter(nuke.allNodes("Write"))), FIRST, LAST, 1)
    finally:
        sys.modules.update(ours)
    assert {n: (tmp_path / f"final.{n}.exr").read_bytes() for n in first} == first
    assert run.error is None


def test_frames_appear_as_they_arrive(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the job runs the node shows the frames that are there, and passes the input on the others."""
    from harmovid_nuke import jobs, readback

    seen: List[Tuple[int, bool]] = []
    plain = readback.show

    def show(group: Any, made: Any, present: Any = None) -> Any:
        found = plain(group, made, present)
        without = [n for n in range(1, 31) if n not in found]
        if found and without:
            out, plate = (
                picture(each, without[-1], "main").channels["rgba.red"] for each in (group, group.input(0))
            )
            seen.append((len(found), out.tobytes() == plate.tobytes()))
        return found

    monkeypatch.setattr(jobs, "SHOW_S", 0.0)
    monkeypatch.setattr(readback, "show", show)
    run = sent(host, harmonize(nuke, tmp_path, server.endpoint, 1, 30))
    assert run.error is None
    assert seen
    assert all(passes for _, passes in seen)
    assert [count for count, _ in seen] == sorted(count for count, _ in seen)
