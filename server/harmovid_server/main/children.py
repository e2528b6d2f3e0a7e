"""Main's children: how they are started, watched and replaced.

Only main starts and ends them. A slot keeps its name; every process in it gets a number.

    child = Child("worker-0", "harmovid_server.worker", ...)
    child.start(); child.heard(); child.tend(now_s)
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

from harmovid_server.ipc import BEAT_S, MISSED_BEATS
from harmovid_server.logs import about

log = logging.getLogger("harmovid.main")

BACK_OFF_S = (0.0, 1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)
"""Fibonacci back-off between restarts (as TorchServe's WorkerThread does it); the last one is kept."""

HEALTHY_S = 10.0
"""The back-off starts again after a child has lived this long."""

START_S = 60.0
"""How long a child may take from its start to its first message (imports on a loaded machine)."""

_REAP_S = 1.0


class Child:
    """A slot for one child process of main: `name` is the slot's name, `slot.N` its N-th process."""

    def __init__(self, slot: str, module: str, link_address: str, settings: Path) -> None:
        self.slot = slot
        self.name = ""
        self._arguments = ["-m", module, "--link", link_address, "--settings", str(settings)]
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._generation = 0
        self._deaths = 0
        self._started_s = 0.0
        self._heard_s: Optional[float] = None
        self._due_s = 0.0

    @property
    def deaths(self) -> int:
        """How many times in a row the process in the slot has died before it was healthy."""
        return self._deaths

    @property
    def running(self) -> bool:
        """Whether there is a process (it may still be starting)."""
        return self._process is not None

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id, 0 if there is none."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start a process; it sends `hello` on the link once it is ready."""
        self._generation += 1
        self.name = f"{self.slot}.{self._generation}"
        self._started_s, self._heard_s = time.monotonic(), None
        command = [sys.executable, *self._arguments, "--name", self.name, "--parent", str(os.getpid())]
        # Engines solve many small systems; several BLAS threads beside busy codecs only slow that down.
        environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
        log.info("child started", extra=about(child=self.name, child_pid=self._process.pid))

    def heard(self) -> None:
        """Record a message of the child: any message counts as a heartbeat."""
        self._heard_s = time.monotonic()

    def excuse(self, now_s: float, away_s: float) -> None:
        """Do not count as silence the `away_s` seconds in which main itself did not run and read no heartbeats."""
        self._started_s = min(self._started_s + away_s, now_s)
        if self._heard_s is not None:
            self._heard_s = min(self._heard_s + away_s, now_s)

    def tend(self, now_s: float) -> bool:
        """Start the child if it is due; return True if it was dead or silent and has been removed."""
        if self._process is None:
            if now_s >= self._due_s:
                self.start()
            return False
        code = self._process.poll()
        if code is None and not self._silent(now_s):
            return False
        reason = f"exit {code}" if code is not None else "silent"
        self.kill()
        if now_s - self._started_s > HEALTHY_S:
            self._deaths = 0
        self._due_s = now_s + BACK_OFF_S[min(self._deaths, len(BACK_OFF_S) - 1)]
        self._deaths += 1
        log.warning("child lost", extra=about(child=self.name, reason=reason, deaths=self._deaths))
        return True

    def _silent(self, now_s: float) -> bool:
        if self._heard_s is None:
            return now_s - self._started_s > START_S
        return now_s - self._heard_s > MISSED_BEATS * BEAT_S

    def kill(self) -> None:
        """Kill the process at once: children keep nothing that the store and the spool do not have.

        A process that hangs in the kernel (a dead network drive, a stuck driver) is not waited for.
        """
        if self._process is None:
            return
        self._process.kill()
        try:
            self._process.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            log.error("child cannot be killed", extra=about(child=self.name, child_pid=self._process.pid))
        self._process = None
