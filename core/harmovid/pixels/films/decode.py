"""A film's frames as EXR files with its code values, every frame once, each file written atomically.

Pixels are half floats for up to 10 bits (all codes stay distinct) and 32-bit floats beyond. The files get the film's
own modification time, and decoding twice gives the same bytes, so a job on them is the same job after another decoding.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Callable, Dict, Iterator, List, Tuple

import numpy as np

from harmovid.errors import FrameUnreadable, JobCancelled, OutputError
from harmovid.frames import FramePattern, FrameRange
from harmovid.pixels import exr
from harmovid.pixels.films.layout import Codes, Layout
from harmovid.pixels.films.probe import FilmInfo
from harmovid.pixels.films.program import LAST_WORDS, command, complaints, source
from harmovid.storage.atomic import write_whole

HALF_DEPTH = 10
"""Up to so many bits a half float is nearer to each code than a quarter of the step to the next."""

EARLY_END_S = 0.5
"""A film that is this much shorter than its head says was cut off: streams of sound may be a little longer."""

UNEVEN = 0.25
"""Times between frames that differ by this share of the usual one are an uneven rate."""

END_S = 30.0
_TIME = re.compile(r"showinfo.*? n: *\d+ pts: *\S+ pts_time:(-?[0-9.]+)")


@dataclass(frozen=True)
class Decoded:
    """What was decoded: the frames' numbers, and sentences that a user should know."""

    frames: FrameRange
    remarks: Tuple[str, ...]


def decode(
    path: str,
    info: FilmInfo,
    pattern: FramePattern,
    first: int,
    *,
    on_frame: Callable[[int], None] = lambda frame: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Decoded:
    """Write every frame of a film; those that are there already stay as they are.

    Args:
        path: the film.
        info: its `probe`.
        pattern: where the EXR files go; the folder is there. Files in it are of this film and of the same `info`.
        first: the number of its first frame.
        on_frame: called when a frame is on the disk.
        stopped: asked before every frame; true ends the decoding.

    Raises:
        FrameUnreadable: the film is damaged or cut off; `frame` tells from where on. Nothing is concealed.
        OutputError: a file cannot be written. JobCancelled: it was stopped.
    """
    have = FrameRange(frame for frame in pattern.existing() if frame >= first)
    skip = next(n for n in range(len(have) + 1) if first + n not in have)
    mtime_ns = os.stat(path).st_mtime_ns
    chain = f"showinfo,select=gte(n\\,{skip}),{_enlarging(info.layout)},format={info.layout.pix_fmt}"
    words = command(
        *source(path),
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-vf",
        chain,
        "-f",
        "rawvideo",
        "-",
        level="info",
    )
    frame = first + skip
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL)
        try:
            for codes in _frames(process.stdout, info):  # type: ignore[arg-type]
                if stopped():
                    raise JobCancelled("the decoding of the film was stopped.")
                _write(pattern.path(frame), codes, info, mtime_ns)
                on_frame(frame)
                frame += 1
            code = process.wait(END_S)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        said = log.read().decode(errors="replace")
    wrong = complaints(said)
    if code or wrong:
        raise FrameUnreadable(
            f"the film {path} is damaged: {(wrong or [said.strip()])[-1][-LAST_WORDS:]}",
            fix="Copy or export it again.", frame=frame,
        )  # fmt: skip
    times = [float(text) for text in _TIME.findall(said)]
    return Decoded(FrameRange(range(first, frame)), _checked(path, info, times, frame))


def _enlarging(layout: Layout) -> str:
    """Return the filter that gives chroma its full size and changes no number: both ranges are the film's own.

    Without being told, older versions of ffmpeg take full-range films to the narrow range here.
    """
    own = "" if layout.kind == "rgb" else f"in_range={'pc' if layout.full else 'tv'}:"
    return f"scale={own}{own.replace('in_', 'out_')}flags=bicubic+accurate_rnd+full_chroma_int"


def _frames(stream: IO[bytes], info: FilmInfo) -> Iterator[Codes]:
    """Yield the codes of each frame; a last one that is not whole is left out, ffmpeg's end tells why."""
    size = info.layout.frame_bytes(info.width, info.height)
    with stream:
        while True:
            data = stream.read(size)
            if len(data) < size:
                return
            yield info.layout.unpack(data, info.width, info.height)


def _checked(path: str, info: FilmInfo, times: List[float], end: int) -> Tuple[str, ...]:
    """Return remarks about the frames' times; raise where the film ends before its head says."""
    usual = float(1 / info.rate)
    length = times[-1] - times[0] + usual if times else 0.0
    if info.length_s and length + EARLY_END_S < info.length_s and not info.sound:
        raise FrameUnreadable(
            f"the film {path} says that it lasts {info.length_s:.2f} s, but ends after {length:.2f} s.",
            fix="Copy or export it again.", frame=end,
        )  # fmt: skip
    steps = np.diff(times)
    if steps.size and float(np.abs(steps - usual).max()) > UNEVEN * usual:
        return (
            f"its frames are not evenly spaced in time; a film of the results has {float(info.rate):.3f} per second",
        )
    return ()


def _write(path: str, codes: Codes, info: FilmInfo, mtime_ns: int) -> None:
    dtype = np.float16 if info.layout.depth <= HALF_DEPTH else np.float32
    channels = {
        name: np.ascontiguousarray(codes[..., i], dtype) for i, name in enumerate("RGBA"[: codes.shape[-1]])
    }
    rate: Fraction = info.rate
    attributes: Dict[str, exr.Attribute] = {
        "framesPerSecond": exr.Attribute.of("rational", (rate.numerator, rate.denominator))
    }
    header = exr.PartHeader.make(
        (0, 0, info.width, info.height),
        compression="zip",
        pixel_aspect=info.pixel_aspect,
        attributes=attributes,
    )
    try:
        write_whole(path, exr.write(exr.make_frame(header, channels)))
        os.utime(path, ns=(mtime_ns, mtime_ns))
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", fix="Check the folder and its free space."
        ) from error
