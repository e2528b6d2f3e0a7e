"""Calls of Resolve's scripting interface, checked: an answer that means failure becomes an error that names the call.

    timeline = act(pool, "CreateEmptyTimeline", "plates")      # None, False or empty: HostError
    tracks = number(timeline, "GetTrackCount", "video")        # False is refused, although Python takes it for 0
    if has(timeline, "GetSelectedClips"): ...                  # `hasattr` is true for every name

Resolve answers False or None if it does not do something, without any other message. So every function here states
which type of answer it accepts.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from harmovid_resolve.errors import HostError

__all__ = ["act", "flag", "has", "listed", "maybe", "number", "settled", "table", "tell", "text", "whole"]

TRIES = 4
"""How often a setting is read and written, because Resolve may refuse it once."""


def has(thing: Any, method: str) -> bool:
    """Return whether an object of Resolve has a method; `hasattr` is true for every name."""
    return thing is not None and method in dir(thing)


def act(thing: Any, method: str, *values: Any, **named: Any) -> Any:
    """Call a method that does something or returns an object, and return its answer.

    Raises:
        HostError: Resolve answered None, False, or an empty list or text, or raised an exception.
    """
    answer = _called(thing, method, values, named)
    if answer is None or answer is False or answer in ("", [], {}):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def number(thing: Any, method: str, *values: Any) -> float:
    """Return the number that a method answers.

    Raises:
        HostError: the answer is no number, or Resolve raised an exception.
    """
    answer = _called(thing, method, values, {})
    if isinstance(answer, bool) or not isinstance(answer, (int, float)):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def whole(thing: Any, method: str, *values: Any) -> int:
    """Return the whole number that a method answers, perhaps as a float.

    Raises:
        HostError: the answer is no whole number, or Resolve raised an exception.
    """
    return round(number(thing, method, *values))


def text(thing: Any, method: str, *values: Any) -> str:
    """Return the text that a method answers; it may be empty.

    Raises:
        HostError: the answer is no text, or Resolve raised an exception.
    """
    answer = _called(thing, method, values, {})
    if not isinstance(answer, str):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def flag(thing: Any, method: str, *values: Any) -> bool:
    """Return the yes or no that a method answers.

    Raises:
        HostError: the answer is neither, or Resolve raised an exception.
    """
    answer = _called(thing, method, values, {})
    if not isinstance(answer, (bool, int)):
        raise _refused(method, f"it answered {answer!r}")
    return bool(answer)


def table(thing: Any, method: str, *values: Any) -> Dict[Any, Any]:
    """Return the dict that a method answers; it may be empty.

    Raises:
        HostError: the answer is no dict, or Resolve raised an exception.
    """
    answer = _called(thing, method, values, {})
    if not isinstance(answer, dict):
        raise _refused(method, f"it answered {answer!r}")
    return answer


def listed(thing: Any, method: str, *values: Any) -> List[Any]:
    """Return the list that a method answers; the values of a dict with numbers as keys, as old versions answer.

    Raises:
        HostError: the answer is no list, or Resolve raised an exception.
    """
    answer = _called(thing, method, values, {})
    if isinstance(answer, dict):
        return [answer[key] for key in sorted(answer)]
    if not isinstance(answer, (list, tuple)):
        raise _refused(method, f"it answered {answer!r}")
    return list(answer)


def maybe(thing: Any, method: str, *values: Any) -> Any:
    """Return an optional object, or None; after None the call is repeated.

    Raises:
        HostError: Resolve raised an exception, or has no such method.
    """
    return _called(thing, method, values, {}) or _called(thing, method, values, {}) or None


def tell(thing: Any, method: str, *values: Any) -> Any:
    """Call a method and return its answer unchecked.

    Raises:
        HostError: Resolve raised an exception, or has no such method.
    """
    return _called(thing, method, values, {})


def settled(read: Callable[[], Any], write: Callable[[], Any], wanted: Any) -> bool:
    """Set a value and return whether Resolve has kept it: read, written and read again, a few times.

    For settings that are not essential: Resolve answers True to some values and ignores them, and refuses others once.
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
    except Exception as error:  # Resolve's bridge may raise any error
        raise _refused(method, str(error) or type(error).__name__) from error


def _refused(method: str, why: str) -> HostError:
    return HostError(
        f"Resolve refused {method}: {why}.",
        fix="Close dialogs that are open in Resolve, then try again.",
    )
