"""Facts about a film: from its first frame as decoded by ffmpeg, and from the header of its file.

info = probe("shot010.mov")
info.width, info.rate, info.layout, info.remarks
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from typing import Dict, Tuple

from harmovid.errors import FrameUnreadable
from harmovid.pixels.films.layout import Layout
from harmovid.pixels.films.program import DEMUXERS, LAST_WORDS, command, complaints, source

PROBE_S = 60.0
HIGH_DEFINITION_LINES = 720
"""If a film does not state its matrix, BT.709 is assumed from this height on, BT.601 below, as players do."""

NTSC = {"23.98": 24, "23.976": 24, "29.97": 30, "47.95": 48, "59.94": 60, "119.88": 120}
"""Frame rates that ffmpeg prints rounded: really this many times 1000/1001."""

_FRAME = re.compile(r"fmt:(?P<format>\S+) .*?sar:(?P<aspect>\d+/\d+) s:(?P<size>\d+x\d+) i:(?P<fields>.)")
_COLOUR = re.compile(r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
_RATE = re.compile(r"Video:.*?(?P<rate>[0-9.]+k?) fps")
_LENGTH = re.compile(r"Duration: (\d+):(\d+):([0-9.]+)")
_SAYS_NOTHING = ("unknown", "unspecified", "reserved", "")


def is_film(text: str) -> bool:
    """Return whether a path is a film, by its name."""
    return os.path.splitext(text)[1].lower() in DEMUXERS


@dataclass(frozen=True)
class FilmInfo:
    """Facts about a film.

    Attributes:
        width, height: of a decoded frame in pixels, after rotation as stated in the file.
        pixel_aspect: width of a pixel divided by its height.
        rate: frames per second.
        layout: the layout of its frames.
        length_s: as stated in the file, 0 if it is not.
        sound: whether it has sound.
        tags: its colour tags, by ffmpeg's names: range, matrix, primaries, transfer; "" if not stated.
        remarks: sentences about what it does not state and what is assumed instead.
    """

    width: int
    height: int
    pixel_aspect: float
    rate: Fraction
    layout: Layout
    length_s: float
    sound: bool
    tags: Dict[str, str]
    remarks: Tuple[str, ...]


def probe(path: str, matrix: str = "") -> FilmInfo:
    """Return the facts about a film, after decoding one frame.

    Args:
        path: the film.
        matrix: one of `layout.LUMA_WEIGHTS`, instead of the one that the film states.

    Raises:
        FrameUnreadable: it is damaged, or not of the type of its name.
        InputError: there is no ffmpeg, or the film's format is not supported.
    """
    words = command(
        *source(path), "-map", "0:v:0", "-frames:v", "1", "-vf", "showinfo", "-f", "null", "-", level="info"
    )
    done = subprocess.run(words, capture_output=True, timeout=PROBE_S, check=False)
    said = done.stderr.decode(errors="replace")
    frame = _FRAME.search(said)
    if done.returncode or frame is None:
        last = (complaints(said) or [said.strip()[-LAST_WORDS:]])[-1][-LAST_WORDS:]
        raise FrameUnreadable(
            f"the film {path} cannot be read: {last}", fix="Play it; copy it again if it is cut off."
        )
    return _info(said, frame, matrix)


def _info(said: str, frame: re.Match[str], wanted: str) -> FilmInfo:
    width, height = map(int, frame["size"].split("x"))
    across, down = map(int, frame["aspect"].split("/"))
    found = _COLOUR.search(said)
    names = ("range", "matrix", "primaries", "transfer")
    tags = {
        name: "" if text in _SAYS_NOTHING else text
        for name, text in zip(names, found.groups() if found else [""] * 4)
    }
    remarks = []
    matrix = wanted or tags["matrix"]
    if not matrix:
        matrix = "bt709" if height >= HIGH_DEFINITION_LINES else "smpte170m"
        word = "bt709" if matrix == "bt709" else "bt601"
        remarks.append(
            f"it does not say by which matrix its colours are coded; {word} is taken, as its {height} lines suggest"
        )
    layout = Layout.of(frame["format"], tags["range"], matrix)
    if layout.kind != "rgb" and not tags["range"] and not layout.full:
        remarks.append("it does not say its range; the narrow range of video is taken")
    if layout.kind == "rgb":
        remarks = []
    if frame["fields"] not in "P?":
        remarks.append("it is interlaced: its fields stay woven into frames")
    return FilmInfo(
        width, height, across / down if across and down else 1.0, _rate(said), layout, _length_s(said),
        " Audio: " in said, tags, tuple(remarks),
    )  # fmt: skip


def _rate(said: str) -> Fraction:
    match = _RATE.search(said)
    text = match["rate"] if match else "24"
    if text in NTSC:
        return Fraction(NTSC[text] * 1000, 1001)
    return Fraction(text[:-1]) * 1000 if text.endswith("k") else Fraction(text)


def _length_s(said: str) -> float:
    match = _LENGTH.search(said)
    if match is None:
        return 0.0
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
