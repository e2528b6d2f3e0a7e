"""Fixtures: a stand-in Nuke for one test, which must not have broken a single rule of the host."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from fakes.nuke_host.host import Host, install

install()


@pytest.fixture
def host() -> Iterator[Host]:
    """Yield an interactive Nuke; at the end no rule may have been broken."""
    it = Host(gui=True)
    yield it
    it.remove()
    assert it.violations == []


@pytest.fixture
def terminal() -> Iterator[Host]:
    """Yield a `nuke -t`; at the end no rule may have been broken."""
    it = Host(gui=False)
    yield it
    it.remove()
    assert it.violations == []


@pytest.fixture
def nuke(host: Host) -> Any:
    """Return the module `nuke` of the interactive host."""
    return host.module
