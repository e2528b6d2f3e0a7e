"""Every call of Resolve's interface fails once: the project is exactly as it was, or the result is back whole."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Iterator, List, Set, Tuple

import pytest
from fakes.resolve_failures import ROUTES, WAYS, Failure, failed, never, succeeded


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder in memory where there is one: hundreds of runs write their few files there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def test_each_call_fails_once(folder: Path) -> None:
    """The project is compared as a whole. Every call of the graded take fails, of the other routes those that are new:
    by name and how often it was made before. Ways of failing take turns; `bench/resolve_failures.py` runs them all.
    """
    tried: Set[Tuple[str, int]] = set()
    found: List[Failure] = []
    for route in (ROUTES[2], ROUTES[1], ROUTES[3]):
        reference = succeeded(route, folder)
        made: Counter = Counter()
        for number, call in enumerate(reference.calls, 1):
            made[call] += 1
            if (call, made[call]) not in tried:
                tried.add((call, made[call]))
                found.append(failed(route, folder, reference, number, WAYS[number % len(WAYS)]))
    assert [failure for failure in found if not failure.whole] == []
    assert len(found) > 200
    assert {failure.state for failure in found} == {"refused", "failed", "returned"}
    assert not [failure.words for failure in found if "something went wrong" in failure.words]
    assert all(failure.words for failure in found)


def test_a_call_that_never_works_is_named(folder: Path) -> None:
    """What cannot be put back without it has a sentence; where nothing has to be, the project is as before."""
    route = ROUTES[3]
    found = [never(route, folder, call) for call in sorted(set(succeeded(route, folder).calls))]
    assert [failure for failure in found if not failure.whole] == []
    assert not [failure.words for failure in found if "something went wrong" in failure.words]
    words = {failure.call: failure.words for failure in found}
    assert "ours are named HarmoVid) could not be put back" in words["MediaPool.DeleteTimelines"]
    assert "the settings of the Deliver page could not be put back" in words["Project.LoadRenderPreset"]


def test_resolve_is_closed_in_the_middle(folder: Path) -> None:
    """When every call from some moment on answers nothing, the run ends with a sentence and does not hang."""
    route = ROUTES[2]
    reference = succeeded(route, folder)
    # Once the result has its marker, only what the user looks at is left to put back.
    marked = [call.endswith("GetMarkerByCustomData") for call in reference.calls].index(True)
    for number in range(1, marked, 9):
        failure = failed(route, folder, reference, number, "lost")
        assert failure.state in ("refused", "failed"), failure
        assert "something went wrong" not in failure.words


def test_the_page_names_every_call(folder: Path) -> None:
    """`docs/resolve-failures.md` was made from the calls that the plugin makes now, and nothing was left in between."""
    page = (Path(__file__).parents[2] / "docs" / "resolve-failures.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.\w+)` \| \d+ \| \d+ \| \d+ \| (\d+) \|$", page, re.MULTILINE)
    made = {call for route in ROUTES for call in succeeded(route, folder).calls}
    assert {name for name, _ in rows} == made
    assert {left for _, left in rows} == {"0"}
    assert all(f"| {route.name} |" in page for route in ROUTES)
