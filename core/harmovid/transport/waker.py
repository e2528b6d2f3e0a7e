"""A thread for calls that may block (disks, network storage), and a waker for the loop that waits on sockets.

`ThreadPoolExecutor` is not used because Python waits for its threads when the process ends: a read that hangs on dead
storage would then keep a host application from quitting. The threads here are daemon threads.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from concurrent.futures import Future
from typing import Any, Callable, Optional, Tuple, TypeVar

T = TypeVar("T")
_Work = Tuple["Future[Any]", Callable[..., Any], Tuple[Any, ...]]


class Waker:
    """Wakes a poll from another thread: `wake` makes `fileno` readable until `clear`."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor to poll for input."""
        return self._reader.fileno()

    def wake(self, *_: Any) -> None:
        """Wake the loop; can be used as a future's callback."""
        with contextlib.suppress(OSError):  # full: the loop is awake already; closed: nobody waits any more
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Clear all wake-ups up to now."""
        with contextlib.suppress(OSError):
            while self._reader.recv(4096):
                pass

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()


class DaemonExecutor:
    """One daemon thread that runs calls one after the other."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Optional[_Work]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Queue a call; the future gets its result or exception."""
        future: Future[T] = Future()
        self._queue.put((future, function, args))
        return future

    def stop(self, timeout_s: float) -> None:
        """End the thread after the queued calls; wait for it at most `timeout_s`."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            work = self._queue.get()
            if work is None:
                return
            future, function, args = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function(*args))
            except BaseException as error:  # the end of the thread: the future gets any exception
                future.set_exception(error)
