"""What a step changes in the project, remembered before it and put back after it.

    kept = Kept([Jobs(session), Presets(session), Page(session)])       # read now
    try:
        ...
    finally:
        problems = kept.put_back()                                      # compared, changed, compared again

Nothing rests on what a call answered: each aspect is read before and after, and what differs is undone. So a call that
Resolve answers with False after having done it is undone, too. A call that fails while putting back is tried again.
The aspects are in `restore_project`, `restore_deliver` and `restore_clip`.
"""

from __future__ import annotations

from typing import Any, List, Sequence, Tuple

from harmovid_resolve.errors import HostError
from harmovid_resolve.session import Session

__all__ = ["Aspect", "Kept", "OfSession"]

TRIES = 4
"""Each aspect is read and changed so often before it is given up."""


class Aspect:
    """One thing of a project that can be read and put back."""

    name = ""

    def read(self) -> Any:
        """Return it now, as something that can be compared.

        Raises:
            HostError: Resolve does not tell.
        """
        raise NotImplementedError

    def change(self, before: Any, now: Any) -> None:
        """Bring it from `now` to `before`, by one or several calls.

        Raises:
            HostError: a call failed; the ones before it were made.
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
    """Aspects as they were when this was made; they are put back in the order given.

    Raises:
        HostError: one cannot be read; those read before it are put back.
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
        """Put everything back and return a sentence for each aspect that could not be."""
        for aspect, before in self._before:
            _put_back(aspect, before)
        # Putting one thing back may have moved another: a deleted timeline changes what is open.
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
