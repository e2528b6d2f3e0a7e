"""Calls from worker threads to Nuke's main thread.

    later(readback.show, group, record)         # from a worker: runs in the main thread, soon
    answer = Ask(render.render, group, record).wait()     # from a worker: runs in the main thread, and waits for it
    serve(until)                                # in `nuke -t`: the main thread runs the workers' calls

Only the main thread may use nodes and knobs. `nuke.executeInMainThread` must never be called from the main thread,
where Nuke would hang, and does nothing in `nuke -t`, where the calls wait in a queue of the plugin.
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
    """Run `call` in the main thread: at once if this is the main thread, else soon. `call` must handle its own
    errors."""
    if in_main():
        call(*args)
    elif nuke.GUI:
        nuke.executeInMainThread(call, args)
    else:
        _waiting.put(lambda: call(*args))


class Ask:
    """A call from a worker to the main thread. It runs from Qt's event loop, where rendering is allowed."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        """Submit the call; `wait` returns its result."""
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
        except BaseException as error:  # `wait` raises it in the worker
            self._error = error
        self._answered.set()

    def wait(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._value


def from_event_loop(call: Callable[[], Any]) -> None:
    """Run a call from Qt's event loop in the main thread; at once where there is no event loop.

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
    """Run the workers' calls in the main thread until `until` returns true. For `nuke -t` and scripts only.

    KeyboardInterrupt is not caught.
    """
    while not until() or not _waiting.empty():
        try:
            call = _waiting.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        call()
