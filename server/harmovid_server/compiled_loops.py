"""Whether numba's compiled code of the server's inner loops is on disk, or the next job has to wait for the compiler.

    if not are_compiled(): ...          # the first frames of the next job take longer

numba compiles a loop when it is first used, and stores the code beside the source, or in `NUMBA_CACHE_DIR`.
`make demo` and `harmovid benchmark` use all loops once. Imports neither numba nor numpy.
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
"""The modules with loops that every job uses."""

COMPILING = "the server compiles its loops: the first frames take up to a minute"
"""The message of a job's progress meanwhile."""


def are_compiled() -> bool:
    """Return whether no job has to wait for the compiler; also True if numba is not installed."""
    return importlib.util.find_spec("numba") is None or all(map(is_compiled, SOURCES))


def is_compiled(source: Path) -> bool:
    """Return whether compiled code of a module is on disk that is not older than the module."""
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    kept = Path(elsewhere).rglob("*.nbi") if elsewhere else (source.parent / "__pycache__").glob("*.nbi")
    changed = source.stat().st_mtime
    return any(path.name.startswith(f"{source.stem}.") and path.stat().st_mtime >= changed for path in kept)
