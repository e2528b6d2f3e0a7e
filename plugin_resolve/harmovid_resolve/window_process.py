"""The panel in a window outside Resolve, for a Resolve without UIManager: the same rows, drawn by another process.

    show(python, panel)                 # returns when the window is closed

Rows are sent to that process as lines of JSON; it sends back the user's actions: {"do": "set", "name": ..., "value":
...}, {"do": "press", "name": ...}. The window is `harmovid_resolve.window`, in the client's own Python.
"""

from __future__ import annotations

import queue
from typing import Any, Dict, List, Mapping

from harmovid_resolve.client import LineProcess
from harmovid_resolve.errors import HostError
from harmovid_resolve.panel import Panel

__all__ = ["WindowProcess", "show"]

MODULE = "harmovid_resolve.window"
POLL_S = 0.2


class WindowProcess(LineProcess):
    """The process with the window. `heard` gives the user's actions; the last one is `{"do": "close"}`."""

    def __init__(self, python: str) -> None:
        """Store the interpreter, one with PySide6."""
        super().__init__([python, "-m", MODULE])
        self.heard: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()

    def on_line(self, line: Mapping[str, Any]) -> None:
        """Queue the user's action."""
        self.heard.put(line)

    def on_broken(self, why: str) -> None:
        """Queue the end of the window."""
        self.heard.put({"do": "close", "why": why})


def show(python: str, panel: Panel) -> None:
    """Show the panel in a window until it is closed.

    Raises:
        HostError: no window can be opened.
    """
    window = WindowProcess(python)
    try:
        window.start()
        _serve(window, panel)
    except OSError as error:
        raise HostError(
            f"the Python {python} cannot be started: {error.strerror}.", fix="Run `harmovid doctor`."
        ) from error
    except Closed as error:
        if not error.opened:
            raise HostError(
                f"no window can be opened: {error.why}.",
                fix=f"Run: {python} -m pip install 'harmovid[window]'",
            ) from error
    finally:
        window.close()
        panel.close()


class Closed(Exception):
    """The window is gone: closed by the user if it was `opened`, otherwise for the reason `why`."""

    def __init__(self, opened: bool, why: str) -> None:
        super().__init__(why)
        self.opened, self.why = opened, why


def _serve(window: WindowProcess, panel: Panel) -> None:
    """Send changed rows and do the user's actions.

    Raises:
        Closed: at the end.
    """
    told: List[Dict[str, Any]] = []
    opened = False
    while True:
        panel.poll()
        now = [row.to_dict() for row in panel.rows()]
        if now != told:
            window.send({"rows": now})
            told = now
        try:
            line = window.heard.get(timeout=POLL_S)
        except queue.Empty:
            continue
        if line.get("do") == "close":
            raise Closed(opened, str(line.get("why", "")))
        opened = True
        _do(panel, line)


def _do(panel: Panel, line: Mapping[str, Any]) -> None:
    """Do one action of the user. The window's first message says that it is open."""
    if line.get("do") == "set":
        panel.set(str(line.get("name", "")), line.get("value"))
    elif line.get("do") == "press":
        panel.press(str(line.get("name", "")))
