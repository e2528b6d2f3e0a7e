"""The program ffmpeg: finding it and running it with an argument list, local files only, and one file type at a time.

The binary is that of the package imageio-ffmpeg if installed, else the one on the PATH. Films are untrusted: the file
type is decided by the name and no other is tried, so that a playlist with the name of a film cannot make ffmpeg open
other files or addresses.
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
"""Extensions of films, and ffmpeg's name of the file type."""

LAST_WORDS = 300
"""Number of characters of ffmpeg's error message that are shown."""


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
    """Return the command line for ffmpeg with these arguments; `level` is its log level on stderr."""
    return [program(), "-hide_banner", "-nostdin", "-loglevel", f"repeat+level+{level}", *words]


def source(path: str) -> List[str]:
    """Return the arguments that open a film by its own type, as a local file, whatever its name looks like.

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
    """Return the error lines of ffmpeg's stderr."""
    return [line.strip() for line in said.splitlines() if "[error]" in line or "[fatal]" in line]
