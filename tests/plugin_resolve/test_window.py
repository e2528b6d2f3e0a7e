"""The window outside Resolve, in a real Qt without a screen, in a process of its own; the panel that speaks with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict

import pytest
from fakes.drawn import draw
from fakes.resolve_panel import PanelClient
from fakes.resolve_runs import Film
from harmovid_resolve import window_process
from harmovid_resolve.errors import HostError
from harmovid_resolve.panel import Panel


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    """Draw the window once; skip where Qt or a library of the system that it needs is missing."""
    return draw("resolve_pictures.py", tmp_path_factory.mktemp("pictures"))


def test_what_is_turned_is_told_and_shown(drawn: Dict[str, Any]) -> None:
    """Numbers and choices come out as what was set; filling the window in says nothing; buttons are pressed by name."""
    told = [(each["name"], each["value"]) for each in drawn["done"] if each["do"] == "set"]
    assert told == [("strength", 0.8), ("handles", 2), ("selection", "colour")]
    assert drawn["typed"] == {"strength": 0.8, "handles": 2}
    assert drawn["echoed"] == 0
    assert drawn["pressed"] == {"do": "press", "name": "look"}
    assert drawn["done"][-1] == {"do": "close"}
    assert drawn["lines"] == ["1 of 1 clips are back."]


def test_the_picture_of_the_page_is_drawn(drawn: Dict[str, Any]) -> None:
    """The file for docs/images is there and is no empty picture."""
    assert (drawn["folder"] / "resolve-window.png").stat().st_size > 20_000


def test_a_window_process_that_cannot_open_is_reported(film: Film, tmp_path: Path) -> None:
    """Without a Python, or with one that has no Qt, the reason and the fix are reported; the panel is closed."""
    for python, what in (("/nowhere/python", "cannot be started"), ("/bin/false", "no window can be opened")):
        panel = Panel(film.session(), PanelClient(), {"folder": str(tmp_path)})
        with pytest.raises(HostError, match=what):
            window_process.show(python, panel)
        assert panel.wait(300)


def test_rows_go_out_and_deeds_come_back(film: Film, tmp_path: Path) -> None:
    """A window process gets the rows; what it says is set and pressed; its end ends the panel."""
    window = tmp_path / "window"
    window.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "rows = json.loads(sys.stdin.readline())['rows']\n"
        "print(json.dumps({'do': 'opened'}))\n"
        "print(json.dumps({'do': 'set', 'name': 'strength', 'value': len(rows) / 1000}))\n"
        "print(json.dumps({'do': 'press', 'name': 'refresh'}), flush=True)\n"
    )
    window.chmod(0o755)
    panel = Panel(film.session(), PanelClient(), {"folder": str(tmp_path)})
    window_process.show(str(window), panel)

    assert panel.wait(300)
    assert 0 < panel.values["strength"] < 1


def test_the_real_window_opens_and_ends_with_its_input(
    film: Film, tmp_path: Path, drawn: Dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of the window says that it is there, takes rows, and ends when the script in Resolve does."""
    panel = Panel(film.session(), PanelClient(), {"folder": str(tmp_path)})
    window = window_process.WindowProcess(sys.executable)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    window.start()
    assert window.heard.get(timeout=300.0) == {"do": "opened"}
    assert window.send({"rows": [row.to_dict() for row in panel.rows()]})
    window.close()

    assert window.process is not None
    assert window.process.returncode == 0
    panel.close()
    assert panel.wait(300)
