"""Fixtures: a stand-in Resolve with a film in it, whose rules no test may have broken."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
from fakes.resolve_runs import Film
from fakes.running import RunningServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Run one server for the module."""
    with RunningServer(tmp_path_factory.mktemp("server"), "--codecs", "1", echo=False) as running:
        yield running


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Film]:
    """Yield a project with a clip; at the end no call may have been one that Resolve does not have."""
    made = Film(tmp_path)
    yield made
    assert made.host.violations == []
