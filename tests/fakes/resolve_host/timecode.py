"""Timecodes without drop frames: as many frames in a second as the rate rounds to."""

from __future__ import annotations

import re


def base(fps: float) -> int:
    """Return the frames that a second of timecode has: 24 at 23.976."""
    return max(1, round(fps))


def to_text(frame: int, fps: float) -> str:
    """Return the timecode of a frame number."""
    rate = base(fps)
    seconds, frames = divmod(frame, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


def to_frame(text: str, fps: float) -> int:
    """Return the frame number of a timecode; -1 where it is none."""
    match = re.fullmatch(r"(\d\d):(\d\d):(\d\d)[:;](\d\d)", text) if isinstance(text, str) else None
    if match is None:
        return -1
    hours, minutes, seconds, frames = (int(each) for each in match.groups())
    rate = base(fps)
    return (
        -1
        if minutes > 59 or seconds > 59 or frames >= rate
        else ((hours * 60 + minutes) * 60 + seconds) * rate + frames
    )
