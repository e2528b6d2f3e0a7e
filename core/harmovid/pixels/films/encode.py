"""Results as a film: EXR frames with code values to a video file in the form of the input film.

| name | what is written |
|---|---|
| .mkv | FFV1, lossless, at the film's own depth |
| .mov | ProRes 4444, 10 bits |
| .mp4 | H.264, 8 bits, half-size chroma, for viewing |
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO, Callable, Dict, List, Tuple

import numpy as np

from harmovid.errors import InputError, JobCancelled, OutputError
from harmovid.frames import FramePattern, FrameRange
from harmovid.pixels import exr
from harmovid.pixels.films.layout import DEPTHS, Codes, Layout
from harmovid.pixels.films.probe import FilmInfo
from harmovid.pixels.films.program import LAST_WORDS, command, source

FILM_KINDS = (".mkv", ".mov", ".mp4")
END_S = 600.0
"""Seconds that ffmpeg may take after the last frame to finish the file."""

_CODECS: Dict[str, List[str]] = {
    ".mkv": ["-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-f", "matroska"],
    ".mov": ["-c:v", "prores_ks", "-profile:v", "4444", "-f", "mov"],
    ".mp4": ["-c:v", "libx264", "-crf", "12", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-f", "mp4"],
}


def layout_of(info: FilmInfo, path: str) -> Layout:
    """Return the layout of frames given to ffmpeg for a film of that name.

    Raises:
        InputError: films of that type, or of that size, are not supported.
    """
    kind = os.path.splitext(path)[1].lower()
    if kind not in FILM_KINDS:
        raise InputError(
            f"{path} is no film that is written here.",
            fix="Name one that ends in " + ", ".join(FILM_KINDS) + ".",
        )
    own = info.layout
    if kind == ".mkv":
        if own.kind == "rgb" or not own.full:
            return own
        # ffmpeg's FFV1 has the narrow range only; a greater depth holds the full one without loss.
        deeper = DEPTHS[min(DEPTHS.index(own.depth) + 1, len(DEPTHS) - 1)]
        return replace(own, full=False, depth=deeper)
    if kind == ".mp4" and (info.width % 2 or info.height % 2):
        raise InputError(
            f"an .mp4 has even sides, the film is {info.width} x {info.height}.", fix="Name a .mov or .mkv."
        )
    matrix = own.matrix or info.tags.get("matrix", "") or "bt709"
    return replace(own, kind="yuv", depth=10, full=False, matrix=matrix if matrix != "gbr" else "bt709",
                   alpha=own.alpha and kind == ".mov")  # fmt: skip


def encode(
    path: str,
    info: FilmInfo,
    pattern: FramePattern,
    frames: FrameRange,
    *,
    sound: str = "",
    stopped: Callable[[], bool] = lambda: False,
) -> Tuple[str, int]:
    """Write a film under a temporary name; the caller renames it.

    Args:
        path: the film's final name, whose extension decides the type; its folder must exist.
        info: the input film, whose size, rate and colours are used.
        pattern: the EXR files, with code values in that film's space.
        frames: the frames; all must exist.
        sound: a film whose sound is copied; "" for none.
        stopped: called before every frame; if it returns True, the work stops.

    Returns:
        the temporary path of the finished film, and the number of clipped values.

    Raises:
        OutputError: ffmpeg failed, most often because of a full disk. JobCancelled: it was stopped.
        InputError, FrameError: see `layout_of`; a result cannot be read.
    """
    layout = layout_of(info, path)
    folder, name = os.path.split(os.path.abspath(path))
    part = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    words = command(
        *_input(layout, info),
        *(source(sound) if sound else []),
        *_output(layout, info, path, bool(sound)),
        "file:" + part,
    )
    clipped = 0
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        try:
            clipped = _feed(process.stdin, layout, info, pattern, frames, stopped)  # type: ignore[arg-type]
            code = process.wait(END_S)
        except BaseException:
            process.kill()
            process.wait()
            Path(part).unlink(missing_ok=True)
            raise
        log.seek(0)
        said = log.read().decode(errors="replace").strip()
    if code:
        Path(part).unlink(missing_ok=True)
        raise OutputError(
            f"the film {path} cannot be written: {said[-LAST_WORDS:]}",
            fix="Free some room, or name a .mov or .mkv; the results are there as EXR frames.",
        )
    return part, clipped


def _input(layout: Layout, info: FilmInfo) -> List[str]:
    rate = f"{info.rate.numerator}/{info.rate.denominator}"
    size = f"{info.width}x{info.height}"
    return ["-f", "rawvideo", "-pix_fmt", layout.pix_fmt, "-s", size, "-framerate", rate, "-i", "pipe:0"]


def _output(layout: Layout, info: FilmInfo, path: str, sound: bool) -> List[str]:
    # Stated for the input frames, not for the output: otherwise ffmpeg would convert them.
    tags = {
        "range": "pc" if layout.full else "tv",
        "colorspace": layout.matrix,
        "color_primaries": info.tags.get("primaries", ""),
        "color_trc": info.tags.get("transfer", ""),
    }
    said = ":".join(f"{name}={text}" for name, text in tags.items() if text)
    mapped = ["-map", "0:v", *(["-map", "1:a?", "-c:a", "copy"] if sound else [])]
    return [
        *mapped,
        "-vf",
        f"setsar={info.pixel_aspect:.6f},setparams={said}",
        *_CODECS[os.path.splitext(path)[1].lower()],
    ]


def _feed(
    stream: IO[bytes], layout: Layout, info: FilmInfo, pattern: FramePattern, frames: FrameRange,
    stopped: Callable[[], bool],
) -> int:  # fmt: skip
    clipped = 0
    try:
        with stream:
            for frame in frames:
                if stopped():
                    raise JobCancelled("the writing of the film was stopped.")
                data, count = layout.pack(_codes(pattern.path(frame), info))
                clipped += count
                stream.write(data)
    except BrokenPipeError:
        pass  # ffmpeg has ended: its exit code and messages tell why
    return clipped


def _codes(path: str, info: FilmInfo) -> Codes:
    frame = exr.read(path)
    frame = exr.with_data_window(frame, (0, 0, info.width, info.height))
    rgb = exr.layer_rgb(frame)[1]
    if "A" not in frame.channels:
        return rgb
    return np.concatenate([rgb, exr.channel_plane(frame, "A")[..., None].astype(np.float32)], axis=-1)
