"""Which server: the one that node or settings name, or a private one on this machine that the menu starts and stops.

    with connected(settings) as client: ...

A private server runs in a Python of its own (the setting `python`, since `sys.executable` is Nuke here). It is started
at first need, kept for the next job, and ends with Nuke.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from dataclasses import replace
from typing import Any, Iterator, List

from harmovid import connect, load_settings
from harmovid.errors import InputError

_lock = threading.Lock()
_private: List[Any] = []
"""The client of the private server, when there is one."""


def settings_of(server: str, key: str) -> Any:
    """Return the settings in force: the node's own words win over environment and file.

    Raises:
        InputError: a settings file that cannot be read.
    """
    return load_settings(server.strip() or None, key.strip() or None)


@contextlib.contextmanager
def connected(settings: Any) -> Iterator[Any]:
    """Yield a client of the server that is named, or of the private one.

    Raises:
        WireError: nobody answers there. InputError: no private server can be started here.
    """
    if not settings.server:
        yield start(settings)
        return
    with connect(settings) as client:
        yield client


def start(settings: Any = None) -> Any:
    """Return the client of the private server, started when it is not there.

    Raises:
        InputError: no interpreter is set, or it has no server. Unreachable: the server does not start.
    """
    with _lock:
        if not _private:
            chosen = settings if settings is not None else settings_of("", "")
            if not chosen.python:
                raise InputError(
                    "no server is named, and none can be started here.",
                    fix="Name one on the Server tab, or set python in client.ini to a Python with harmovid[server].",
                )
            client = connect(replace(chosen, server=""))
            try:
                client.engines()  # the first question starts the server
            except BaseException:
                client.close()
                raise
            _private.append(client)
            atexit.register(stop)
        return _private[0]


def running() -> bool:
    """Return whether the private server was started."""
    return bool(_private)


def stop() -> bool:
    """Stop the private server; return whether there was one."""
    with _lock:
        found = list(_private)
        _private.clear()
    atexit.unregister(stop)
    for client in found:
        client.close()
    return bool(found)
