"""Calls of Resolve's scripting interface, checked: what it answers silently becomes an error that names the call.

    timeline = act(pool, "CreateEmptyTimeline", "plates")      # None, False or empty: HostError
    tracks = number(timeline, "GetTrackCount", "video")        # False is no number, though Python takes it for 0
    if has(timeline, "GetSelectedClips"): ...                  # `hasattr` is true of everything

Resolve answers False or None where it does not do something, and says nothing else. So every question says what kind of
answer it takes.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from harmovid_resolve.errors import HostError

__all__ = ["act", "flag", "has", "listed", "maybe", "number", "settled", "table", "tell", "text", "whole"]

TRIES = 4
"""What may fail once is read and written so often."""


def has(thing: Any, method: str) -> bool:
    """Return whether an object of Resolve has a method: `hasattr` says yes to every name."""
    return thing is not None and method in dir(thing)


def act(thing: Any, method: str, *values: Any, **named: Any) -> Any:
    """Do something, or get an object, and return the answer.

    Raises:
        HostError: Resolve answered None, False or nothing in a list or text, or raised.
    """
    answer = _called(thing, method, values, named)
    if answer is None or answer is False or answer in ("", [], {}):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def number(thing: Any, method: str, *values: Any) -> float:
    """Ask for a number and return it.

    Raises:
        HostError: Resolve answered none, or raised.
    """
    answer = _called(thing, method, values, {})
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def whole(thing: Any, method: str, *values: Any) -> int:
    """Ask for a whole number, which may come as a float, and return it.

    Raises:
        HostError: Resolve answered none, or raised.
    """
    return round(number(thing, method, *values))


def text(thing: Any, method: str, *values: Any) -> str:
    """Ask for a text and return it; it may be empty.

    Raises:
        HostError: Resolve answered none, or raised.
    """
    answer = _called(thing, method, values, {})
    if not isinstance(answer, str):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def flag(thing: Any, method: str, *values: Any) -> bool:
    """Ask for yes or no and return it.

    Raises:
        HostError: Resolve answered neither, or raised.
    """
    answer = _called(thing, method, values, {})
    if not isinstance(answer, (bool, int)):
        raise _refused(method, f"it answered {answer!r}")
    return bool(answer)


def table(thing: Any, method: str, *values: Any) -> Dict[Any, Any]:
    """Ask for a dict and return it; it may be empty.

    Raises:
        HostError: Resolve answered none, or raised.
    """
    answer = _called(thing, method, values, {})
    if not isinstance(answer, dict):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def listed(thing: Any, method: str, *values: Any) -> List[Any]:
    """Ask for a list and return it; of dicts with numbers as keys, as old versions answer, the values.

    Raises:
        HostError: Resolve answered no list, or raised.
    """
    answer = _called(thing, method, values, {})
    if isinstance(answer, dict):
        return [answer[key] for key in sorted(answer)]
    if not isinstance(answer, (list, tuple)):
        raise _refused(method, f"it answered {answer!r}")
    return list(answer)


def maybe(thing: Any, method: str, *values: Any) -> Any:
    """Ask for what need not be there and return it, or None; asked again where there seems to be none.

    Raises:
        HostError: Resolve raised, or has no such method.
    """
    return _called(thing, method, values, {}) or _called(thing, method, values, {}) or None


def tell(thing: Any, method: str, *values: Any) -> Any:
    """Call something whose answer may be anything.

    Raises:
        HostError: Resolve raised, or has no such method.
    """
    return _called(thing, method, values, {})


def settled(read: Callable[[], Any], write: Callable[[], Any], wanted: Any) -> bool:
    """Bring a value to what is wanted and return whether it is there: read, written, read again, a few times.

    For what matters little: Resolve takes some values with True and drops them, others it refuses once.
    """
    for _ in range(TRIES):
        try:
            if read() == wanted:
                return True
            write()
        except HostError:
            continue
    return False


def _called(thing: Any, method: str, values: Any, named: Any) -> Any:
    if not has(thing, method):
        raise HostError(
            f"this Resolve has no {method}.", fix="DaVinci Resolve Studio 18.5 or newer is needed."
        )
    try:
        return getattr(thing, method)(*values, **named)
    except Exception as error:  # whatever the bridge raises, it is a call that failed
        raise _refused(method, str(error) or type(error).__name__) from error


def _refused(method: str, why: str) -> HostError:
    return HostError(
        f"Resolve refused {method}: {why}.",
        fix="Close what waits for an answer in Resolve's window, then try again.",
    )
