"""`harmovid presets`: the engines' own presets, as a table and as JSON."""

from __future__ import annotations

import json

import pytest
from harmovid.cli import main
from harmovid.engines import installed

pytestmark = pytest.mark.usefixtures("own_settings")


def test_json_has_every_preset_as_the_engine_describes_it(capsys: pytest.CaptureFixture[str]) -> None:
    """All engines are there, with every preset's options; a name or a task narrows it to one."""
    assert main(["presets", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["engines"]
    assert told == {
        engine.name: [
            {"name": p.name, "label": p.label, "help": p.help, "options": p.options} for p in engine.presets
        ]
        for engine in installed()
    }
    assert any(told.values())
    assert main(["presets", "deflicker", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["engines"]) == ["deflicker"]


def test_the_table_writes_options_as_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """Each preset has a row with flags that may be written instead."""
    assert main(["presets", "harmonize"]) == 0
    lines = capsys.readouterr().out.splitlines()
    engine = next(engine for engine in installed() if engine.name == "harmonize")
    assert [line.split()[1] for line in lines[1:]] == [preset.name for preset in engine.presets]
    assert any(" --exposure 0.5 " in line for line in lines)


def test_an_unknown_engine_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no engine has ends with exit code 2 and lists those there are."""
    assert main(["presets", "magic"]) == 2
    assert "deflicker" in capsys.readouterr().err
