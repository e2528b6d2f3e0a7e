"""All versions of a clip as one video for the browser: the same frames in a grid, so they are always in sync.

    film = make_film(folder, versions, key)
    film.place(2)        # (x, y) of the third version's picture in every frame

H.264 in MP4, 4:2:0, which every browser plays. A page that draws two pictures from the same frame of the same video
always shows them in sync. The encoder is the ffmpeg of imageio-ffmpeg.
"""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Sequence, Tuple

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from harmovid.errors import OutputError
from harmovid.storage.atomic import replacing
from harmovid_training.files import save_json
from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.quality import view

Bytes = npt.NDArray[np.uint8]

FRAMES_PER_SECOND = 24
MOST_LINES = 270
"""Higher pictures are reduced, because the page contains all of them."""
BLOCK_PX = 16
"""Tiles are multiples of the codec's blocks, so that none affects its neighbour."""
QUALITY = ["-crf", "15", "-preset", "medium", "-g", "12", "-movflags", "+faststart"]
LAST_WORDS = 200
"""Characters of ffmpeg's output that are shown."""
COLOUR = ["-vf", "scale=out_color_matrix=bt601:out_range=tv,format=yuv420p", "-colorspace", "smpte170m"]
"""The matrix of small pictures, with its tag: with it Chromium shows codes to within one (the test's bound is
three)."""


@dataclass(frozen=True)
class Film:
    """A grid of versions.

    Attributes:
        path: the MP4.
        names: of the versions, in order.
        width, height: of one picture.
        frames: their number.
        columns: of the grid.
    """

    path: Path
    names: Tuple[str, ...]
    width: int
    height: int
    frames: int
    columns: int

    @property
    def tile(self) -> Tuple[int, int]:
        """Width and height of a cell of the grid."""
        return -(-self.width // BLOCK_PX) * BLOCK_PX, -(-self.height // BLOCK_PX) * BLOCK_PX

    def place(self, index: int) -> Tuple[int, int]:
        """Return the left upper corner of a version's picture."""
        return index % self.columns * self.tile[0], index // self.columns * self.tile[1]


def pictures(frames: Array) -> Bytes:
    """Return scene-linear frames `(T, H, W, 3)` as 8-bit views, at most `MOST_LINES` high."""
    height, width = frames.shape[1:3]
    if height > MOST_LINES:
        size = (max(round(width * MOST_LINES / height), 2), MOST_LINES)
        frames = np.stack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in frames])
    return np.stack([(view(each) * 255 + 0.5).astype(np.uint8) for each in frames])


def kept_film(path: Path, key: str) -> Film | None:
    """Return an earlier film, if it was made of the same versions."""
    try:
        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if told.get("key") != key or not path.is_file():
        return None
    return Film(path, tuple(told["names"]), told["width"], told["height"], told["frames"], told["columns"])


def make_film(path: Path, versions: Mapping[str, Bytes], key: str) -> Film:
    """Write the versions' pictures `(T, h, w, 3)`, all of one shape, as one film, atomically."""
    clips = list(versions.values())
    count, height, width, _ = clips[0].shape
    columns = math.ceil(math.sqrt(len(clips)))
    film = Film(path, tuple(versions), width, height, count, columns)
    encode(path, [_grid(film, [clip[t] for clip in clips]) for t in range(count)])
    told = {
        "key": key, "names": list(film.names), "width": width, "height": height, "frames": count, "columns": columns,
    }  # fmt: skip
    save_json(path.with_suffix(".json"), told)
    return film


def _grid(film: Film, tiles: Sequence[Bytes]) -> Bytes:
    """Return one frame of all versions; each tile is padded by repeating its edge."""
    across, down = film.tile
    rows = -(-len(tiles) // film.columns)
    canvas = np.zeros((rows * down, film.columns * across, 3), np.uint8)
    for index, tile in enumerate(tiles):
        x, y = film.place(index)
        wide = np.pad(tile, ((0, down - film.height), (0, across - film.width), (0, 0)), mode="edge")
        canvas[y : y + down, x : x + across] = wide
    return canvas


def encode(path: Path, frames: Sequence[Bytes]) -> None:
    """Write frames `(h, w, 3)` with even sides as MP4, atomically.

    Raises:
        OutputError: ffmpeg has failed, most often because the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, keep_suffix=True) as part:
        _encoded(Path(part), frames)


def _encoded(path: Path, frames: Sequence[Bytes]) -> None:
    # Not imageio_ffmpeg.write_frames: it does not report ffmpeg's exit code, so an incomplete film would be accepted.
    height, width = frames[0].shape[:2]
    words = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{width}x{height}", "-r", str(FRAMES_PER_SECOND), "-i", "-", "-an", "-c:v", "libx264",
        "-pix_fmt", "yuv420p", *COLOUR, *QUALITY, str(path),
    ]  # fmt: skip
    pixels = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    done = subprocess.run(words, input=pixels, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-LAST_WORDS:]
        raise OutputError(
            f"no film can be written to {path.parent}: {said}", fix="Name another --out, or free space."
        )


def even(clip: Bytes) -> List[Bytes]:
    """Return frames with even sides: a last odd row or column is repeated."""
    down, right = (side % 2 for side in clip.shape[1:3])
    return list(np.pad(clip, ((0, 0), (0, down), (0, right), (0, 0)), mode="edge"))
