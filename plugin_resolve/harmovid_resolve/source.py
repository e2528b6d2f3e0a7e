"""Frames of a clip that is an EXR sequence already: they are read directly, without a render.

pattern = direct(clip, (1001, 1024))        # None: Resolve has to render it
"""

from __future__ import annotations

import os
import re
from typing import List, Optional

from harmovid_resolve import exr_file
from harmovid_resolve.clip import Clip, Numbers, properties
from harmovid_resolve.errors import HostError

__all__ = ["checked", "direct", "path_of", "pattern_of", "printf"]

SHOWN = 5
"""Number of frames that a message names."""

_BRACKET = re.compile(r"\[(\d+)-\d+\](?=[^\[\]]*$)")


def direct(clip: Clip, frames: Numbers) -> Optional[str]:
    """Return the pattern of a clip's own files, or None if they cannot be used directly.

    They are used if the clip is a numbered EXR sequence without an input LUT: then Resolve shows what the files
    contain.

    Raises:
        HostError: a file of the sequence is missing or damaged.
    """
    pattern = pattern_of(clip.path)
    if pattern is None or properties(clip.media).get("Input LUT", ""):
        return None
    checked(pattern, frames)
    return pattern


def pattern_of(path: str) -> Optional[str]:
    """Return the pattern of a sequence as Resolve names it, `/shots/p.[1001-1024].exr`; None for anything else."""
    if os.path.splitext(path)[1].lower() != ".exr":
        return None
    match = _BRACKET.search(os.path.basename(path))
    if match is None:
        return None
    cut = len(path) - len(os.path.basename(path))
    return path[: cut + match.start()] + "#" * len(match.group(1)) + path[cut + match.end() :]


def path_of(pattern: str, number: int) -> str:
    """Return the path of a frame; a number wider than the pattern is written in full."""
    cut = len(pattern) - len(os.path.basename(pattern))
    name = re.sub(r"#+", lambda found: f"{number:0{len(found.group())}d}", pattern[cut:], count=1)
    return pattern[:cut] + name


def printf(pattern: str) -> str:
    """Return a pattern in Resolve's form for an import: `p.%04d.exr`."""
    cut = len(pattern) - len(os.path.basename(pattern))
    name = pattern[cut:].replace("%", "%%")
    return pattern[:cut] + re.sub(r"#+", lambda found: f"%0{len(found.group())}d", name, count=1)


def checked(pattern: str, frames: Numbers) -> int:
    """Check every file of a range and return their total size in bytes.

    Raises:
        HostError: files are missing or incomplete; the first ones are named.
    """
    found: List[str] = []
    size = 0
    for number in range(frames[0], frames[1] + 1):
        path = path_of(pattern, number)
        wrong = exr_file.problem(path)
        if wrong:
            found.append(f"frame {number} {wrong}")
        else:
            size += os.path.getsize(path)
    if found:
        more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise HostError(
            f"of {os.path.basename(pattern)} " + ", ".join(found[:SHOWN]) + more + ".",
            fix="Free room or repair the files, then try again.",
        )
    return size
