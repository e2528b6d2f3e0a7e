"""A real browser for the pages: Chromium as the system has it, driven by playwright; skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

WAIT_MS = 60_000
"""Limit for waits on the browser; on a busy machine a video loads slowly."""
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Yield Chromium; HARMOVID_CHROMIUM names another one."""
    found = os.environ.get("HARMOVID_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium, or name one with HARMOVID_CHROMIUM")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as driver:
        # As root (in containers) Chromium runs only without its sandbox; the pages are our own.
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()
