"""Turns: jobs that run side by side use their engines one after the other, in the order they asked.

    turns = Turns()
    with turns:
        answers = session.push(frame)

A plain lock would let the thread that has just released it take it again at once, and a job with quick frames
would starve one with slow frames.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from typing import Deque, Optional, Type


class Turns:
    """A lock that is granted first come, first served. Not re-entrant."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: Deque[threading.Event] = deque()

    def __enter__(self) -> Turns:
        with self._guard:
            if not self._taken:
                self._taken = True
                return self
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        with self._guard:
            if self._waiting:
                # The lock is handed over, never free in between, so nobody can slip in.
                self._waiting.popleft().set()
            else:
                self._taken = False
