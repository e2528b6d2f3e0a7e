"""Files on disk as clips: sequences are found by their numbers, as Media Storage lists them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Tuple

from fakes.resolve_host import pictures
from fakes.resolve_host.model import Clip

PICTURES = (".exr", ".png", ".tif", ".tiff", ".jpg", ".dpx")
_NUMBERED = re.compile(r"(.*?)(-?\d+)(\.\w+)")


def clips_of(paths: Iterable[str], fps: float) -> List[Clip]:
    """Return one clip for every sequence and every single file among paths; folders stand for what is in them."""
    files: List[str] = []
    for path in paths:
        inside = sorted(Path(path).iterdir()) if os.path.isdir(path) else [Path(path)]
        files += [str(each) for each in inside if each.is_file() and each.suffix.lower() in PICTURES]
    groups: Dict[Tuple[str, int, str], List[int]] = {}
    single: List[str] = []
    for file in files:
        match = _NUMBERED.fullmatch(os.path.basename(file))
        if match is None:
            single.append(file)
        else:
            key = (os.path.join(os.path.dirname(file), match[1]), len(match[2]), match[3])
            groups.setdefault(key, []).append(int(match[2]))
    found = [
        clip
        for (head, digits, tail), numbers in groups.items()
        for clip in [sequence(f"{head}%0{digits}d{tail}", min(numbers), max(numbers), fps)]
        if clip is not None
    ]
    return found + [clip for file in single for clip in [sequence(file, 0, 0, fps)] if clip is not None]


def sequence(pattern: str, first: int, last: int, fps: float) -> Optional[Clip]:
    """Return the clip of a printf pattern, or of one file; None where its first file is no picture."""
    try:
        first_file = pattern % first if "%" in pattern else pattern
        size = pictures.size_of(first_file)
    except (OSError, TypeError, ValueError):
        return None
    clip = Clip(pattern=pattern, first=first, last=last, fps=fps, size=size)
    clip.kind = "Still" if first == last else "Video"
    clip.name = os.path.basename(clip.shown_path())
    clip.start_timecode = timecode_of(first, fps)
    return clip


def timecode_of(frame: int, fps: float) -> str:
    """Return the start timecode of a sequence that starts at a frame number."""
    from fakes.resolve_host import timecode

    return timecode.to_text(max(frame, 0), fps)


def properties(clip: Clip) -> Dict[str, Any]:
    """Return the clip properties that its file decides; the user's own are in `clip.properties`."""
    from fakes.resolve_host import timecode

    extension = os.path.splitext(clip.pattern)[1].lstrip(".").upper()
    start = timecode.to_frame(clip.start_timecode, clip.fps)
    picture = {} if clip.kind == "Timeline" else {"Format": extension, "Video Codec": f"{extension} RGB"}
    return {
        "File Path": clip.shown_path(),
        "File Name": os.path.basename(clip.shown_path()),
        "Clip Name": clip.name,
        "Type": clip.kind,
        "Start": str(clip.first),
        "End": str(clip.last),
        "Frames": str(clip.frames),
        "FPS": clip.fps,
        "Duration": timecode.to_text(clip.frames, clip.fps),
        "Start TC": clip.start_timecode,
        "End TC": timecode.to_text(start + clip.frames, clip.fps),
        "Resolution": f"{clip.size[0]}x{clip.size[1]}",
        "Clip Color": clip.color,
        **picture,
    }


SETTABLE = {
    "Input Color Space": "Project",
    "Input Gamma": "",
    "Input LUT": "",
    "Data Level": "Auto",
    "PAR": "Square",
    "Alpha mode": "None",
    "Comments": "",
    "Reel Name": "",
    "Super Scale": "1",
}
"""Clip properties that SetClipProperty takes, with their first value."""
