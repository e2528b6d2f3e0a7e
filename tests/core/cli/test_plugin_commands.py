"""Commands of other packages: found by their entry point, refused with a fix where they are not installed."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pytest
from harmovid import entry_points
from harmovid.cli import exits, main, plugin_commands

REPO = Path(__file__).resolve().parents[3]


def installed(monkeypatch: pytest.MonkeyPatch, *entries: metadata.EntryPoint) -> None:
    """Replace the installed entry points by these."""
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints(entries))


def test_a_command_that_is_not_installed_names_the_extra(monkeypatch, capsys) -> None:
    """Without the entry point the command ends as a usage error that says what to install."""
    installed(monkeypatch)
    assert main(["evaluate", "run"]) == exits.USAGE
    assert "pip install 'harmovid[training]'" in capsys.readouterr().err


def test_a_command_whose_libraries_are_missing_names_them(monkeypatch, capsys) -> None:
    """If an entry point cannot be imported the error names the missing module, in JSON as well."""
    installed(
        monkeypatch, metadata.EntryPoint("evaluate", "no_such_library.command:run", entry_points.COMMANDS)
    )
    assert main(["evaluate", "run", "--json"]) == exits.USAGE
    error = json.loads(capsys.readouterr().out)["error"]
    assert "no_such_library" in error["message"]
    assert "training" in error["fix"]


def test_the_words_behind_the_command_are_its_own(monkeypatch) -> None:
    """The command's function gets all arguments after its name, and returns the exit code."""
    installed(monkeypatch, metadata.EntryPoint("evaluate", f"{__name__}:echo", entry_points.COMMANDS))
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").SimpleNamespace(echo=echo))
    assert main(["evaluate", "one", "--two"]) == len("one--two")


def echo(words, console) -> int:
    """Return how many letters the words have."""
    return len("".join(words))


def test_the_project_names_its_commands() -> None:
    """pyproject.toml has an entry point for every command that the core looks for."""
    text = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split(f'[project.entry-points."{entry_points.COMMANDS}"]')[1].split("[")[0]
    names = re.findall(r"^([a-z]+) = ", section, re.MULTILINE)
    assert set(names) == set(plugin_commands.KNOWN)


def test_a_command_of_another_package_is_found(monkeypatch, capsys) -> None:
    """A name that we do not know is a command when an installed package brings it."""
    installed(monkeypatch, metadata.EntryPoint("regrain", "studio.regrain:run", entry_points.COMMANDS))
    assert main(["regrain"]) == exits.USAGE
    assert "No module named 'studio'" in capsys.readouterr().err
