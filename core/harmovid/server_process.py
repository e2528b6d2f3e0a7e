"""A server as a child process of this one: started, waited for, stopped. The one place that starts servers.

process = ServerProcess(folder, "--state", folder)
process.start()["endpoint"]         # "tcp://127.0.0.1:40311"
process.stop()
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from types import TracebackType
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence, Type

from harmovid.errors import Unreachable

START_S = 90.0
"""Imports and engines from a cold disk, the first time."""

STOP_S = 10.0
LOG_BYTES = 1 << 20
LOG_LINES = 15
_POLL_S = 0.02


def serve_command(python: str = "") -> List[str]:
    """Return the command that runs a server, by this process's Python or by the one that is named."""
    return [python or sys.executable, "-m", "harmovid.cli", "serve"]


class ServerProcess:
    """A server on a free port of this machine. Its log and its ready file lie in a folder of the caller's.

    Attributes:
        process: the child process, None before `start`.
        log_file: what the server prints.
    """

    def __init__(
        self,
        folder: str,
        *flags: str,
        command: Sequence[str] = (),
        environment: Optional[Mapping[str, str]] = None,
    ) -> None:
        """Remember what to start.

        Args:
            folder: is there; gets `server.log` and, while the server runs, `ready.json`.
            flags: flags of the server, such as "--codecs", "2".
            command: what runs the server; by default `serve_command()`.
            environment: the child's; by default this process's.
        """
        self.log_file = os.path.join(folder, "server.log")
        self._ready_file = os.path.join(folder, "ready.json")
        self._command = list(command or serve_command())
        self._flags = list(flags)
        self._environment = environment
        self._log: Optional[IO[bytes]] = None
        self.process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> Dict[str, Any]:
        return self.start()

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Dict[str, Any]:
        """Start the server, wait until it answers, and return what its ready file says, "endpoint" among it.

        Raises:
            Unreachable: it ended or was not ready in time; the message holds the last lines of its log.
        """
        self._forget_ready()
        # Held open: a server that fails may remove its folder, and its last words are wanted all the same.
        self._log = open(self.log_file, "w+b")  # noqa: SIM115
        try:
            # A session of its own: Ctrl-C in the terminal is for the command, which then stops the server.
            self.process = subprocess.Popen(
                [
                    *self._command, "--bind", "127.0.0.1", "--port", "0", "--data-port", "0",
                    "--ready-file", self._ready_file, "--parent", str(os.getpid()), *self._flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
                env=None if self._environment is None else dict(self._environment),
            )  # fmt: skip
            return self._wait_until_ready(self.process)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> Dict[str, Any]:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError), open(self._ready_file, "rb") as stream:
                ready: Dict[str, Any] = json.load(stream)
                return ready
            if process.poll() is not None:
                raise self._failed(f"ended with code {process.returncode}")
            time.sleep(_POLL_S)
        raise self._failed(f"was not ready within {START_S:.0f} s")

    def _failed(self, what: str) -> Unreachable:
        lines = "\n".join(self.log_lines())
        return Unreachable(
            f"the server {what}. {self.log_file} ends:\n{lines}\n",
            fix="Run `harmovid doctor`, or use a running server with --server.",
        )

    def log_lines(self, at_most: int = LOG_LINES) -> List[str]:
        """Return the last lines of the server's log."""
        if self._log is None:
            return []
        # Not seek and read: the server writes where this file description stands.
        data = os.pread(self._log.fileno(), LOG_BYTES, 0)
        return data.decode("utf-8", "replace").splitlines()[-at_most:]

    def stop(self) -> None:
        """Stop the server; it gets `STOP_S` to end by itself. May be called again."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._forget_ready()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _forget_ready(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._ready_file)
