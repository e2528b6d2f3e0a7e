"""Limits for a codec child: its own process image, few rights, little memory, one thread.

    process = subprocess.Popen(command, env=environment(), ...)     # in the parent
    confine(headroom_bytes)                                          # in the child, before the first file

OpenEXR lists 38 security advisories for 2026 alone, and its authors do not treat a crash or exhausted memory in a
decoder as a vulnerability. So the process that opens untrusted files must be able to die without harm.
"""

from __future__ import annotations

import os
import resource
from typing import Dict

OPEN_FILES = 32
"""Open files: standard streams, the socketpair, one frame's layers and its result; libraries keep a few more."""

OOM_SCORE = 500
"""Out of 1000 (proc(5), oom_score_adj): if memory runs out, a decoder is killed rather than the server."""

_KEPT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_CACHE_HOME",
    "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "OCIO", "NUMBA_CACHE_DIR", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS",
)  # fmt: skip

# Frames run in parallel with one thread each, which is faster than several threads on one frame.
_ONE_THREAD = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENIMAGEIO_THREADS",
)  # fmt: skip


def environment() -> Dict[str, str]:
    """Return a child's environment: only what is needed to find libraries, and one thread per library."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **dict.fromkeys(_ONE_THREAD, "1")}


def confine(headroom_bytes: int) -> None:
    """Limit this process permanently: address space, open files, no core files (they would contain users' frames).

    Args:
        headroom_bytes: address space beyond what is mapped now; import libraries before the call.
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
