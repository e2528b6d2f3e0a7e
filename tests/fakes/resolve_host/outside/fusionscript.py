"""Stands for Blackmagic's library in a process of its own: the API of a stand-in that another process plays.

`FAKE_RESOLVE` names its address, host:port; RESOLVE_SCRIPT_LIB names this file, as it would the library. Standard
library alone, as Python 3.9 has it: a script's own process imports it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from typing import Any, Dict, List, Optional, Tuple


class _Link:
    """One connection; a lost one answers None, as a Resolve that was closed does."""

    def __init__(self, address: Tuple[str, int]) -> None:
        self._socket: Optional[socket.socket] = socket.create_connection(address, timeout=300)
        self._file = self._socket.makefile("rwb")
        self._lock = threading.Lock()

    def ask(self, question: Dict[str, Any]) -> Any:
        with self._lock:
            try:
                self._file.write(json.dumps(question).encode("utf-8") + b"\n")
                self._file.flush()
                line = self._file.readline()
            except OSError:
                return None
        if not line:
            return None
        answer = json.loads(line)
        if "frozen" in answer:
            sys.exit(f"Resolve is frozen: {answer['frozen']}")
        if "error" in answer:
            raise {"TypeError": TypeError, "NotImplementedError": NotImplementedError}.get(
                answer["kind"], RuntimeError
            )(answer["error"])
        return self.decoded(answer["value"])

    def decoded(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return [self.decoded(each) for each in value] if isinstance(value, list) else value
        if "remote" in value:
            return Remote(self, value["remote"], value["kind"], value["names"], value["constants"])
        return {self.decoded(key): self.decoded(each) for key, each in value["pairs"]}

    def encoded(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return {"remote": value._number}
        if isinstance(value, dict):
            return {"pairs": [[self.encoded(key), self.encoded(each)] for key, each in value.items()]}
        return [self.encoded(each) for each in value] if isinstance(value, (list, tuple)) else value


class _Call:
    def __init__(self, remote: Remote, name: str) -> None:
        self._remote, self._name = remote, name

    def __call__(self, *args: Any, **named: Any) -> Any:
        link = self._remote._link
        given = {key: link.encoded(value) for key, value in named.items()}
        return link.ask(
            {"on": self._remote._number, "call": self._name, "args": link.encoded(args), "named": given}
        )


class Remote:
    """An object of the API: unknown names are None."""

    def __init__(
        self, link: _Link, number: int, kind: str, names: List[str], constants: Dict[str, Any]
    ) -> None:
        self._link, self._number, self._kind, self._names, self._constants = (
            link,
            number,
            kind,
            names,
            constants,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._constants.get(name, _Call(self, name) if name in self._names else None)

    def __dir__(self) -> List[str]:
        return [*self._names, *self._constants]

    def __repr__(self) -> str:
        return f"{self._kind} ({self._number:#x}) [App: 'Resolve' on 127.0.0.1]"


_links: List[_Link] = []


def link() -> Optional[_Link]:
    """Return the connection of this process, or None where nobody plays Resolve."""
    if not _links:
        host, _, port = os.environ.get("FAKE_RESOLVE", "").rpartition(":")
        try:
            _links.append(_Link((host, int(port))))
        except (OSError, ValueError):
            return None
    return _links[0]


def scriptapp(name: str) -> Any:
    """Return the Resolve or Fusion object, or None where there is none, or where the edition gives none outside."""
    found = link()
    return found.ask({"scriptapp": name}) if found is not None else None


def script_globals() -> Dict[str, Any]:
    """Return what a menu script finds as globals."""
    found = link()
    if found is None:
        return {}
    fusion = found.ask({"menu": "fusion"})
    return {"resolve": found.ask({"menu": "resolve"}), "fusion": fusion, "fu": fusion, "app": fusion}
