"""The wipe: before and after in one video, divided by a moving line, as MP4 or else as GIF."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np
from harmovid.storage import atomic
from harmovid.storage.atomic import replacing
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from harmovid_demo.compare import Comparison
from harmovid_demo.view import Bytes

FRAMES_PER_SECOND = 24
TIMES = 2  # how often each clip is played
ENCODING = ["-crf", "18", "-preset", "fast", "-movflags", "+faststart"]  # libx264, visually lossless
GIF_WIDTH, GIF_STEP = 480, 2  # the GIF is a fallback: smaller, every second frame


def wipe_frames(comparison: Comparison) -> Iterator[Bytes]:
    """Yield pictures `(h, w, 3)` 8 bit with even sides: right of the line is before, left of it after.

    The line swings once over while the clip plays `TIMES` times.
    """
    before, after = comparison.versions[0], comparison.versions[1]
    total = len(before.pictures) * TIMES
    for k in range(total):
        old, new = before.pictures[k % len(before.pictures)], after.pictures[k % len(after.pictures)]
        height, width = old.shape[0] // 2 * 2, old.shape[1] // 2 * 2
        at = round(width * (0.5 - 0.42 * math.cos(2 * math.pi * k / total)))
        yield _divided(
            old[:height, :width], new[:height, :width], at, (after.label, before.label), comparison.title
        )


def _divided(old: Bytes, new: Bytes, at: int, labels: tuple[str, str], title: str) -> Bytes:
    picture = old.copy()
    picture[:, :at] = new[:, :at]
    picture[:, max(at - 1, 0) : at + 1] = 235
    image = Pictures.fromarray(picture)
    pen = ImageDraw.Draw(image)
    size = max(round(picture.shape[0] / 30), 8)
    font = ImageFont.load_default(size)
    style: dict[str, Any] = {
        "fill": (240, 240, 236),
        "stroke_width": max(size // 9, 1),
        "stroke_fill": (0, 0, 0),
    }
    foot = picture.shape[0] - size // 2
    pen.text((at - size // 2, foot), labels[0], font=font, anchor="rd", **style)
    pen.text((at + size // 2, foot), labels[1], font=font, anchor="ld", **style)
    pen.text((size // 2, size // 2), title, font=font, anchor="la", **style)
    return np.asarray(image)


def write_wipe(comparisons: Sequence[Comparison], folder: Path) -> Path:
    """Write `wipe.mp4`, or `wipe.gif` if ffmpeg is not available, and return its path.

    A film has one size: comparisons whose pictures differ from the first one's in size are left out.
    """
    size = comparisons[0].versions[0].pictures[0].shape
    frames = [f for c in comparisons if c.versions[0].pictures[0].shape == size for f in wipe_frames(c)]
    try:
        return _write_mp4(frames, folder / "wipe.mp4")
    except (ImportError, RuntimeError, OSError):  # no imageio-ffmpeg, no ffmpeg in it for this machine
        return _write_gif(frames, folder / "wipe.gif")


def _write_mp4(frames: Sequence[Bytes], path: Path) -> Path:
    with replacing(path, keep_suffix=True) as temporary:
        _encode(frames, Path(temporary))
    return path


def _encode(frames: Sequence[Bytes], path: Path) -> None:
    import imageio_ffmpeg

    height, width = frames[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=FRAMES_PER_SECOND, codec="libx264", pix_fmt_out="yuv420p",
        quality=None, macro_block_size=2, output_params=ENCODING, ffmpeg_log_level="error",
    )  # fmt: skip
    writer.send(None)
    try:
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()


def _write_gif(frames: Sequence[Bytes], path: Path) -> Path:
    height, width = frames[0].shape[:2]
    size = (min(width, GIF_WIDTH), max(round(height * min(width, GIF_WIDTH) / width), 1))
    pictures = [Pictures.fromarray(frame).resize(size) for frame in frames[::GIF_STEP]]
    encoded = io.BytesIO()
    pictures[0].save(
        encoded, format="GIF", save_all=True, append_images=pictures[1:],
        duration=round(1000 * GIF_STEP / FRAMES_PER_SECOND), loop=0,
    )  # fmt: skip
    atomic.write_whole(str(path), encoded.getbuffer())
    return path
