"""Ctrl-C while a job runs: the first asks the server to cancel it, the second exits at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Optional

from harmovid.cli import exits

CANCELLING = "\ncancelling; results that exist stay (Ctrl-C again ends this at once)\n"


class CancelOnInterrupt:
    """Context in which Ctrl-C sets the event that it yields; the earlier signal handler is restored at the end.

    Must be used in the main thread, where Python delivers signals.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._event = threading.Event()
        self._before: Any = None

    def __enter__(self) -> threading.Event:
        self._before = signal.signal(signal.SIGINT, self._interrupted)
        return self._event

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _interrupted(self, _number: int, _frame: Optional[FrameType]) -> None:
        if self._event.is_set():
            # Do not wait for any thread. Half-written results have temporary names, which
            # the next run removes; a private server ends when its parent does.
            os._exit(exits.CANCELLED)
        self._event.set()
        if not self._quiet:
            # Not through sys.stderr: the signal may have come in the middle of one of its writes.
            os.write(2, CANCELLING.encode())
