"""Fixtures shared by all tests: the evaluation footage, a browser; and how several processes share the tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harmovid import telemetry
from hypothesis import settings

# No deadline: the time of one example depends on the machine's load, not on the code. A normal run draws the same
# examples every time, so that it fails for a change and not by chance; HARMOVID_TEST_PROFILE=fresh draws new ones.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.register_profile("fresh", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HARMOVID_TEST_PROFILE", "same"))

# As in the server's child processes: the tests' processes share the cores already, and threads of torch and BLAS that
# wait for each other while others compute cost more than they save. Read at import, so set before numpy is imported.
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# Some tests import ONNX Runtime before anything of ours.
telemetry.switch_off()

# Some systems say PYTHONDONTWRITEBYTECODE. Then every run would rewrite the asserts of all tests again, and each of the
# hundreds of processes that tests start would compile our modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TESTS = Path(__file__).resolve().parent
REPO = TESTS.parent


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the repository's root."""
    return REPO


BROWSER_WAIT_MS = 300_000
"""Limit for waits on the browser; on a busy machine a video loads slowly."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Yield Chromium as the system has it, driven by playwright; HARMOVID_CHROMIUM names another one.

    One for all pages of the project: playwright cannot be started twice in one process.
    """
    found = os.environ.get("HARMOVID_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium, or name one with HARMOVID_CHROMIUM")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=BROWSER_WAIT_MS)
    with sync_playwright() as driver:
        # As root (in containers) Chromium runs only without its sandbox; the pages are our own.
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of the user who runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("HARMOVID_SERVER", "HARMOVID_KEY", "HARMOVID_PYTHON", "HARMOVID_CLIENT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of evaluation footage, or skip the test: the footage is not part of the repository."""
    folder = Path(os.environ.get("HARMOVID_REAL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"evaluation footage is not at {folder}; set HARMOVID_REAL_DATA to have these tests run")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that of several processes none has a long file left at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: many tests wait for servers that they kill or for clients that give up."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file to one process, in the order above: two processes on one file would set its fixtures up twice."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)
