"""A private server for one client: a child process on loopback, with keys made for this one use.

    with EmbeddedServer() as server, Client(server.address, server.keys) as client:
        client.run(...)

It is an ordinary server, reached by the same protocol, with a private temporary folder that is removed when it stops.
It is started as `python -m harmovid.cli serve`, by this process's Python or by another one that is given, because
inside a host application `sys.executable` is the host. It stops at the end of the `with` block, and by itself within a
second when this process dies, for whatever reason.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from typing import Dict, Optional

from harmovid import entry_points
from harmovid.errors import InputError
from harmovid.keys import AuthorizedKeys, KeyPair, new_pair, save_secret, trust_server
from harmovid.server_process import ServerProcess, serve_command
from harmovid.storage.locks import lock_file

PREFIX = "harmovid-embedded-"
SERVE = "serve"
NEEDED = ("numpy", "OpenEXR", "cv2")


class EmbeddedServer:
    """A server as a child process.

    Attributes:
        address, keys: what a `Client` needs to reach it.
        key_file: the same key as a file, for `--key` of a command.
        folder: its private folder.
    """

    def __init__(self, *settings: str, python: str = "") -> None:
        """Remember the settings; nothing is started before `start` or the `with` block.

        Args:
            settings: more flags of `harmovid serve`, such as "--codecs", "2".
            python: the interpreter that runs the server; "" for this process's own.
        """
        self._settings = list(settings)
        self._python = python
        self._server: Optional[ServerProcess] = None
        self.folder = ""
        self.address = ""
        self.keys: Optional[KeyPair] = None

    def __enter__(self) -> EmbeddedServer:
        """Start the server; see `start`."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def process(self) -> Optional[subprocess.Popen[bytes]]:
        """The child process; None where none is running."""
        return None if self._server is None else self._server.process

    @property
    def key_file(self) -> str:
        """The client's secret key file; it is removed with the server."""
        return os.path.join(self.folder, "client.secret")

    def start(self) -> None:
        """Start the server and wait until it answers. Does nothing while it runs; starts it again if it has died.

        Raises:
            InputError: the server is not installed here, or this is not Linux.
            Unreachable: it did not start; the message holds the last lines of its log.
        """
        if self._server is not None and self._server.running:
            return
        self.stop()
        check_startable(self._python)
        delete_leftovers()
        self.folder = tempfile.mkdtemp(prefix=PREFIX)
        try:
            keys = self._make_keys()
            self._server = ServerProcess(
                self.folder,
                *("--state", self.folder, "--temporary", "--drain-s", "0", *keys, *self._settings),
                command=serve_command(self._python),
                environment=_environment(self._python),
            )
            self.address = self._server.start()["endpoint"]
        except BaseException:
            self.stop()
            raise

    def _make_keys(self) -> tuple[str, ...]:
        """Make a key pair for this server; return the flags that name the files."""
        server, client = new_pair("embedded"), new_pair("client")
        secret, listed = (os.path.join(self.folder, name) for name in ("server.secret", "authorized_keys"))
        save_secret(secret, server)
        save_secret(self.key_file, client)
        AuthorizedKeys(listed).add("client", client.public)
        self.keys = trust_server(self.key_file, server.public)
        return ("--server-key", secret, "--authorized-keys", listed)

    def stop(self) -> None:
        """Stop the server and remove its folder. May be called again."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = ""


def _environment(python: str) -> Dict[str, str]:
    """Return the server's environment: that of this process without settings meant for other programs.

    `HARMOVID_*` are settings of a server that somebody runs on this machine. `PYTHON*` tell a host's Python where its
    modules are; another interpreter would load those.
    """
    foreign = ("HARMOVID_", "PYTHON") if python else ("HARMOVID_",)
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def delete_leftovers() -> None:
    """Remove the folders of embedded servers that were killed, recognised by a lock that nobody holds.

    A folder without a lock file belongs to a server that is just starting, and stays.
    """
    for folder in glob.glob(os.path.join(tempfile.gettempdir(), PREFIX + "*")):
        with contextlib.suppress(OSError), open(os.path.join(folder, "lock"), "rb") as lock:
            lock_file(lock.fileno())
            shutil.rmtree(folder, ignore_errors=True)


def check_startable(python: str = "") -> None:
    """Raise `InputError` if no server can be started on this system, by that interpreter or by this process's own."""
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
    """Raise `InputError` if this process's own Python cannot run a server."""
    missing = [] if SERVE in entry_points.find(entry_points.COMMANDS) else ["harmovid serve"]
    missing += [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise InputError(
            f"the server is not installed here: there is no {', no '.join(missing)}.",
            fix="Run pip install 'harmovid[server]', name a running server with --server, or set python in "
            "client.ini (or HARMOVID_PYTHON) to an interpreter that has it.",
        )
