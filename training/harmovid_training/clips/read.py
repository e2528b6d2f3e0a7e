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
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterator

import cv2
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
from harmovid.errors import FrameError, FrameMissing, FrameUnreadable, InputError
from harmovid.frames import FramePattern
from harmovid.pixels import exr
from harmovid.pixels.colour.spaces import REC709, Primaries, space_of
from harmovid.pixels.colour.srgb import srgb_decode
from harmovid.sequences import find

Float32 = npt.NDArray[np.float32]

STILLS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


@dataclass(frozen=True)
class Source:
    """Where a clip's frames are.

    Attributes:
        path: a folder of EXRs or pictures, a pattern such as `fg.####.exr`, or a video file.
        colorspace: OpenColorIO name for EXRs whose values are not linear light; empty for linear ones and for display
            pictures.
        matte: whether it is a mask: one channel, no colour.
    """

    path: Path
    colorspace: str = ""
    matte: bool = False


def frame_files(path: Path) -> list[Path]:
    """Return a sequence's frames in order, see `numbered_files`."""
    return list(numbered_files(path).values())


def numbered_files(path: Path) -> dict[int, Path]:
    """Return the frames of a sequence by number, in order: of a folder, or of a pattern such as `fg/fg.####.exr`.

    A folder holds one sequence, or pictures without numbers, which are counted from 0 in the order of their names.

    Raises:
        InputError: no frames that can be read, more than one sequence, or a frame missing in the middle.
    """
    pattern = FramePattern.parse(str(path))
    if not path.is_dir() and path.parent.is_dir() and not pattern.is_single and (files := pattern.files()):
        return _complete(path, {number: path.with_name(name) for number, name in files.items()})
    names = _pictures(path)
    if not names:
        raise InputError(
            f"{path} is no folder of frames.",
            fix=f"Give a folder of EXR or {', '.join(STILLS)}, a pattern such as fg.####.exr, or a video file.",
        )
    sequences = find(names)
    if not sequences:
        return {number: path / name for number, name in enumerate(sorted(names))}
    if len(sequences) > 1 or len(next(iter(sequences.values()))) < len(names):
        raise InputError(
            f"{path} holds more than one sequence of frames: {', '.join(list(sequences)[:4])}.",
            fix="Move the other pictures away, or name one sequence by its pattern.",
        )
    only = FramePattern.parse(str(path / next(iter(sequences))))
    return _complete(path, {number: path / name for number, name in only.files().items()})


def _pictures(path: Path) -> list[str]:
    kinds = (".exr", *STILLS)
    entries = path.glob("[!.]*") if path.is_dir() else ()
    return [one.name for one in entries if one.suffix.lower() in kinds]


def _complete(path: Path, files: dict[int, Path]) -> dict[int, Path]:
    """Return the files in the order of their numbers.

    Raises:
        InputError: a frame is missing in the middle; every second frame, or every tenth, is complete.
    """
    numbers = sorted(files)
    step = min((after - before for before, after in zip(numbers, numbers[1:])), default=1)
    for before, after in zip(numbers, numbers[1:]):
        if after - before != step:
            raise InputError(
                f"frame {before + step} of {path} is missing.", fix="Render it, or cut the clip before it."
            )
    return {number: files[number] for number in numbers}


def count_frames(source: Source) -> int:
    """Return how many frames a source has; a video is decoded once to count them, as its header may be wrong.

    Raises:
        FrameUnreadable: the video cannot be decoded.
        InputError: see `numbered_files`.
    """
    if not is_video(source.path):
        return len(frame_files(source.path))
    if not source.path.is_file():
        raise InputError(f"there is no video {source.path}.")
    try:
        return int(imageio_ffmpeg.count_frames_and_secs(str(source.path))[0])
    except RuntimeError as error:
        raise FrameUnreadable(f"{source.path} cannot be decoded: {str(error).strip()[-200:]}") from error


def is_video(path: Path) -> bool:
    """Return whether a name is that of a video file."""
    return path.suffix.lower() in VIDEOS


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
    made = [
        frame if size is None else covering(frame, size) for frame in _frames(source, first, count, primaries)
    ]
    if len(made) < count:
        raise FrameMissing(f"{source.path} has no frame {first + len(made)}.", frame=first + len(made))
    return np.stack(made)


def frame_blocks(
    source: Source, count: int, block: int, size: tuple[int, int] | None = None
) -> Iterator[Float32]:
    """Yield the first `count` frames as `read_frames` gives them, at most `block` at a time; a video is decoded once.

    Raises:
        FrameMissing, FrameError: see `read_frames`.
    """
    frames = _frames(source, 0, count, REC709)
    for first in range(0, count, block):
        made = list(islice(frames, min(block, count - first)))
        if len(made) < min(block, count - first):
            raise FrameMissing(f"{source.path} has no frame {first + len(made)}.", frame=first + len(made))
        yield np.stack([frame if size is None else covering(frame, size) for frame in made])


def _frames(source: Source, first: int, count: int, primaries: Primaries) -> Iterator[Float32]:
    if is_video(source.path):
        yield from (_still(frame, source) for frame in _video(source.path, first, count))
    else:
        files = frame_files(source.path)[first : first + count]
        yield from (_read(path, source, primaries) for path in files)


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
    try:
        frame = exr.read(path)
        return exr.with_data_window(frame, frame.headers.main_header.display_window)
    except FrameError as error:
        raise type(error)(f"{path}: {error.message}", fix=error.fix) from error


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
        "-frames:v", str(count), "-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-",
    ]  # fmt: skip
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=told) as running,
    ):
        pipe: Any = running.stdout
        try:
            while pipe.readline():  # P6
                width, height = map(int, pipe.readline().split())
                pipe.readline()  # the largest value, 255
                pixels = np.frombuffer(pipe.read(width * height * 3), np.uint8)
                if len(pixels) == width * height * 3:
                    yield pixels.reshape(height, width, 3)
            failed = running.wait()
        finally:
            running.kill()  # where the caller wants no more frames
        if failed:
            told.seek(0)
            raise FrameUnreadable(
                f"{path} cannot be decoded: {told.read().decode(errors='replace').strip()[-200:]}"
            )
