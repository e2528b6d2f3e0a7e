"""The program ffmpeg: where it is, and how it is run: an argument list, local files only, one kind of file at a time.

The binary is that of the package imageio-ffmpeg where it is installed, else the one on the PATH. Films come from
strangers: the kind of a file is that of its name and no other is tried, so that a playlist that calls itself a film
cannot have other files or addresses opened.
"""

from __future__ import annotations

import os
import shutil
from typing import Dict, List

from harmovid.errors import InputError

DEMUXERS: Dict[str, str] = {
    ".avi": "avi",
    ".m4v": "mov",
    ".mkv": "matroska",
    ".mov": "mov",
    ".mp4": "mov",
    ".mxf": "mxf",
    ".webm": "matroska",
}
"""Extensions of films, and what ffmpeg calls the kind of file."""

LAST_WORDS = 300
"""Letters of ffmpeg's complaint that are told."""


def program() -> str:
    """Return the path of ffmpeg.

    Raises:
        InputError: there is none.
    """
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: a package without a binary for this machine
        found = shutil.which("ffmpeg")
    if found is None:
        raise InputError(
            "films need ffmpeg, and there is none here.",
            fix="Run pip install 'harmovid[films]', or install ffmpeg; or give the frames as EXR files.",
        )
    return found


def command(*words: str, level: str = "error") -> List[str]:
    """Return the words that run ffmpeg with the arguments given; `level` is what it tells on stderr."""
    return [program(), "-hide_banner", "-nostdin", "-loglevel", f"repeat+level+{level}", *words]


def source(path: str) -> List[str]:
    """Return the arguments that open a film by its own kind, as a local file, whatever its name looks like.

    Raises:
        InputError: its name is not that of a film.
    """
    demuxer = DEMUXERS.get(os.path.splitext(path)[1].lower())
    if demuxer is None:
        raise InputError(
            f"{path} is no film that is read here.", fix="Films end in " + ", ".join(DEMUXERS) + "."
        )
    return ["-f", demuxer, "-protocol_whitelist", "file,pipe", "-i", "file:" + os.path.abspath(path)]


def complaints(said: str) -> List[str]:
    """Return the lines of ffmpeg's stderr that tell of errors."""
    return [line.strip() for line in said.splitlines() if "[error]" in line or "[fatal]" in line]
