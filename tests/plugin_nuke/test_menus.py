"""Menus, init.py and menu.py at Nuke's start, the private server, the self-test, and the two Qt bindings."""

from __future__ import annotations

import json
import runpy
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from fakes.nuke_driver import harmonize, sent
from fakes.nuke_host.host import Host, HostRuleBroken
from fakes.running import RunningServer
from harmovid_nuke import engine_cache, menus, private, selftest, threads

DOORS = Path(menus.__file__).parent / "doors"


def test_menu_and_toolbar_are_made_in_an_interactive_nuke(host: Host) -> None:
    """init.py and menu.py make the toolbar and the menu; a node is made by its command."""
    runpy.run_path(str(DOORS / "init.py"))
    runpy.run_path(str(DOORS / "menu.py"))
    toolbar = host.menus["Nodes"].findItem("HarmoVid")
    assert set(toolbar.items) == {"Harmonize", "Deflicker"}
    toolbar.findItem("Deflicker").invoke()
    assert [one.name() for one in host.module.allNodes("Group")] == ["Deflicker1"]
    assert {"Jobs", "Start private server", "Stop private server", "Self-test"} <= set(
        host.menus["Nuke"].findItem("HarmoVid").items
    )


def test_a_node_of_the_menu_asks_for_its_inputs(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the settings name a server, a new node has its engine's inputs without a press; a server that does not
    answer changes nothing, and nobody is told.
    """
    with RunningServer(tmp_path / "server", echo=False) as server:
        monkeypatch.setenv("HARMOVID_SERVER", server.endpoint)
        group = menus.make_node("harmonize")
        host.run_until(lambda: group["server_info"].value() != "Not connected yet.")
    names = [one.name() for one in group.nodes() if one.Class() == "Input"]
    assert names == ["fg", "bg", "matte", "measure_mask", "source_plate"]
    (tmp_path / "home" / ".config" / "harmovid" / engine_cache.FILE).unlink()
    other = menus.make_node("harmonize")
    host.run_until(
        lambda: all(not each.name.startswith("harmovid-connect") for each in threading.enumerate())
    )
    host.drain()
    assert other["status"].value() == "No result yet. Press Send."
    assert other.maxInputs() == 3
    assert host.messages == []


def test_init_is_safe_in_a_terminal(terminal: Host, capsys: Any) -> None:
    """`nuke -t` and render nodes run init.py: it opens no window, prints nothing and starts no thread."""
    before = set(threading.enumerate())
    runpy.run_path(str(DOORS / "init.py"))
    assert capsys.readouterr().out == ""
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("door", ["init.py", "menu.py"])
def test_a_broken_installation_does_not_stop_nuke(
    host: Host, door: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """If our packages are missing or broken, init.py and menu.py print a sentence and return."""
    for name in ("harmovid_nuke", "harmovid_nuke.vendor", "harmovid_nuke.menus"):
        monkeypatch.setitem(sys.modules, name, None)
    runpy.run_path(str(DOORS / door))
    assert "HarmoVid" in capsys.readouterr().out


def test_a_private_server_is_started_and_stopped_by_the_menu(
    host: Host, nuke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting `python` the menu starts a server of this machine, a node uses it, and the menu stops it."""
    settings = tmp_path / "client.ini"
    settings.write_text(f"[client]\npython = {sys.executable}\n")
    monkeypatch.setenv("HARMOVID_CLIENT_CONFIG", str(settings))
    worker = menus.start_private_server()
    host.run_until(lambda: not worker.is_alive() and host.queue.empty())
    host.drain()
    assert "The private server runs" in host.messages[-1]
    group = harmonize(nuke, tmp_path, "")
    assert sent(host, group).error is None
    menus.stop_private_server()
    assert not private.running()
    assert "stopped" in host.messages[-1]


def test_without_a_python_there_is_no_private_server(host: Host, nuke: Any, tmp_path: Path) -> None:
    """Without server or `python` in the settings, the message says where to set one."""
    run = sent(host, harmonize(nuke, tmp_path, ""))
    assert run.error is not None
    assert "client.ini" in run.error.fix


def test_the_self_test_writes_a_report(host: Host, nuke: Any, tmp_path: Path) -> None:
    """Every check reports its finding; the script is unchanged, and nothing is selected or left in it."""
    nuke.nodes.NoOp(name="Mine")
    path = selftest.run(str(tmp_path / "report.json"))
    report = json.loads(Path(path).read_text())
    assert report["ok"], [each for each in report["checks"] if not each["ok"]]
    assert len(report["checks"]) == len(selftest.CHECKS)
    assert [one.name() for one in nuke.allNodes()] == ["Mine"]


def test_the_self_test_reports_what_is_wrong(host: Host, nuke: Any, tmp_path: Path) -> None:
    """A knob that this Nuke lacks is reported, and the other checks still run."""
    del host.classes["Blur"]["knobs"]["crop"]
    report = json.loads(Path(selftest.run(str(tmp_path / "report.json"))).read_text())
    assert not report["ok"]
    failed = {each["check"] for each in report["checks"] if not each["ok"]}
    assert "knobs" in failed
    assert "versions" not in failed


@pytest.mark.parametrize("host", ["PySide2"], indirect=True)
def test_it_works_with_pyside2(host: Host, nuke: Any, tmp_path: Path) -> None:
    """In a Nuke with PySide2 a call to the main thread works too."""
    answers = []
    worker = threading.Thread(target=lambda: answers.append(threads.Ask(nuke.frame).wait()))
    worker.start()
    host.run_until(lambda: bool(answers))
    assert answers == [1]


def test_the_stand_in_enforces_the_rules_of_threads() -> None:
    """Knob access outside the main thread, and executeInMainThread in it, are refused and recorded by the stand-in."""
    host = Host(gui=True)
    try:
        nuke = host.module
        node = nuke.nodes.NoOp()
        caught = []

        def touch() -> None:
            try:
                node["label"].setValue("x")
            except HostRuleBroken as error:
                caught.append(error)

        worker = threading.Thread(target=touch)
        worker.start()
        worker.join()
        assert len(caught) == 1
        with pytest.raises(HostRuleBroken):
            nuke.executeInMainThread(print)
        assert len(host.violations) == 2
    finally:
        host.remove()
