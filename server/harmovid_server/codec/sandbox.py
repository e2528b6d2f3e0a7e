"""What makes a codec child expendable: its own process image, few rights, little memory, one thread.

    process = subprocess.Popen(command, env=environment(), ...)     # in the parent
    confine(headroom_bytes)                                          # in the child, before the first file

OpenEXR lists 38 security advisories for 2026 alone, and a crash or an out-of-memory in a decoder is not
seen as a
vulnerability by its authors: the process that opens other people's files must be able to die without harm.
"""

from __future__ import annotations

import os
import resource
from typing import Dict

OPEN_FILES = 32
"""Standard streams, the socketpair, one frame's layers and its result; libraries keep a few more."""

OOM_SCORE = 500
"""Of 1000 (proc(5), oom_score_adj): when memory runs out, a decoder dies rather than the server around it."""

_KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CACHE_HOME",
    "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "OCIO", "NUMBA_CACHE_DIR", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS",
)  # fmt: skip

# Frames run side by side, one thread each: that beats several threads on one frame (docs/architecture.md).
_ONE_THREAD = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENIMAGEIO_THREADS",
)  # fmt: skip


def environment() -> Dict[str, str]:
    """Return a child's environment: what libraries need to be found, nothing else, one thread each."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **dict.fromkeys(_ONE_THREAD, "1")}


def confine(headroom_bytes: int) -> None:
    """Limit this process for good: address space, open files, no core files (they would hold users' frames).

    Args:
        headroom_bytes: address space beyond what is mapped now; libraries are to be imported before.
    """
    _lower(resource.RLIMIT_AS, _mapped_bytes() + headroom_bytes)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
        stream.write(str(OOM_SCORE))


def _lower(which: int, value: int) -> None:
    """Set both limits, never above the hard limit that is already there."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _mapped_bytes() -> int:
    """Return the size of this process's address space (proc(5), /proc/self/statm, first field in pages)."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[0]) * resource.getpagesize()
