"""Waiting for what will be true in a moment, with a limit that only a broken program reaches."""

from __future__ import annotations

import time
from typing import Callable

LIMIT_S = 300.0
STEP_S = 0.01


def wait_until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Return as soon as `condition` holds; an `AssertionError` when it does not within `limit_s`."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(STEP_S)
