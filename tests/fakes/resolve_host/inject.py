"""Failure of the n-th call of the scripting API, and the record of all calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, List, Optional, Tuple


class InjectedFailure(RuntimeError):
    """The exception of a call that was told to raise."""


PERFORM = object()
"""What `Injector.outcome` returns where nothing is injected."""


@dataclass
class Injector:
    """Counts every API call from 1 on. `fail_at` names the one that fails, `how` says in which way.

    how: "false" or "none" (not performed, that value is returned), "raise" (not performed), "performed-false" (done,
    but it returns False), "lost" (this call and every later one return None: Resolve was closed).
    """

    fail_at: Optional[int] = None
    how: str = "false"
    times: int = 1
    """How many calls fail from `fail_at` on."""
    calls: List[Tuple[int, str]] = field(default_factory=list)
    before: Callable[[int, str], None] = lambda number, name: None
    """Called before every API call, with its number and name: for tests that do something in between."""

    def outcome(self, name: str) -> Any:
        """Note one call; return what it returns instead of being performed, or `PERFORM`."""
        number = len(self.calls) + 1
        self.calls.append((number, name))
        self.before(number, name)
        if not self._hits(number) or self.how == "performed-false":
            return PERFORM
        if self.how == "raise":
            raise InjectedFailure(f"call {number}, {name}, was told to fail")
        return False if self.how == "false" else None

    def answer(self, result: Any) -> Any:
        """Return what a performed call returns to the script."""
        return False if self.how == "performed-false" and self._hits(len(self.calls)) else result

    def names(self) -> List[str]:
        """Return the names of all calls in order."""
        return [name for _, name in self.calls]

    def _hits(self, number: int) -> bool:
        if self.fail_at is None or number < self.fail_at:
            return False
        return self.how == "lost" or number < self.fail_at + self.times
