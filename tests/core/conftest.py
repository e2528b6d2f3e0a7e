"""Fixtures of the core's tests: the reference server, with and without keys."""

from __future__ import annotations

from typing import Iterator

import pytest
from core.reference_server import ReferenceServer


@pytest.fixture
def server() -> Iterator[ReferenceServer]:
    """Yield a running reference server without keys."""
    with ReferenceServer() as running:
        yield running
