"""Fixtures: a stand-in Nuke for one test; the test fails if the plugin broke a rule of the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest
from fakes.nuke_driver import harmonize
from fakes.nuke_host import qt
from fakes.nuke_host.api import Undo
from fakes.nuke_host.host import Host, install
from fakes.running import RunningServer

install()


@pytest.fixture(params=["PySide6"])
def host(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Yield an interactive Nuke; at the end no rule may have been broken."""
    yield from _running(True, request.param, tmp_path, monkeypatch)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Yield a `nuke -t`; at the end no rule may have been broken."""
    yield from _running(False, "PySide6", tmp_path, monkeypatch)


def _running(gui: bool, binding: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    # The artist's own settings and keys must not reach a test.
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "home" / ".config"))
    for name in ("HARMOVID_SERVER", "HARMOVID_KEY", "HARMOVID_PYTHON", "HARMOVID_CLIENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    host = Host(gui)
    Undo.depth = Undo.disabled = 0
    with qt.stand_in(binding):
        try:
            yield host
        finally:
            host.remove()
    assert host.violations == []
    assert (Undo.depth, Undo.disabled) == (0, 0), "a step of undo was left open"


@pytest.fixture
def nuke(host: Host) -> Any:
    """Return the module `nuke` of the interactive host."""
    return host.module


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run one server for the module."""
    with RunningServer(tmp_path_factory.mktemp("server"), "--codecs", "1", echo=False) as running:
        yield running


@pytest.fixture
def shot(host: Host, nuke: Any, tmp_path: Path, server: RunningServer) -> Any:
    """Return a saved script's Harmonize node with fg and bg connected, and its server named."""
    return harmonize(nuke, tmp_path, server.endpoint)
