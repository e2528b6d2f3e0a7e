"""A real server for the demo: `harmovid serve` as a child process on a free port of this machine."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Iterator

from harmovid.server_process import ServerProcess

COMPILED = ("harmovid.pixels.apply.kernels_numba", "harmovid_server.codec.reduce_numba")


def harmovid(*words: str) -> list[str]:
    """Return the command line of `harmovid WORDS` under this very Python, whatever is on the path."""
    return [sys.executable, "-m", "harmovid.cli", *words]


def server_loops() -> list[Path]:
    """Return the sources of the loops that the server compiles when it first meets a frame."""
    found = (importlib.util.find_spec(name) for name in COMPILED)
    return [Path(spec.origin) for spec in found if spec is not None and spec.origin]


@contextlib.contextmanager
def running_server(folder: Path, bundles: Path | None = None) -> Iterator[str]:
    """Serve until the `with` block ends; yields the address. State and log lie in `folder` (the log stays).

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
