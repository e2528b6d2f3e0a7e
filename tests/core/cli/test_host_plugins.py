"""`harmovid plugin`: the installer of the package that brings a host's plugin, found by its entry point."""

from __future__ import annotations

import sys
from importlib import metadata
from types import SimpleNamespace
from typing import Any, Sequence

import pytest
from harmovid import entry_points
from harmovid.cli import exits, main

CALLS: list[tuple[str, list[str]]] = []


def installer(action: str, words: Sequence[str], console: Any) -> int:
    """Note the call."""
    CALLS.append((action, list(words)))
    return 7


@pytest.fixture(autouse=True)
def one_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a plugin for one host, and one that cannot be loaded."""
    entries = (
        metadata.EntryPoint("mistika", "studio_mistika:installer", entry_points.PLUGINS),
        metadata.EntryPoint("broken", "no_such_library:run", entry_points.PLUGINS),
    )
    monkeypatch.setattr(metadata, "entry_points", lambda: metadata.EntryPoints(entries))
    monkeypatch.setitem(sys.modules, "studio_mistika", SimpleNamespace(installer=installer))
    CALLS.clear()


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_the_installer_reads_its_own_words(action: str) -> None:
    """Action and arguments are passed to the package's function, which returns the exit code."""
    assert main(["plugin", action, "mistika", "--folder", "/opt/x", "--json", "--debug"]) == 7

    assert [(action, ["--folder", "/opt/x"])] == CALLS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["install", "fusion"], "broken, mistika"),
        (["install", "broken"], "no_such_library"),
        (["repair", "x"], "repair"),
    ],
)
def test_what_is_not_there_is_reported(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown host, a plugin that cannot be loaded and an unknown action are usage errors that name them."""
    assert main(["plugin", *words]) == exits.USAGE

    assert said in capsys.readouterr().err
