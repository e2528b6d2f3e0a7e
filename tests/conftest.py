"""Fixtures shared by all tests: where the evaluation footage is; and which tests may run side by side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A property holds or not; how long one example takes says only how busy the machine is. A normal run draws the same
# examples every time, so that it fails for a change and not by chance; HARMOVID_TEST_PROFILE=fresh draws new ones.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.register_profile("fresh", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HARMOVID_TEST_PROFILE", "same"))

# As the server's own children do; numpy reads it when it is imported, and nothing has imported it yet.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

TESTS = Path(__file__).resolve().parent
REPO = TESTS.parent
STARTING_PROCESSES = ("core", "demo", "e2e", "plugin_nuke", "plugin_resolve", "server")
IN_ONE_PROCESS = ("engines", "pixels")
"""Rooms whose tests start real servers and clients and watch the clock, and rooms in them whose tests do not."""


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the repository's root."""
    return REPO


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of evaluation footage, or skip: a newcomer does not have it and needs nothing of it."""
    folder = Path(os.environ.get("HARMOVID_REAL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"evaluation footage is not at {folder}; set HARMOVID_REAL_DATA to have these tests run")
    return folder


def pytest_itemcollected(item: pytest.Item) -> None:
    """Name the tests that stay together when several processes share the work (`make test`).

    Two servers being killed at once on two cores would wait for each other: all of those are one group. Elsewhere
    every file is one, for the sake of its fixtures. (Later in the collection xdist has read the names already.)
    """
    place = item.path.relative_to(TESTS)
    watching = place.parts[0] in STARTING_PROCESSES and not set(IN_ONE_PROCESS) & set(place.parts)
    item.add_marker(pytest.mark.xdist_group("processes" if watching else place.as_posix()))
