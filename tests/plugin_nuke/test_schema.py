"""Nodes of scripts that an older plugin has saved: they open, render and are sent as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest
from fakes import nuke_shots as shots
from fakes.nuke_driver import FIRST, harmonize, sent, settle
from fakes.nuke_host import script
from fakes.nuke_host.host import Host
from fakes.nuke_host.images import RGB, picture
from fakes.running import RunningServer
from harmovid_nuke import node, record

OLD = Path(__file__).parent / "schema_1"
LAST = FIRST + 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run one server for the module."""
    with RunningServer(tmp_path_factory.mktemp("server"), "--codecs", "1", echo=False) as running:
        yield running


def old(nuke: Any, kind: str) -> Any:
    """Paste a node as the first version saved it."""
    nuke.nodePaste(str(OLD / f"{kind}.nk"))
    return nuke.selectedNodes()[0]


def test_an_old_node_with_a_result_renders_unchanged(host: Host, nuke: Any, tmp_path: Path) -> None:
    """Opened, checked and shown, an old node has the same text but for nothing, and the same picture."""
    plate = shots.plate(1)
    group = old(nuke, "harmonize")
    group.setInput(0, shots.reader(nuke, shots.save(tmp_path, "fg", {7: plate}), 7, 7))
    group.setInput(1, shots.reader(nuke, shots.save(tmp_path, "bg", {7: shots.plate(2, alpha=False)}), 7, 7))
    shots.show_result(group, shots.save(tmp_path, "result", {7: shots.field(3, plate)}), 7, 7)
    before, text = picture(group, 7, "main").channels, script.write(host.root)
    script_path = tmp_path / "old.nk"
    script_path.write_text(text)
    nuke.scriptClear()
    nuke.scriptOpen(str(script_path))
    host.drain()
    group = nuke.toNode("Harmonize1")
    group["check"].execute()
    after = picture(group, 7, "main").channels
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)
    assert group["harmovid_schema"].value() == "1"
    assert group.maxInputs() == 3


def test_an_old_node_is_sent_and_gets_the_engines_inputs(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A send from an old node gives the bits of one from a new node, and keeps its knobs' values; the node then has the
    engine's further inputs.
    """
    new = harmonize(nuke, tmp_path, server.endpoint, FIRST, LAST)
    group = old(nuke, "harmonize")
    values = (
        ("server", server.endpoint),
        ("engine", "harmonize"),
        ("first", FIRST),
        ("last", LAST),
        ("luma", 0.5),
    )
    for each in (new, group):
        settle(each, values)
        for index in range(2):
            each.setInput(index, new.input(index))
    wanted, made = sent(host, new), sent(host, group)
    assert made.error is None, made.error
    for frame in (FIRST, LAST):
        files = [Path(run.record.result("") % frame).read_bytes() for run in (wanted, made)]
        assert files[0] == files[1]
        shown = [picture(each, frame, "main").channels for each in (new, group)]
        assert all(shown[0][name].tobytes() == shown[1][name].tobytes() for name in RGB)
    assert group["luma"].value() == 0.5
    assert group["harmovid_schema"].value() == "2"
    names = [one.name() for one in group.nodes() if one.Class() == "Input"]
    assert names == ["fg", "bg", "matte", "measure_mask", "source_plate"]


def test_an_old_record_is_shown_and_gone_on_with(
    host: Host, nuke: Any, tmp_path: Path, server: RunningServer
) -> None:
    """A version whose record knows neither channels nor files lacks nothing: its missing frames are made."""
    group = harmonize(nuke, tmp_path, server.endpoint, FIRST, LAST)
    run = sent(host, group)
    path = Path(run.record.folder, record.RECORD)
    Path(run.record.result("") % LAST).unlink()
    run.record.save(state=record.PARTLY)
    kept = [
        line for line in path.read_text().splitlines() if '"channels"' not in line and '"files"' not in line
    ]
    path.write_text("\n".join(kept))
    assert record.load(run.record.folder) == record.load(run.record.folder)
    node.show(group, record.load(run.record.folder))  # type: ignore[arg-type]
    assert not sent(host, group, "missing").record.missing()
