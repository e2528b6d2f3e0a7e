"""The server of a job: the one that node or settings name, or a private one on this machine.

    with connected(settings) as client: ...

A private server runs in a Python of its own (the setting `python`, because `sys.executable` is Nuke here). It starts at
its first use or by the menu, is kept for the next job, and ends with Nuke or by the menu.
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
    """Return the settings in effect: the node's own values take precedence over environment and file.

    Raises:
        InputError: the settings file cannot be read.
    """
    return load_settings(server.strip() or None, key.strip() or None)


@contextlib.contextmanager
def connected(settings: Any) -> Iterator[Any]:
    """Yield a client of the named server, or of the private one.

    Raises:
        WireError: the server does not answer.
        InputError: no private server can be started here.
    """
    if not settings.server:
        yield start(settings)
        return
    with connect(settings) as client:
        yield client


def start(settings: Any = None) -> Any:
    """Return the client of the private server, which is started if it is not running.

    Raises:
        InputError: no interpreter is set, or the server is not installed in it.
        Unreachable: the server does not start.
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
                client.engines()  # the first request starts the server
            except BaseException:
                client.close()
                raise
            _private.append(client)
            atexit.register(stop)
        return _private[0]


def running() -> bool:
    """Return whether the private server has been started."""
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
