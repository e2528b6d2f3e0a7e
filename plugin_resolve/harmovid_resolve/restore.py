"""Everything that a step changes in the project: read before it and restored after it.

    kept = Kept([Jobs(session), Presets(session), Page(session)])       # read now
    try:
        ...
    finally:
        problems = kept.put_back()                                      # compared, changed, compared again

The answers of calls are not trusted: each aspect is read before and after, and differences are undone, also those of a
call to which Resolve answered False. A call that fails while restoring is repeated. The aspects are in
`restore_project`, `restore_deliver` and `restore_clip`.
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

from harmovid_resolve.errors import HostError
from harmovid_resolve.session import Session

__all__ = ["Aspect", "Kept", "OfSession"]

TRIES = 4
"""How often an aspect is read and changed before it is reported as not restored."""


class Aspect:
    """One part of a project's state that can be read and restored."""

    name = ""

    def read(self) -> Any:
        """Return its present state, as a value that can be compared.

        Raises:
            HostError: Resolve does not tell.
        """
        raise NotImplementedError

    def change(self, before: Any, now: Any) -> None:
        """Change it from `now` to `before`, by one or several calls.

        Raises:
            HostError: a call failed; the calls before it have had their effect.
        """
        raise NotImplementedError


class OfSession(Aspect):
    """An aspect of the project or the application.

    Attributes:
        session: the Resolve with the project.
    """

    def __init__(self, session: Session) -> None:
        self.session = session


class Kept:
    """The state of some aspects when this object was made; they are restored in the given order.

    Raises:
        HostError: one cannot be read; those that were read are restored.
    """

    def __init__(self, aspects: Sequence[Aspect]) -> None:
        self._before: List[Tuple[Aspect, Any]] = []
        try:
            for aspect in reversed(aspects):
                self._before.insert(0, (aspect, aspect.read()))
        except HostError:
            self.put_back()
            raise

    def put_back(self) -> List[str]:
        """Restore everything and return a sentence for each aspect that could not be restored."""
        for aspect, before in self._before:
            _put_back(aspect, before)
        # Restoring one aspect may have changed another: deleting a timeline opens another one.
        return [problem for problem in (_put_back(*pair) for pair in self._before) if problem]


def _put_back(aspect: Aspect, before: Any) -> str:
    last = "it keeps changing"
    for _ in range(TRIES):
        try:
            now = aspect.read()
            if now == before:
                return ""
            aspect.change(before, now)
        except HostError as error:
            last = error.message
    return f"{aspect.name} could not be put back: {last}"
