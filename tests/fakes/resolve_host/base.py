"""The form of every object of the scripting API: a remote object that answers every name.

Resolve's own objects resolve an unknown name to None, so `hasattr` is always true and calling it is a TypeError. Each
call returns a new object for the same thing: compare `GetUniqueId()`, never the objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, FrozenSet, List

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host


def words(text: str) -> FrozenSet[str]:
    """Return the words of a text."""
    return frozenset(text.split())


class HostFrozen(BaseException):
    """What freezes Resolve, or blocks it for ever: no `except Exception` of a script runs after it."""


class Call:
    """A method of a remote object, as `getattr` returns it."""

    def __init__(self, remote: Remote, name: str) -> None:
        self._remote, self._name = remote, name

    def __repr__(self) -> str:
        return f"<BlackmagicFusion.PyFunctionCall object {self._name}>"

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._remote._host.call(self._remote, self._name, args, named)


class Remote:
    """One object of the API: which names it has is the table's business, what they do its subclass's."""

    _host: Host
    _model: Any

    def __init__(self, host: Host, model: Any) -> None:
        self._host, self._model = host, model

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        return self._attribute(name)

    def _attribute(self, name: str) -> Any:
        """Return a published method, a constant, or None."""
        return Call(self, name) if name in self._host.methods(type(self).__name__) else None

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise self._host.broken(f"{type(self).__name__}.{name} was assigned to")
        object.__setattr__(self, name, value)

    def __dir__(self) -> List[str]:
        return sorted(self._host.methods(type(self).__name__))

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({id(self):#x}) [App: 'Resolve' on 127.0.0.1]"

    def _gone(self) -> bool:
        """Return whether the thing behind it was deleted."""
        return bool(getattr(self._model, "deleted", False))


def model_of(remote: Any, kind: type) -> Any:
    """Return the data behind an argument of a call, or None where it is no such object."""
    if isinstance(remote, Remote) and isinstance(remote._model, kind) and not remote._gone():
        return remote._model
    return None
