"""Every call of Resolve's interface fails once: the project is exactly as it was, or the result is back whole."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Iterator

import pytest
from fakes.resolve_failures import ROUTES, WAYS, Route, failed, succeeded

TESTED = ROUTES[1:4]
"""The calls of the other routes are among these; `bench/resolve_failures.py` runs all routes in all ways."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder in memory where there is one: hundreds of runs write their few files there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.mark.parametrize("route", TESTED, ids=lambda route: route.name)
def test_each_call_fails_once(route: Route, folder: Path) -> None:
    """The project is compared as a whole; ways of failing take turns from call to call."""
    reference = succeeded(route, folder)
    found = [
        failed(route, folder, reference, number, WAYS[number % len(WAYS)])
        for number in range(1, len(reference.calls) + 1)
    ]
    assert [failure for failure in found if not failure.whole] == []
    states = {failure.state for failure in found}
    assert states == {"refused", "failed", "returned"}
    assert not [failure.words for failure in found if "something went wrong" in failure.words]
    assert all(failure.words for failure in found)


def test_resolve_is_closed_in_the_middle(folder: Path) -> None:
    """When every call from some moment on answers nothing, the run ends with a sentence and does not hang."""
    route = ROUTES[2]
    reference = succeeded(route, folder)
    for number in range(1, len(reference.calls) - 20, 9):
        failure = failed(route, folder, reference, number, "lost")
        assert failure.state in ("refused", "failed"), failure
        assert "something went wrong" not in failure.words
