"""The conformance checks hold for the reference server and for the real one."""

from __future__ import annotations

from typing import Callable

import pytest
from core.reference_server import ReferenceServer

from core import conformance


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_the_reference_server_conforms(server: ReferenceServer, check: Callable[[str, str], None]) -> None:
    """What the client tests talk to is a true server."""
    check(server.address, "null")
