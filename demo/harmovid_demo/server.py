"""A real server for the demo: `harmovid serve` as a child process on a free port of this machine."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Iterator

from harmovid.server_process import ServerProcess


def harmovid(*words: str) -> list[str]:
    """Return the command line of `harmovid WORDS` under this interpreter, whatever `PATH` holds."""
    return [sys.executable, "-m", "harmovid.cli", *words]


@contextlib.contextmanager
def running_server(folder: Path, bundles: Path | None = None) -> Iterator[str]:
    """Serve until the `with` block ends; yields the address. State and log are in `folder`; the log is kept.

    Args:
        bundles: a folder of engine bundles to serve as well.

    Raises:
        Unreachable: the server ended or did not answer in time; the message holds the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = str(folder / "server")
    more = ("--engine-folders", str(bundles)) if bundles else ()
    with ServerProcess(str(folder), "--state", state, "--temporary", "--drain-s", "0", *more) as ready:
        yield str(ready["endpoint"])
