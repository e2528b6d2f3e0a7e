"""Clips to evaluate on: footage with masks from a folder, films, and a synthetic clip for use without footage.

    for folder in clip_folders(root):
        clip = load_clip(folder, lines=240, count=40)     # clip.frames, clip.masks

Footage is display-referred, eight bits a channel, and linearised by the inverse sRGB curve (IEC 61966-2-1). That is not
any camera's response, but degradation and truth come from the same linear values, so the comparison is fair.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, List, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid_training.metrics.degrade import Array

from harmovid_evaluate.ffmpeg import ffmpeg_program

Bytes = npt.NDArray[np.uint8]

STILLS = (".jpg", ".jpeg", ".png")
VIDEOS = (".mp4", ".mov", ".mkv")
ALPHA_VIDEO = ".webm"
ALPHA_START_S = 20.0
"""First second that is read of a clip with an alpha plane, because keyed footage starts with an empty stage."""


@dataclass(frozen=True)
class Clip:
    """A clip in scene-linear light.

    Attributes:
        name: the folder's or file's.
        frames: `(T, H, W, 3)` float32, Rec. 709 primaries.
        masks: `(T, H, W)` float32 in 0..1, the foreground; None where there is none.
        cut_out: whether there is no background, so that only tests of the foreground make sense.
    """

    name: str
    frames: Array
    masks: Optional[Array] = None
    cut_out: bool = False

    def part(self, first: int, last: int) -> Clip:
        """Return the frames from index `first` to `last`, `last` excluded."""
        masks = None if self.masks is None else self.masks[first:last]
        return replace(self, frames=self.frames[first:last], masks=masks)


def clip_folders(root: Path) -> List[Path]:
    """Return the folders under `root` that hold a clip, sorted by name."""
    return sorted(path for path in root.iterdir() if path.is_dir() and _kind(path) is not None)


def load_clip(folder: Path, lines: int, count: int) -> Clip:
    """Return the first `count` frames of a clip, `lines` high.

    Args:
        folder: holds `frames/` and `masks/` with stills that sort by name, or one WebM video with an alpha plane.

    Raises:
        FileNotFoundError: it holds neither.
        ValueError: a still cannot be read, or there are not as many masks as frames.
    """
    kind = _kind(folder)
    if kind == "stills":
        frames = load_stills(folder / "frames", lines, count)
        masks = _masks(folder / "masks", lines, count) if (folder / "masks").is_dir() else None
        if masks is not None and len(masks) != len(frames):
            raise ValueError(
                f"{folder} has {len(frames)} frames and {len(masks)} masks; they must be as many."
            )
        return Clip(folder.name, frames, masks)
    if kind == "alpha":
        frames, masks = _alpha_video(next(folder.glob(f"*{ALPHA_VIDEO}")), lines, count)
        return Clip(folder.name, frames, masks, cut_out=True)
    raise FileNotFoundError(f"{folder} holds no clip: neither frames/ nor a {ALPHA_VIDEO} video.")


def load_film(path: Path, lines: int, count: int) -> Clip:
    """Return the first `count` frames of a film: a video, or a folder with stills or with `frames/`.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be read.
    """
    if path.is_file():
        return Clip(path.stem, _video(path, lines, count))
    if (path / "frames").is_dir():
        return Clip(path.name, load_stills(path / "frames", lines, count))
    videos = [each for each in sorted(path.iterdir()) if each.suffix.lower() in VIDEOS]
    if videos:
        return Clip(path.name, _video(videos[0], lines, count))
    return Clip(path.name, load_stills(path, lines, count))


def film_paths(root: Path) -> List[Path]:
    """Return the films under `root`, sorted by name: video files, and folders that hold a film."""
    found = []
    for path in sorted(root.iterdir()):
        is_video = path.is_file() and path.suffix.lower() in VIDEOS
        has_video = path.is_dir() and any(each.suffix.lower() in VIDEOS for each in path.iterdir())
        if is_video or has_video or (path / "frames").is_dir():
            found.append(path)
    return found


def synthetic_clip(count: int = 24, lines: int = 96, name: str = "synthetic") -> Clip:
    """Return a synthetic clip: a camera pans over a textured wall, and a disc with a soft edge crosses it.

    The disc is the foreground. The aspect ratio is 16:9, the width rounded to even.
    """
    width = int(lines * 16 / 9) // 2 * 2
    rng = np.random.default_rng(4)
    wall = _wall(rng, lines, width + 2 * count)
    body = _wall(rng, lines, width)
    rows, columns = np.mgrid[0:lines, 0:width].astype(np.float32)
    frames = np.empty((count, lines, width, 3), np.float32)
    masks = np.empty((count, lines, width), np.float32)
    for t in range(count):
        x, y = width * (0.3 + 0.4 * t / max(count - 1, 1)), lines * (0.5 + 0.1 * np.sin(t / 5))
        distance = np.hypot(columns - x, rows - y)
        masks[t] = np.clip((0.28 * lines - distance) / 2 + 0.5, 0, 1)
        # The disc's own texture moves with it.
        moved = np.roll(body, (round(float(y)), round(float(x))), (0, 1)) * np.array(
            (1.3, 0.9, 0.7), np.float32
        )
        frames[t] = wall[:, 2 * t : 2 * t + width] * (1 - masks[t, ..., None]) + moved * masks[t, ..., None]
    return Clip(name, frames, masks)


def _wall(rng: np.random.Generator, height: int, width: int) -> Array:
    """Return textured light from about 0.01 to 2: two sizes of blotches, tinted."""
    stops = np.zeros((height, width, 3), np.float32)
    for size, strength in ((9.0, 36.0), (2.0, 5.0)):
        noise = rng.normal(0, 1, (height, width, 3)).astype(np.float32)
        noise = 0.7 * noise.mean(-1, keepdims=True) + 0.3 * noise
        stops += cv2.GaussianBlur(noise, (0, 0), size) * np.float32(strength)
    wall: Array = (0.18 * np.exp2(np.clip(stops, -4, 3.5))).astype(np.float32)
    return wall


def load_stills(folder: Path, lines: int, count: int) -> Array:
    """Return the first `count` stills of a folder as `(T, H, W, 3)` light, `lines` high.

    Raises:
        ValueError: there are none, or one cannot be read.
    """
    return np.stack([_narrow(_light(_read(path)), lines) for path in _listed(folder, count)])


def _masks(folder: Path, lines: int, count: int) -> Array:
    binary = [(_read(path).max(-1) > 127).astype(np.float32) for path in _listed(folder, count)]
    return np.stack([_narrow(mask, lines) for mask in binary])


def _listed(folder: Path, count: int) -> List[Path]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in STILLS)[:count]
    if not paths:
        raise ValueError(f"{folder} holds no stills ({', '.join(STILLS)}).")
    return paths


def _read(path: Path) -> Bytes:
    """Return a still as `(H, W, 3)` RGB bytes."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} cannot be read as a picture.")
    return np.asarray(picture[..., ::-1], np.uint8)


def _video(path: Path, lines: int, count: int) -> Array:
    film = cv2.VideoCapture(str(path))
    frames: List[Array] = []
    try:
        while len(frames) < count:
            there, picture = film.read()
            if not there:
                break
            frames.append(_narrow(_light(picture[..., ::-1]), lines))
    finally:
        film.release()
    if not frames:
        raise ValueError(f"{path} cannot be read as a video.")
    return np.stack(frames)


def _alpha_video(path: Path, lines: int, count: int) -> Tuple[Array, Array]:
    """Return light and alpha of a WebM video; libvpx reads the alpha plane, other decoders drop it."""
    probe = cv2.VideoCapture(str(path))
    width, height = int(probe.get(cv2.CAP_PROP_FRAME_WIDTH)), int(probe.get(cv2.CAP_PROP_FRAME_HEIGHT))
    probe.release()
    command = [ffmpeg_program(), "-v", "error", "-c:v", "libvpx", "-ss", str(ALPHA_START_S), "-i", str(path)]
    command += ["-frames:v", str(count), "-pix_fmt", "rgba", "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise ValueError(f"{path} cannot be read: {done.stderr.decode(errors='replace').strip()}")
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 4)
    alpha = [picture[..., 3].astype(np.float32) / np.float32(255) for picture in pictures]
    frames = [_narrow(_light(picture[..., :3]), lines) for picture in pictures]
    return np.stack(frames), np.stack([_narrow(each, lines) for each in alpha])


def _kind(folder: Path) -> Optional[str]:
    if (folder / "frames").is_dir():
        return "stills"
    return "alpha" if any(folder.glob(f"*{ALPHA_VIDEO}")) else None


_CODES = np.arange(256) / 255
_LIGHT = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Light of each eight-bit sRGB code (IEC 61966-2-1)."""


def _light(picture: npt.NDArray[Any]) -> Array:
    light: Array = _LIGHT[picture]
    return light


def _narrow(picture: Array, lines: int) -> Array:
    height, width = picture.shape[:2]
    if height == lines:
        return picture
    size = (round(width * lines / height), lines)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
