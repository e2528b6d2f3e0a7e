"""A real server for the demo: `harmovid serve` as a child process on a free port of this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

from harmovid.errors import Unreachable

START_S = 90.0  # the first start imports everything from a cold disk
STOP_S = 15.0
POLL_S = 0.05
COMPILED = ("harmovid.pixels.apply.kernels_numba", "harmovid_server.codec.reduce_numba")


def harmovid(*words: str) -> list[str]:
    """Return the command line of `harmovid WORDS` under this very Python, whatever is on the path."""
    return [sys.executable, "-m", "harmovid.cli", *words]


def server_loops() -> list[Path]:
    """Return the sources of the loops that the server compiles when it first meets a frame."""
    found = (importlib.util.find_spec(name) for name in COMPILED)
    return [Path(spec.origin) for spec in found if spec is not None and spec.origin]


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[str]:
    """Serve until the `with` block ends; yields the address. State and log lie in `folder` (the log stays).

    Errors:
        Unreachable: the server ended or did not answer in time; the message holds the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ready, log_path = folder / "server.ready.json", folder / "server.log"
    ready.unlink(missing_ok=True)
    command = harmovid(
        "serve", "--bind", "127.0.0.1", "--port", "0", "--state", str(folder / "server"), "--temporary",
        "--ready-file", str(ready), "--parent", str(os.getpid()), "--drain-s", "0",
    )  # fmt: skip
    with log_path.open("wb") as log:
        # A session of its own: Ctrl-C reaches the demo, which then stops the server.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield _endpoint(process, ready, log_path)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        ready.unlink(missing_ok=True)


def _endpoint(process: subprocess.Popen[bytes], ready: Path, log_path: Path) -> str:
    """Wait for the server's ready file and return the address in it."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(ready.read_text())["endpoint"])
        time.sleep(POLL_S)
    tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-15:])
    raise Unreachable(
        f"the demo's server did not start. {log_path} ends:\n{tail}\n", fix="Run `harmovid doctor`."
    )
