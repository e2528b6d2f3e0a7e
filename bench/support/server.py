"""A server in a folder of its own on loopback, and the time and memory of its processes.

    with LocalServer("--codecs", "2") as server, Client(server.address) as client:
        before = server.cpu_s()
        ...
        print(server.cpu_s() - before, server.rss_bytes())

It runs without keys, as is possible on one machine, or with keys of its own in `server.keys`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Optional

from harmovid.keys import AuthorizedKeys, KeyPair, new_pair, save_secret
from harmovid.processes import family, resident_bytes
from harmovid.server_process import ServerProcess

_TICKS = os.sysconf("SC_CLK_TCK")


class LocalServer:
    """A real server, started and stopped around a measurement."""

    def __init__(self, *settings: str, script: str = "", with_keys: bool = False) -> None:
        """Remember what to start.

        Args:
            settings: flags of the server.
            script: a server of the benchmark's own instead of the module; takes the same flags.
            with_keys: make keys, and make the server require them.
        """
        self._settings = list(settings)
        self._command = [sys.executable, *([script] if script else ["-m", "harmovid_server"])]
        self._with_keys = with_keys
        self.keys: Optional[KeyPair] = None
        self.address = ""
        self.folder = Path()

    def __enter__(self) -> LocalServer:
        self._temporary = tempfile.TemporaryDirectory(prefix="harmovid-bench-")
        self.folder = Path(self._temporary.name)
        if self._with_keys:
            self._make_keys()
        flags = (
            "--state",
            str(self.folder / "state"),
            "--drain-s",
            "0",
            "--log-level",
            "warning",
            *self._settings,
        )
        self._server = ServerProcess(self._temporary.name, *flags, command=self._command)
        self.address = self._server.start()["endpoint"]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self._temporary.cleanup()

    def _make_keys(self) -> None:
        server, client = new_pair("server"), new_pair("client")
        save_secret(self.folder / "server.secret", server)
        AuthorizedKeys(self.folder / "authorized_keys").add("client", client.public)
        self._settings += ["--server-key", str(self.folder / "server.secret")]
        self._settings += ["--authorized-keys", str(self.folder / "authorized_keys")]
        self.keys = replace(client, server=server.public)

    def _pid(self) -> int:
        return self._server.process.pid if self._server.process is not None else 0

    def pids(self) -> List[int]:
        """Return the server's process ids, children and their children."""
        return family(self._pid())

    def cpu_s(self) -> float:
        """Return the processor time of all its processes."""
        return sum(cpu_s(pid) for pid in self.pids())

    def cpu_s_by_role(self) -> Dict[str, float]:
        """Return the processor time of its processes by what they are: main, front, worker, codec."""
        found: Dict[str, float] = {}
        for pid in self.pids():
            name = _role(pid)
            found[name] = found.get(name, 0.0) + cpu_s(pid)
        return found

    def rss_bytes(self) -> Dict[str, int]:
        """Return the resident memory of its processes by kind; shared pages count in each."""
        found: Dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that is just ending
            for pid in self.pids():
                name = _role(pid)
                found[name] = found.get(name, 0) + resident_bytes(pid)
        return found


def cpu_s(pid: int) -> float:
    """Return user and system time of a process (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _role(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    modules = [word.rpartition(".")[2] for word in words if word.startswith("harmovid_server")]
    return modules[0].replace("harmovid_server", "main") if modules else "other"
