"""Trims: a colorist's own corrections per frame, in stops, as text.

parse_trims("1001:+0.2, 1010-1014:-0.05")     # {1001: 0.2, 1010: -0.05, ...}
"""

from __future__ import annotations

import math
import re
from typing import Dict

from harmovid.errors import OptionError

LARGEST_STOPS = 8.0
MOST_FRAMES = 100_000
FORM = (
    r"\s*|(\s*\d{1,9}(-\d{1,9})?\s*:\s*[+-]?0*([0-7](\.\d*)?|8(\.0*)?)\s*,)*"
    r"\s*\d{1,9}(-\d{1,9})?\s*:\s*[+-]?0*([0-7](\.\d*)?|8(\.0*)?)\s*"
)
"""Pattern of the option's text; hosts check it before a job is sent."""
_ONE = re.compile(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*:\s*([+-]?\d+(?:\.\d*)?)\s*\Z")


def parse_trims(text: str) -> Dict[int, float]:
    """Return stops by frame number; if a frame has several entries, the last one counts.

    Raises:
        OptionError: the text is not of the form `frame:stops, first-last:stops`.
    """
    trims: Dict[int, float] = {}
    for entry in text.split(",") if text.strip() else []:
        found = _ONE.match(entry)
        if not found:
            raise _bad(f"{entry.strip()!r} is no trim")
        first, last = int(found[1]), int(found[2] or found[1])
        stops = float(found[3])
        if not math.isfinite(stops) or abs(stops) > LARGEST_STOPS:
            raise _bad(f"{stops} stops is beyond {LARGEST_STOPS:g}")
        if last < first or last - first >= MOST_FRAMES:
            raise _bad(f"{entry.strip()!r} is no range of frames")
        trims.update(dict.fromkeys(range(first, last + 1), stops))
    return trims


def _bad(what: str) -> OptionError:
    return OptionError(f"option trims: {what}.", fix="Write it as 1001:+0.2,1010-1014:-0.05 (stops).")
