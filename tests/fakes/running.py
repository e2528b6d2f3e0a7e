"""A real server in processes of its own, which tests start, inspect and kill.

    with RunningServer(tmp_path, "--workers", "2") as server:
        Peer(server.endpoint)
        os.kill(server.child("worker-0"), signal.SIGKILL)
        server.kill(); server.start()          # the whole group, and a new one on the same state and port

`echo=True` takes the stand-in worker of `echo_worker.py` (quick to start); else the real worker runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

ECHO = Path(__file__).parent / "echo_server.py"
START_S, STOP_S = 300.0, 300.0


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class RunningServer:
    """One server process group. `endpoint` and `ready` are known while it runs."""

    def __init__(
        self, folder: Path, *flags: str, echo: bool = True, environ: Optional[Dict[str, str]] = None
    ) -> None:
        self.folder = folder
        self.flags = list(flags)
        self.command = [sys.executable, str(ECHO)] if echo else [sys.executable, "-m", "harmovid_server"]
        self.environ = {**os.environ, **(environ or {})}
        self.process: Optional[subprocess.Popen[bytes]] = None
        self.ready: Dict[str, Any] = {}
        self.log_file = folder / "server.log"

    def __enter__(self) -> RunningServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def endpoint(self) -> str:
        """Return the control address."""
        return str(self.ready["endpoint"])

    @property
    def log(self) -> str:
        """Return everything that all processes of the server have logged."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def start(self, wait: bool = True) -> None:
        """Start it: the first time on a free port, later on the same one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        ports = ["--port", "0"]
        if self.ready:
            port = self.endpoint.rsplit(":", 1)[1]
            ports = ["--port", port, "--data-port", str(self.ready["data_port"])]
        flags = ["--state", str(self.folder / "state"), "--ready-file", str(ready), *ports, *self.flags]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environ,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while wait and not ready.exists():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.01)
        if wait:
            self.ready = json.loads(ready.read_text())

    def pids(self) -> List[int]:
        """Return the process ids of the group, main first."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = entry.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == self.process.pid and fields[0] != "Z":
                found.append(int(entry.parent.name))
        return sorted(found, key=lambda pid: (pid != self.process.pid, pid))  # type: ignore[union-attr]

    def child(self, seat: str) -> int:
        """Return the id of the newest process with a role ("front", "worker-0"), from the log."""
        found = re.findall(rf"child started child={seat}\.\d+ child_pid=(\d+)", self.log)
        return int(found[-1])

    def memory_kib(self, pid: int) -> int:
        """Return a process's resident memory."""
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])  # type: ignore[index]

    def terminate(self) -> int:
        """Ask for a graceful stop, wait for it and return the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        """kill -9 the whole process group, as a crash of the machine's user session does."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until = time.monotonic() + STOP_S
        while self.pids() and time.monotonic() < until:
            time.sleep(0.01)
        self.process = None
