"""Frames of EXR sequences, image folders and video files as scene-linear light, through the product's own EXR
and colour.

    frames = read_frames(source, first=0, count=17, size=(480, 720))      # (T, H, W, 3) float32, in `primaries`

EXR is read by `harmovid.pixels.exr` and taken to linear by `harmovid.pixels.colour.spaces` (chromaticities or a
named space). Display pictures and videos (read at 8 bits) are taken as sRGB and linearised by the inverse of
IEC 61966-2-1; the camera's own tone curve is unknown and stays in.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from harmovid.errors import FrameMissing, FrameUnreadable, InputError
from harmovid.pixels import exr
from harmovid.pixels.colour.spaces import REC709, Primaries, space_of
from harmovid.pixels.colour.srgb import srgb_decode

Float32 = npt.NDArray[np.float32]

STILLS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


@dataclass(frozen=True)
class Source:
    """Where a clip's frames are.

    Attributes:
        path: a folder of EXRs or pictures in the order of their names, or a video file.
        colorspace: OpenColorIO name for EXRs whose values are not linear light; empty for linear ones and for display
            pictures.
        matte: whether it is a mask: one channel, no colour.
    """

    path: Path
    colorspace: str = ""
    matte: bool = False


def frame_files(path: Path) -> list[Path]:
    """Return a folder's frames in the order of their names.

    Raises:
        InputError: no such folder, or no file in it of a kind that can be read.
    """
    kinds = (".exr", *STILLS)
    found = sorted(one for one in path.glob("*") if one.suffix.lower() in kinds) if path.is_dir() else []
    if not found:
        raise InputError(
            f"{path} is no folder of frames.", fix=f"Give EXR, {', '.join(STILLS)} or a video file."
        )
    return found


def count_frames(source: Source) -> int:
    """Return how many frames a source has; a video is decoded once to count them, as its header may be wrong."""
    if source.path.suffix.lower() in VIDEOS:
        return int(imageio_ffmpeg.count_frames_and_secs(str(source.path))[0])
    return len(frame_files(source.path))


def read_frames(
    source: Source, first: int, count: int, size: tuple[int, int] | None = None, primaries: Primaries = REC709
) -> Float32:
    """Return `count` frames from number `first` (counted from 0).

    Args:
        size: height and width of the result: frames are scaled (area filter) to cover it and cropped about the middle;
            None keeps the source's size.
        primaries: of the linear light that is returned.

    Returns:
        `(T, H, W, 3)` scene-linear float32; a matte `(T, H, W)` in 0..1.

    Raises:
        FrameMissing: the source has fewer frames.
        FrameError: a frame cannot be read; with its number.
    """
    if source.path.suffix.lower() in VIDEOS:
        made = [_still(frame, source) for frame in _video(source.path, first, count)]
    else:
        files = frame_files(source.path)[first : first + count]
        made = [_read(path, source, primaries) for path in files]
    if len(made) < count:
        raise FrameMissing(f"{source.path} has no frame {first + len(made)}.", frame=first + len(made))
    return np.stack([frame if size is None else covering(frame, size) for frame in made])


def covering(frame: Float32, size: tuple[int, int]) -> Float32:
    """Return a picture scaled to cover `(height, width)` and cropped about its middle."""
    height, width = frame.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    inner = (max(round(width * scale), size[1]), max(round(height * scale), size[0]))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = frame if inner == (width, height) else cv2.resize(frame, inner, interpolation=method)
    top, left = (inner[1] - size[0]) // 2, (inner[0] - size[1]) // 2
    return np.ascontiguousarray(scaled[top : top + size[0], left : left + size[1]])


def read_exr(path: Path) -> Float32:
    """Return an EXR's RGB channels `(H, W, 3)` as stored, or its only channel `(H, W, 1)`."""
    frame = _displayed(path)
    names = frame.headers.main_header.channels
    if len(names) == 1:
        return exr.channel_plane(frame, next(iter(names)))[..., None]
    return exr.layer_rgb(frame)[1]


def write_exr(path: Path, frame: Float32, half: bool = False) -> None:
    """Write `(H, W, 3)` as R, G, B or `(H, W, 1)` as Y, float32 or half float."""
    names = "Y" if frame.shape[-1] == 1 else "RGB"
    planes: dict[str, npt.NDArray[Any]] = {
        name: np.ascontiguousarray(frame[..., i], np.float32) for i, name in enumerate(names)
    }
    if half:
        planes = {name: exr.to_half(plane)[0] for name, plane in planes.items()}
    header = exr.PartHeader.make((0, 0, frame.shape[1], frame.shape[0]))
    exr.write(exr.make_frame(header, planes), path)


def save_role(folder: Path, make: Callable[[], Float32]) -> Path:
    """Write a clip `(T, H, W, C)` as a folder of half-float EXRs unless that is there; return the folder.

    The folder appears only once it is complete.
    """
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for index, frame in enumerate(make()):
        write_exr(part / f"{index:05d}.exr", frame, half=True)
    part.replace(folder)
    return folder


def _read(path: Path, source: Source, primaries: Primaries) -> Float32:
    if path.suffix.lower() != ".exr":
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise FrameUnreadable(f"{path} cannot be decoded.", fix="Write it again or leave it out.")
        return _still(picture, source, bgr=True)
    frame = _displayed(path)
    if source.matte:
        plane, _ = exr.matte_plane(frame, exr.find_matte(frame.headers))
        return np.clip(np.nan_to_num(plane.astype(np.float32)), 0, 1)
    _, stored = exr.layer_rgb(frame)
    space = space_of(source.colorspace, frame.chromaticities)
    linear = space.to_linear(stored, primaries)
    return np.nan_to_num(linear, nan=0.0, posinf=exr.HALF_MAX, neginf=-exr.HALF_MAX).astype(np.float32)


def _displayed(path: Path) -> exr.ExrFrame:
    frame = exr.read(path)
    return exr.with_data_window(frame, frame.headers.main_header.display_window)


def _still(picture: npt.NDArray[Any], source: Source, bgr: bool = False) -> Float32:
    scale = np.float32(1 / np.iinfo(picture.dtype).max) if picture.dtype.kind == "u" else np.float32(1)
    values = picture.astype(np.float32) * scale
    if source.matte:
        plane = (
            values
            if values.ndim == 2
            else (values[..., 3] if values.shape[2] == 4 else values[..., :3].max(-1))
        )
        return np.clip(plane, 0, 1).astype(np.float32)
    colours = np.repeat(values[..., None], 3, -1) if values.ndim == 2 else values[..., :3]
    return np.asarray(srgb_decode(colours[..., ::-1] if bgr else colours), np.float32)


def _video(path: Path, first: int, count: int) -> Iterator[npt.NDArray[np.uint8]]:
    # Frames are chosen by number while decoding: seeking by time is off by one in some containers. PPM states its size.
    words = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path),
        "-vf", f"select=between(n\\,{first}\\,{first + count - 1})", "-fps_mode", "passthrough",
        "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-",
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        raise FrameUnreadable(
            f"{path} cannot be decoded: {done.stderr.decode(errors='replace').strip()[-200:]}"
        )
    data, place = done.stdout, 0
    while place < len(data):
        _, size, _, _ = data[place : place + 64].split(b"\n", 3)
        width, height = map(int, size.split())
        place += len(b"P6\n") + len(size) + len(b"\n255\n")
        pixels = np.frombuffer(data, np.uint8, width * height * 3, place)
        place += pixels.nbytes
        yield pixels.reshape(height, width, 3)
