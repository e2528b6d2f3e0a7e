"""Starts a server as a child process, waits until it is ready, and stops it. The only place that starts servers.

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
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence

from harmovid.errors import Unreachable

START_S = 90.0
"""Seconds for a first start, with imports and engines read from a cold disk."""

STOP_S = 10.0
LOG_BYTES = 1 << 20
LOG_LINES = 15
_POLL_S = 0.02


def serve_command(python: str = "") -> List[str]:
    """Return the command that runs a server with this process's Python, or with the one that is given."""
    return [python or sys.executable, "-m", "harmovid.cli", "serve"]


class ServerProcess:
    """A server on a free port of this machine. Its log and its ready file are in a folder that the caller gives.

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
            folder: an existing folder for `server.log` and, while the server runs, `ready.json`.
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

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Dict[str, Any]:
        """Start the server, wait until it answers, and return the content of its ready file, with "endpoint".

        Raises:
            Unreachable: it ended or was not ready in time; the message holds the last lines of its log.
        """
        self._forget_ready()
        # Kept open: a server that fails may remove its folder, but the end of its log is still needed.
        self._log = open(self.log_file, "w+b")  # noqa: SIM115
        try:
            # A process session of its own: Ctrl-C in the terminal goes to the command only, which then stops the
            # server.
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
        # Not seek and read: that would move the position at which the server writes.
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
