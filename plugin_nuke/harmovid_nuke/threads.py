"""Whose turn it is: Nuke's main thread, our worker threads, and how they ask each other.

    later(readback.arrived, name, frames)       # from a worker: in the main thread, soon
    answer = Ask(render.inputs, plan)           # from a worker: in the main thread, and wait for it
    serve(until)                                # `nuke -t`: the main thread does what our workers ask

Only the main thread touches nodes and knobs. `nuke.executeInMainThread` must never be called from the main thread,
where Nuke would hang, and is served by nobody in `nuke -t`: there the calls wait in a queue of our own.
"""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable, Optional

import nuke

MAIN = threading.get_ident()
"""The thread that imported the plugin: Nuke's main thread, which runs init.py, menu.py and the scripts of `nuke -t`."""

_POLL_S = 0.05
_waiting: queue.Queue[Callable[[], None]] = queue.Queue()


def in_main() -> bool:
    """Return whether this is Nuke's main thread."""
    return threading.get_ident() == MAIN


def later(call: Callable[..., Any], *args: Any) -> None:
    """Have `call` run in the main thread: at once when this is it, soon otherwise. Its errors are its own affair."""
    if in_main():
        call(*args)
    elif nuke.GUI:
        nuke.executeInMainThread(call, args)
    else:
        _waiting.put(lambda: call(*args))


class Ask:
    """A question of a worker to the main thread. The call runs from Qt's event loop, where rendering is allowed."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        """Ask; `wait` gives the answer."""
        self._call, self._args = call, args
        self._answered = threading.Event()
        self._value: Any = None
        self._error: Optional[BaseException] = None
        later(self._soon)

    def _soon(self) -> None:
        from_event_loop(self._answer)

    def _answer(self) -> None:
        try:
            self._value = self._call(*self._args)
        except BaseException as error:  # the worker raises it where somebody listens
            self._error = error
        self._answered.set()

    def wait(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._value


def from_event_loop(call: Callable[[], Any]) -> None:
    """Have the main thread do something from Qt's event loop; at once where there is none.

    Inside `executeInMainThread` nothing may open a window, and rendering opens Nuke's own progress bar.
    """
    shot = _single_shot() if nuke.GUI else None
    if shot is None:
        call()
    else:
        shot(0, call)


def _single_shot() -> Optional[Callable[..., Any]]:
    """Return Qt's single-shot timer, whichever binding this Nuke has; None without one."""
    try:
        from PySide6.QtCore import QTimer
    except ImportError:
        try:
            from PySide2.QtCore import QTimer  # type: ignore[import-not-found,no-redef,unused-ignore]
        except ImportError:
            return None
    shot: Callable[..., Any] = QTimer.singleShot
    return shot


def serve(until: Callable[[], bool]) -> None:
    """Do what workers ask of the main thread until something is so. For `nuke -t` and scripts only.

    KeyboardInterrupt passes through.
    """
    while not until() or not _waiting.empty():
        try:
            call = _waiting.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        call()
