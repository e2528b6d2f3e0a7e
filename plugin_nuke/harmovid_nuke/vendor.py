"""Selects the compiled packages that fit this Nuke: pyzmq and msgpack, one folder per Python and platform.

    for line in activate(folder): print(line)           # what `init.py` does; never raises

The folder is added to the front of `sys.path` only: on NUKE_PATH Nuke would search it for scripts, and PYTHONPATH would
affect other programs. A pyzmq that is already loaded is kept, as two in one process would not work.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import List, Sequence

from harmovid_nuke import python_problem

OLDEST_ZMQ = (22,)
FOLDER = "vendor"


def abi(version: Sequence[int] = (), system: str = "", machine: str = "") -> str:
    """Return the folder's name for a Python on a platform, such as "cp311-linux_x86_64"."""
    major, minor = tuple(version or sys.version_info)[:2]
    system, machine = system or sys.platform, (machine or platform.machine()).lower()
    if system == "win32":
        place = "win_amd64"
    elif system == "darwin":
        place = "macos_arm64" if machine == "arm64" else "macos_x86_64"
    else:
        place = "linux_" + ("x86_64" if machine in ("x86_64", "amd64") else machine)
    return f"cp{major}{minor}-{place}"


def activate(folder: str) -> List[str]:
    """Make the vendored packages importable; return messages for the artist, as sentences.

    Args:
        folder: the plugin's own folder.
    """
    problem = python_problem()
    if problem:
        return [problem]
    loaded = sys.modules.get("zmq")
    if loaded is not None:
        found = getattr(loaded, "pyzmq_version_info", lambda: (0,))()
        if tuple(found) >= OLDEST_ZMQ:
            return []
        return [f"another tool has loaded an old pyzmq, {found}; HarmoVid cannot send jobs beside it."]
    wanted = os.path.join(folder, FOLDER, abi())
    if os.path.isdir(wanted):
        if wanted not in sys.path:
            sys.path.insert(0, wanted)
        return []
    if _importable():
        return []
    place = os.path.join(folder, FOLDER)
    return [f"there is nothing for {abi()} in {place}. Run: harmovid plugin install nuke --abi {abi()}"]


def _importable() -> bool:
    """Return whether this Python has the packages already (a studio's own environment)."""
    from importlib.util import find_spec

    return find_spec("zmq") is not None and find_spec("msgpack") is not None
