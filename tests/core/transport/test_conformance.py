"""The conformance checks hold for the reference server and for the real one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from core.reference_server import ReferenceServer

from core import conformance

START_S = 300.0
CHECKS = pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)


@CHECKS
def test_the_reference_server_conforms(server: ReferenceServer, check: Callable[[str, str], None]) -> None:
    """What the client tests talk to is a true server."""
    check(server.address, "null")


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a real server with the null engine."""
    pytest.importorskip("harmovid_server", reason="the server is not installed")
    pytest.importorskip("OpenEXR", reason="the server's libraries are not installed")
    folder = tmp_path_factory.mktemp("server")
    ready, log = folder / "ready.json", folder / "log"
    command = [sys.executable, "-m", "harmovid_server", "--port", "0", "--engines", "null", "--codecs", "1"]
    command += ["--state", str(folder / "state"), "--ready-file", str(ready)]
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield _address(child, ready, log)
        finally:
            child.terminate()
            child.wait(START_S)


def _address(child: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    deadline = time.monotonic() + START_S
    while not ready.exists():
        assert child.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.05)
    return str(json.loads(ready.read_text())["endpoint"])


@CHECKS
def test_the_real_server_conforms(real_server: str, check: Callable[[str, str], None]) -> None:
    """What we ship keeps to what we wrote down."""
    check(real_server, "null")
