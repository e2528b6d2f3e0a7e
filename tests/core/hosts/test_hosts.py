"""Core in the interpreters of real hosts: Nuke and Resolve bring their own Python, from 3.9 on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from core.hosts import interpreters
from core.tiny_exr import tiny_exr

REPO = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("program.py")
VERSIONS = ("3.9", "3.10", "3.11", "3.13")

Run = Callable[..., Any]


@pytest.fixture(scope="module", params=VERSIONS)
def host(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs the program in one version; skip where it, or the package index, is absent."""
    python = interpreters.find(request.param)
    if python is None:
        pytest.skip(f"there is no Python {request.param} on this machine")
    try:
        libraries = interpreters.libraries(python, request.param)
    except LookupError as error:
        pytest.skip(f"pyzmq and msgpack cannot be installed for Python {request.param}: {error}")

    def run(*words: str) -> Any:
        done = interpreters.run(python, PROGRAM, *words, path=[REPO / "core", libraries])
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "version": request.param}

    return run


def test_the_front_door_opens(host: Run) -> None:
    """Every name loads in the requested interpreter and imports no array library."""
    answer = host("names")

    assert ".".join(map(str, answer["python"])) == answer["version"]
    assert answer["names"] > 10
    assert answer["heavy"] == []


def test_every_golden_message_is_read_and_written_alike(host: Run) -> None:
    """The wire's golden files decode, and encode to the same bytes."""
    answer = host("wire", str(REPO / "tests" / "golden" / "wire" / "v1"))

    assert answer["messages"] > 30
    assert answer["different"] == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server runs on Linux")
def test_a_job_runs_on_a_real_server(host: Run, tmp_path: Path) -> None:
    """The host starts a private server in the server's own interpreter, describes an engine and runs a job."""
    for frame in (1, 2, 3):
        (tmp_path / f"plate.{frame:04d}.exr").write_bytes(tiny_exr(width=32, height=24, value=0.2))

    answer = host("job", sys.executable, str(tmp_path))

    assert (answer["state"], answer["failed"]) == ("DONE", [])
    assert "Reference frame" in answer["options"]
    assert len(list(tmp_path.glob("out.*.exr"))) == 3
