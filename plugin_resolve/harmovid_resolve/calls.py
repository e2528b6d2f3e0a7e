"""Calls of Resolve's scripting interface, checked: what it answers silently becomes an error that names the call.

    timeline = act(pool, "CreateEmptyTimeline", "plates")      # None or False: HostError
    enabled = ask(timeline, "GetIsTrackEnabled", "video", 1)   # False is an answer, None is none
    if has(timeline, "GetSelectedClips"): ...                  # `hasattr` is true of everything

Resolve answers False or None where it does not do something, and says nothing else.
"""

from __future__ import annotations

from typing import Any, List

from harmovid_resolve.errors import HostError

__all__ = ["act", "ask", "has", "listed", "tell"]


def has(thing: Any, method: str) -> bool:
    """Return whether an object of Resolve has a method: `hasattr` says yes to every name."""
    return thing is not None and method in dir(thing)


def act(thing: Any, method: str, *values: Any, **named: Any) -> Any:
    """Do something and return the answer.

    Raises:
        HostError: Resolve answered None or False, or raised.
    """
    answer = _called(thing, method, values, named)
    if answer is None or answer is False:
        raise _refused(method, f"it answered {answer}")
    return answer


def ask(thing: Any, method: str, *values: Any) -> Any:
    """Ask something and return the answer; False is one.

    Raises:
        HostError: Resolve answered None, or raised.
    """
    answer = _called(thing, method, values, {})
    if answer is None:
        raise _refused(method, "it answered None")
    return answer


def listed(thing: Any, method: str, *values: Any) -> List[Any]:
    """Ask for a list and return it; of dicts with numbers as keys, as old versions answer, the values.

    Raises:
        HostError: Resolve answered no list, or raised.
    """
    answer = ask(thing, method, *values)
    if isinstance(answer, dict):
        return [answer[key] for key in sorted(answer)]
    if not isinstance(answer, (list, tuple)):
        raise _refused(method, f"it answered {answer!r}")
    return list(answer)


def tell(thing: Any, method: str, *values: Any) -> Any:
    """Call something whose answer may be anything.

    Raises:
        HostError: Resolve raised, or has no such method.
    """
    return _called(thing, method, values, {})


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
