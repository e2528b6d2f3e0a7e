"""The panel without a window: rows from the engines' descriptions, what setting and pressing does; it never raises."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from fakes.resolve_panel import PanelClient
from fakes.resolve_runs import Film
from harmovid_resolve.panel import Panel
from harmovid_resolve.rows import OPTION, PAGES, Row, option_values, rows, task_of

WAIT_S = 300.0


def settled(panel: Panel) -> None:
    """Wait until the worker rests."""
    until = time.monotonic() + WAIT_S
    while (panel.poll() or panel.busy) and time.monotonic() < until:
        time.sleep(0.01)
    assert not panel.busy


def shown(panel: Panel) -> Dict[str, Row]:
    """Return the rows by name; every name is there once."""
    found = panel.rows()
    assert len({row.name for row in found}) == len(found)
    return {row.name: row for row in found}


@pytest.fixture
def client() -> PanelClient:
    """Return a client that copies frames."""
    return PanelClient()


@pytest.fixture
def panel(film: Film, client: PanelClient, tmp_path: Path) -> Iterator[Panel]:
    """Yield a panel that knows its engines."""
    made = Panel(film.session(), client, {"folder": str(tmp_path / "out"), "colour_space": "ACEScg"})
    settled(made)
    yield made
    made.close()
    assert made.wait(WAIT_S)


def test_every_option_is_a_row_with_its_bounds(panel: Panel) -> None:
    """Each engine's options stand under their groups, the advanced ones when they are asked for."""
    for engine in panel._engines:
        panel.set("engine", engine["name"])
        panel.set("advanced", True)
        found = shown(panel)
        for option in engine["options"]:
            row = found[OPTION + option["name"]]
            assert row.page == "Options"
            assert option["label"] in row.label
            assert (row.minimum, row.maximum) == (option["minimum"], option["maximum"]) or row.kind in (
                "text",
                "choice",
            )
            assert row.value == ("" if option["default"] is None else option["default"])
        panel.set("advanced", False)
        assert all(OPTION + o["name"] not in shown(panel) for o in engine["options"] if o["advanced"])


def test_a_preset_sets_options_and_a_change_ends_it(panel: Panel) -> None:
    """Options get the preset's values; one that is changed makes it the user's own; another engine has its own."""
    engine = next(each for each in panel._engines if each["name"] == "deflicker")
    preset = engine["presets"][1]
    panel.set("preset", preset["name"])
    task = task_of(panel.values, panel._engines)
    defaults = {option["name"]: option["default"] for option in engine["options"]}
    assert task.options == {
        name: value for name, value in preset["options"].items() if defaults[name] != value
    }
    assert task.options

    panel.set(OPTION + "radius", 7)
    assert shown(panel)["preset"].value == "custom"
    assert task_of(panel.values, panel._engines).options["radius"] == 7
    panel.set("engine", "harmonize")
    assert task_of(panel.values, panel._engines).options == {}


def test_inputs_come_from_the_clip_and_from_below(panel: Panel) -> None:
    """What an engine needs beside its target lies under the clip, and the panel says so."""
    assert task_of(panel.values, panel._engines).layers == {"plate": "clip"}
    panel.set("engine", "harmonize")
    assert task_of(panel.values, panel._engines).layers == {"fg": "clip", "bg": "below"}
    assert "bg" in shown(panel)["below"].value


def test_frame_options_may_be_empty() -> None:
    """A frame that is no number is none and left out; a negative one is a number."""
    engine = {"name": "e", "options": [{"name": "at", "kind": "frame", "default": None}]}
    for text, expected in (("", {}), ("x", {}), ("-5", {"at": -5})):
        assert option_values({OPTION + "at": text}, engine) == expected


def test_check_start_and_history(film: Film, panel: Panel, client: PanelClient) -> None:
    """Check does nothing in the project, Start brings the clip back, the version is in the history with its words."""
    panel.press("look")
    settled(panel)
    assert shown(panel)["line"].value == "1 of 1 clips can be done."
    assert not [op for op, _ in client.requests if op == "run"]

    panel.set("strength", 0.5)
    panel.set("way", "track")
    panel.press("start")
    assert panel.busy
    assert not shown(panel)["start"].enabled
    settled(panel)

    assert shown(panel)["line"].value == "1 of 1 clips are back."
    assert shown(panel)["progress"].value == 1.0
    ((_, fields),) = [each for each in client.requests if each[0] == "run"]
    assert fields["strength"] == 0.5
    assert len(film.timeline.tracks["video"]) == 3
    assert "returned" in shown(panel)["history"].value[0]
    assert shown(panel)["chosen"].choices == (shown(panel)["chosen"].value,)
    panel.press("stills")
    settled(panel)
    assert "no stills" in shown(panel)["line"].value
    again = Panel(film.session(), client, {"folder": panel.values["folder"]})
    settled(again)
    assert "returned" in shown(again)["history"].value[0], "the history is there from the start"
    again.close()
    assert again.wait(WAIT_S)


def test_the_self_test_writes_its_report(film: Film, panel: Panel, tmp_path: Path) -> None:
    """The button runs it, says where the report is, and leaves the project as it was."""
    panel.press("selftest")
    settled(panel)
    assert "there is no folder" in shown(panel)["line"].value
    (tmp_path / "out").mkdir()
    panel.press("selftest")
    settled(panel)

    assert "harmovid-resolve-selftest.json" in shown(panel)["line"].value
    assert (tmp_path / "out" / "harmovid-resolve-selftest.json").is_file()


def test_cancel_stops_the_run(film: Film, tmp_path: Path) -> None:
    """Cancel in the middle of the frames ends the batch as cancelled, and the buttons come back."""
    reached, go_on = threading.Event(), threading.Event()

    def during(number: int) -> None:
        reached.set()
        assert go_on.wait(WAIT_S)

    client = PanelClient(during=during)
    panel = Panel(film.session(), client, {"folder": str(tmp_path / "out"), "colour_space": "ACEScg"})
    settled(panel)
    panel.press("start")
    assert reached.wait(WAIT_S)
    panel.press("cancel")
    go_on.set()
    settled(panel)

    assert shown(panel)["line"].value == "0 of 1 clips are back."
    assert "cancelled" in shown(panel)["lines"].value[0]
    assert shown(panel)["start"].enabled
    panel.close()
    assert panel.wait(WAIT_S)


def test_missing_frames_are_made_again(film: Film, tmp_path: Path) -> None:
    """A version that lacks frames is kept; the button makes them and brings it back."""
    client = PanelClient(missing=[1005])
    panel = Panel(film.session(), client, {"folder": str(tmp_path / "out"), "colour_space": "ACEScg"})
    settled(panel)
    panel.press("start")
    settled(panel)
    assert shown(panel)["line"].value == "0 of 1 clips are back."
    client.missing = []
    panel.press("missing")
    settled(panel)

    assert "as a take" in shown(panel)["line"].value
    assert len(film.item.takes) == 2
    panel.close()
    assert panel.wait(WAIT_S)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda panel, film: panel.set("folder", ""), "no folder for the results"),
        (lambda panel, film: panel.set("strength", 9.0), "strength is 9.0"),
        (lambda panel, film: film.timeline.tracks["video"][0].items.clear(), "playhead"),
    ],
)
def test_what_is_wrong_is_a_sentence(
    film: Film, panel: Panel, change: Callable[[Panel, Film], Any], what: str
) -> None:
    """A task that cannot be done is reported in the status line, and the panel stays open."""
    change(panel, film)
    panel.press("start")
    settled(panel)

    assert what in shown(panel)["line"].value
    assert shown(panel)["start"].enabled


def test_a_server_that_is_away_leaves_the_panel_usable(film: Film, client: PanelClient) -> None:
    """The reason and the fix are shown; another address asks again."""
    panel = Panel(film.session(), client, {"server": "away"})
    settled(panel)
    assert shown(panel)["line"].value == "nobody answers at away. Start it."
    assert "not answered" in shown(panel)["no_engine"].value

    panel.set("server", "")
    settled(panel)
    assert OPTION + "radius" in shown(panel)
    panel.close()
    assert panel.wait(WAIT_S)


def test_the_folder_is_one_that_resolve_renders_into(film: Film, client: PanelClient) -> None:
    """Without a folder of the user's, one in the first place of Resolve's media storage is proposed."""
    panel = Panel(film.session(), client)
    settled(panel)
    storage = film.session().resolve.GetMediaStorage().GetMountedVolumeList()

    assert shown(panel)["folder"].value == os.path.join(storage[0], "HarmoVid")
    panel.close()
    assert panel.wait(WAIT_S)


def test_rows_travel_as_plain_data(panel: Panel) -> None:
    """A row comes back from JSON as it was."""
    import json

    for row in panel.rows():
        assert row.page in PAGES
        again = Row.from_dict(json.loads(json.dumps(row.to_dict())))
        assert again == row or again.value == list(row.value)
    assert rows(panel.values, [])
