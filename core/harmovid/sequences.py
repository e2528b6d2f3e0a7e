"""Numbered sequences among file names: the only place that decides which files belong together.

    find(["p.0999.exr", "p.1000.exr", "notes.txt"])     # {"p.####.exr": [999, 1000]}

Numbers with leading zeros set the padding; longer numbers without zeros continue the sequence, as 0999 and 1000 do. If
no number has a leading zero and all have four digits or more, the shortest sets the padding, as with 1001 and 1002. The
files that macOS adds on disks of other systems (`._p.0001.exr`) belong to no sequence.

Not every number counts frames. One that follows a dot, a dash, an underscore or a space does, or that is the whole
name, or has leading zeros; glued to a word it does so only if several files count on (`p1.exr`, `p2.exr`): `Rec709.exr`
and `Rec2020.exr` are two stills. A version (`p_v001.exr`) is never a frame.
"""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

NUMBER_AT_END = re.compile(r"^(?P<prefix>.*?)(?P<number>(?:(?<=[._])-)?[0-9]+)(?P<suffix>[^0-9]*\.[^.]+)$")
"""A file name with its last number right before the extension."""

_SEPARATORS = ("", ".", "-", "_", " ")
_VERSION = re.compile(r"(^|.*[._ -])[vV]$")
LONG, MAX_DIGITS = 4, 10
APPLE_DOUBLE = "._"


def numbered(name: str) -> Optional[re.Match[str]]:
    """Return the parts of one file's name around its frame number; None if it has none."""
    match = NUMBER_AT_END.match(name)
    return match if match is not None and _counts_frames(match["prefix"], [match["number"]]) else None


def _counts_frames(prefix: str, numbers: Sequence[str]) -> bool:
    """Return whether the numbers of files of one name count frames."""
    if _VERSION.match(prefix):
        return False
    if prefix[-1:] in _SEPARATORS or any(_is_padded(text) for text in numbers):
        return True
    found = sorted({int(text) for text in numbers})
    steps = {after - before for before, after in zip(found, found[1:])}
    return 1 in steps or (len(steps) == 1 and len(found) > 2)


def find(names: Iterable[str]) -> Dict[str, List[int]]:
    """Return the sequences among file names: pattern, with one # per digit, to frame numbers in ascending order."""
    groups: Dict[Tuple[str, str], List[str]] = {}
    for name in names:
        match = NUMBER_AT_END.match(name) if not name.startswith(APPLE_DOUBLE) else None
        if match and len(match["number"]) <= MAX_DIGITS:
            groups.setdefault((match["prefix"], match["suffix"]), []).append(match["number"])
    found: Dict[str, List[int]] = {}
    for (prefix, suffix), numbers in sorted(groups.items()):
        if not _counts_frames(prefix, numbers):
            continue
        for width, frames in _by_width(numbers).items():
            found[f"{prefix}{'#' * width}{suffix}"] = sorted(frames)
    return found


def _by_width(numbers: List[str]) -> Dict[int, List[int]]:
    """Group the numbers by padding."""
    padded = sorted({len(text) for text in numbers if _is_padded(text)})
    plain = [text for text in numbers if not _is_padded(text)]
    shortest = min(map(len, plain), default=1)
    usual = shortest if shortest >= LONG else 1
    found: Dict[int, List[int]] = {width: [] for width in padded}
    for text in numbers:
        width = len(text)
        if not _is_padded(text):
            # The widest padding that is not wider than this number; without one the usual padding.
            width = max((known for known in padded if known <= len(text)), default=usual)
        found.setdefault(width, []).append(int(text))
    return found


def _is_padded(text: str) -> bool:
    digits = text.lstrip("-")
    return len(digits) > 1 and digits.startswith("0")
