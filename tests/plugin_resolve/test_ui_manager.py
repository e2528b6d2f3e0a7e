"""The panel in Resolve's own window: a user at the stand-in's UIManager, which refuses what its text does not list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, List

import pytest
from fakes.resolve_panel import PanelClient
from fakes.resolve_runs import Film
from harmovid_resolve import start, ui_manager
from harmovid_resolve.panel import Panel
from harmovid_resolve.rows import PAGES


def opened(film: Film, client: PanelClient, folder: Path) -> Panel:
    """Return a panel for the stand-in."""
    return Panel(film.session(), client, {"folder": str(folder), "colour_space": "ACEScg"})


def test_a_user_starts_a_clip(film: Film, tmp_path: Path) -> None:
    """Values are typed, chosen and slid, pages turned, Start pressed; the window shows how it ends and closes."""
    client, user = PanelClient(), film.host.user
    panel = opened(film, client, tmp_path / "out")
    seen: List[Any] = []
    user.waits_for(lambda: not panel.busy)
    user.does(lambda: user.type("strength", "0.5"))
    user.does(lambda: user.enter("luma_slider", 250))
    user.does(lambda: user.enter("handles", 2))
    user.does(lambda: user.choose("range", "the whole clip"))
    user.does(lambda: user.find("tabs").set_index_(PAGES.index("Options")))
    user.does(lambda: user.click("advanced"))
    user.does(lambda: seen.append([user.find(name).values_["Text"] for name in ("strength", "luma")]))
    user.does(lambda: user.type("option_local", "0.25"))
    user.does(lambda: user.find("tabs").set_index_(PAGES.index("Clip")))
    user.does(lambda: user.click("start"))
    user.waits_for(lambda: not panel.busy)
    user.waits_for(lambda: "back" in user.find("line").values_["Text"])
    user.does(lambda: seen.append(user.find("progress").values_["Text"]))
    user.does(lambda: [user.close(window.values_["ID"]) for window in user.windows if window.shown_])

    globals_ = film.host.script_globals()
    ui_manager.draw(globals_["fusion"], globals_["bmd"], panel)

    assert panel.wait(300)
    ((_, fields),) = [each for each in client.requests if each[0] == "run"]
    assert (fields["strength"], fields["luma"]) == (0.5, 0.5)
    assert fields["options"] == {"local": 0.25}
    assert (fields["frames"], fields["context"]) == ("1003-1008", "1001-1002,1009-1010")
    assert seen[0] == ["0.5", "0.5"]
    assert seen[1].endswith(" 100 %")
    assert not [window for window in user.windows if window.shown_]


def test_the_window_is_built_anew_for_another_engine(film: Film, tmp_path: Path) -> None:
    """Another engine brings its own rows into a new window; the old one goes; its title stays."""
    panel, user = opened(film, PanelClient(), tmp_path / "out"), film.host.user
    seen: List[Any] = []

    def choose() -> None:
        combo = user.find("engine")
        user.choose("engine", next(text for text in combo.entries_ if text.startswith("harmonize:")))

    user.waits_for(lambda: not panel.busy)
    user.waits_for(lambda: len(user.find("engine").entries_) > 1)
    user.does(choose)
    user.does(lambda: seen.append(sum(window.shown_ for window in user.windows)))
    user.does(lambda: seen.append(user.find("option_exposure").kind_))
    user.does(lambda: [user.close(window.values_["ID"]) for window in user.windows if window.shown_])
    globals_ = film.host.script_globals()
    ui_manager.draw(globals_["fusion"], globals_["bmd"], panel)

    assert seen == [1, "LineEdit"]
    assert panel.wait(300)


def test_a_free_edition_is_reported_in_one_sentence(tmp_path: Path) -> None:
    """The door's start refuses it before anything else, with the way by files, and raises nothing."""
    from fakes.resolve_host.host import Host

    host, said = Host(version=(19, 0), studio=False, folder=tmp_path), []
    start.run(host.script_globals(), {"python": sys.executable}, said.append)

    (sentence,) = said
    assert "DaVinci Resolve Studio 18.5 or newer is needed" in sentence
    assert "harmovid watch" in sentence


@pytest.mark.parametrize(
    ("given", "settings", "what"),
    [
        ({}, {}, "name no Python"),
        ({}, {"python": "/x"}, "no DaVinci Resolve answers"),
        (None, {"python": "/x"}, "something went wrong"),
    ],
)
def test_nothing_is_raised_into_resolve(given: Any, settings: Any, what: str) -> None:
    """Whatever is missing is one sentence."""
    said: List[str] = []
    start.run(given, settings, said.append)

    assert len(said) == 1
    assert what in said[0]


def test_two_panels_are_never_open(film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is open another says so and ends; after it has closed there may be one again."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HARMOVID_SERVER", "tcp://127.0.0.1:9")
    settings = {"python": sys.executable, "package": str(tmp_path)}
    user, said, inner = film.host.user, [], []
    user.does(lambda: start.run(film.host.script_globals(), settings, inner.append))
    user.does(lambda: [user.close(window.values_["ID"]) for window in user.windows if window.shown_])
    start.run(film.host.script_globals(), settings, said.append)

    assert said == []
    assert inner == ["HarmoVid: HarmoVid is open already. Look for its window, and close it first."]
    with start._only_one(str(tmp_path)):  # the lock went with the first
        start.run(film.host.script_globals(), settings, said.append)
    assert said == inner
