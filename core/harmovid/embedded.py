"""A private server for one client: a child process on loopback, with keys made for this one use.

    with EmbeddedServer() as server, Client(server.address, server.keys) as client:
        client.run(...)

It is the same server as any other, over the same wire, in a private temporary folder that is removed with it. It is
started as `python -m harmovid.cli serve`, by this process's Python or by another one that is named: inside a host
application this process's Python is the host. It stops with the `with` block, and by itself within a second when this
process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from types import TracebackType
from typing import IO, Any, Dict, List, Optional, Type

from harmovid import entry_points
from harmovid.errors import HarmoVidError, InputError, Unreachable
from harmovid.keys import AuthorizedKeys, KeyPair, new_pair, save_secret, trust_server

START_S = 60.0
"""Imports and engines on a slow disk, the first time."""

STOP_S = 10.0
LOG_BYTES = 1 << 20
LOG_LINES = 15
_POLL_S = 0.02
PREFIX = "harmovid-embedded-"
SERVE = "serve"
NEEDED = ("numpy", "OpenEXR", "cv2")


class EmbeddedServer:
    """A server as a child process. `address` and `keys` are what a `Client` needs to reach it."""

    def __init__(self, *settings: str, python: str = "") -> None:
        """Remember the settings; nothing is started before `start` or the `with` block.

        Args:
            settings: more flags of `harmovid serve`, such as "--codecs", "2".
            python: the interpreter that runs the server; "" for this process's own.
        """
        self._settings = list(settings)
        self._python = python
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._folder = ""
        self._log: Optional[IO[bytes]] = None
        self.address = ""
        self.keys: Optional[KeyPair] = None

    def __enter__(self) -> EmbeddedServer:
        """Start the server; see `start`."""
        self.start()
        return self

    def start(self) -> None:
        """Start the server and wait until it answers. Does nothing while it runs; starts it anew when it has died.

        Raises:
            InputError: the server is not installed here, or this is not Linux.
            Unreachable: it did not start; the message holds the last lines of its log.
        """
        if self.running:
            return
        self.stop()
        check_startable(self._python)
        delete_leftovers()
        self._folder = tempfile.mkdtemp(prefix=PREFIX)
        try:
            self._launch()
            self.address = self._wait_until_ready()["endpoint"]
        except BaseException:
            self.stop()
            raise

    @property
    def running(self) -> bool:
        """Whether the server's process is there."""
        return self._process is not None and self._process.poll() is None

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _launch(self) -> None:
        server, client = new_pair("embedded"), new_pair("client")
        save_secret(self._path("server.secret"), server)
        save_secret(self._path("client.secret"), client)
        AuthorizedKeys(self._path("authorized_keys")).add("client", client.public)
        self.keys = trust_server(self._path("client.secret"), server.public)
        command = [
            self._python or sys.executable, "-m", "harmovid.cli", SERVE,
            "--bind", "127.0.0.1", "--port", "0", "--data-port", "0",
            "--state", self._folder, "--temporary",
            "--server-key", self._path("server.secret"),
            "--authorized-keys", self._path("authorized_keys"),
            "--ready-file", self._path("ready.json"),
            "--drain-s", "0",
            "--parent", str(os.getpid()),
            *self._settings,
        ]  # fmt: skip
        # Held open: a server that fails removes its folder, and its last words are wanted all the same.
        self._log = open(self._path("log"), "w+b")  # noqa: SIM115
        # A session of its own: Ctrl-C in the terminal is for the command, which then stops the server.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env=_environment(self._python),
        )

    def _wait_until_ready(self) -> Dict[str, Any]:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise self._failed(f"ended with code {self._process.returncode}")
            with contextlib.suppress(OSError), open(self._path("ready.json"), "rb") as stream:
                ready: Dict[str, Any] = json.load(stream)
                return ready
            time.sleep(_POLL_S)
        raise self._failed(f"was not ready within {START_S:.0f} s")

    def _failed(self, what: str) -> HarmoVidError:
        lines = "\n".join(self.log_lines())
        return Unreachable(
            f"the embedded server {what}. Its log ends:\n{lines}\n",
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
        """Stop the server (it gets `STOP_S` to end by itself) and remove its folder. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _environment(python: str) -> Dict[str, str]:
    """Return the server's environment: ours without settings that are meant for other programs.

    `HARMOVID_*` are settings of a server that somebody runs on this machine. `PYTHON*` tell a host's Python where its
    modules are; another interpreter would load those.
    """
    foreign = ("HARMOVID_", "PYTHON") if python else ("HARMOVID_",)
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def delete_leftovers() -> None:
    """Remove the folders of embedded servers that were killed: nobody holds their lock any more.

    A folder without a lock file is just being started by somebody else, and stays.
    """
    import fcntl

    for folder in glob.glob(os.path.join(tempfile.gettempdir(), PREFIX + "*")):
        with contextlib.suppress(OSError), open(os.path.join(folder, "lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def check_startable(python: str = "") -> None:
    """Raise `InputError` where no server can be started: on this system, by that interpreter, or by our own."""
    if not sys.platform.startswith("linux"):
        raise InputError(
            f"the server runs on Linux, this is {sys.platform}.", fix="Name a running server with --server."
        )
    if not python:
        check_installed()
    elif shutil.which(python) is None:
        raise InputError(
            f"the private server's interpreter {python} cannot be run.",
            fix="Set python in client.ini (or HARMOVID_PYTHON) to a Python with harmovid[server].",
        )


def check_installed() -> None:
    """Raise `InputError` where this process's own Python cannot run a server."""
    missing = [] if SERVE in entry_points.find(entry_points.COMMANDS) else ["harmovid serve"]
    missing += [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"the server is not installed here: there is no {', no '.join(missing)}.",
            fix="Run pip install 'harmovid[server]', name a running server with --server, or set python in "
            "client.ini (or HARMOVID_PYTHON) to an interpreter that has it.",
        )
