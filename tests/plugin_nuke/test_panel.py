"""The Jobs window and the pictures of the documentation, in a real Qt without a screen, in a process of its own."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from fakes.drawn import draw
from harmovid_nuke import knobs


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    """Draw everything once; skip where Qt or a library of the system that it needs is missing."""
    return draw("nuke_pictures.py", tmp_path_factory.mktemp("pictures"))


def test_the_window_shows_every_node(drawn: Dict[str, Any]) -> None:
    """One row per node with its version, frames, state and frames to review; no rule of the host is broken."""
    assert drawn["violations"] == []
    rows = {row[0]: row for row in drawn["rows"]}
    assert rows["Harmonize1 (Harmonize)"][1:4] == ["v003", "1001-1006", "done 5/6"]
    assert "1004" in rows["Harmonize1 (Harmonize)"][5]
    assert rows["Deflicker1 (Deflicker)"][1] == "none"
    assert drawn["shown"] == drawn["rows"][0]


def test_the_window_is_one_and_closes(drawn: Dict[str, Any]) -> None:
    """Opening it again shows the same window; after closing no window exists that could make Nuke crash on quit."""
    assert (drawn["windows"], drawn["closed"]) == (1, 0)


def test_the_pictures_show_the_real_knobs(drawn: Dict[str, Any]) -> None:
    """The panel's picture has the tabs and at least as many knobs as every node has, and the files are there."""
    tabs = [knob.label for knob in knobs.own_knobs("harmonize") if knob.kind == "tab"]
    shown = [knob for knob in knobs.own_knobs("harmonize") if not knob.hidden]
    assert drawn["pages"] == [*tabs, "Inputs"]
    assert drawn["knobs"] > len(shown)
    for name in ("nuke-graph", "nuke-panel", "nuke-jobs"):
        assert (drawn["folder"] / f"{name}.png").stat().st_size > 5000
