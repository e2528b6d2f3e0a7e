"""Whether numba keeps the compiled inner loops of the server on this machine's disk, or will have to make them.

    if not are_compiled(): ...          # the first frames of the next job wait for the compiler

numba compiles a loop when it is first used and keeps the result beside its source, or where `NUMBA_CACHE_DIR` says.
`make demo` and `harmovid benchmark` use all of them once. Imports neither numba nor numpy.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Tuple

import harmovid

import harmovid_server

SOURCES: Tuple[Path, ...] = (
    Path(harmovid.__file__).parent / "pixels" / "apply" / "kernels_numba.py",
    Path(harmovid_server.__file__).parent / "codec" / "reduce_numba.py",
)
"""The loops that every job goes through."""

COMPILING = "the server compiles its loops: the first frames take up to a minute"
"""What a job's progress says meanwhile."""


def are_compiled() -> bool:
    """Return whether no job has to wait for the compiler; true as well where numba is not installed."""
    return importlib.util.find_spec("numba") is None or all(map(is_compiled, SOURCES))


def is_compiled(source: Path) -> bool:
    """Return whether numba keeps compiled code of a module on disk that is not older than its source."""
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    kept = Path(elsewhere).rglob("*.nbi") if elsewhere else (source.parent / "__pycache__").glob("*.nbi")
    changed = source.stat().st_mtime
    return any(path.name.startswith(f"{source.stem}.") and path.stat().st_mtime >= changed for path in kept)
