"""File names with frame numbers and views in them."""

from __future__ import annotations

import re


def file_of(text: str, frame: int, view: str) -> str:
    """Return a file name with frame number and view put in."""
    text = text.replace("%V", view).replace("%v", view[:1])
    text = re.sub(r"%0?(\d*)d", lambda match: f"{frame:0{int(match.group(1) or 1)}d}", text)
    return re.sub(r"#+", lambda match: f"{frame:0{len(match.group())}d}", text)
