"""The demo shot as EXR sequences: what it holds, where the files are, and how they are made.

    files = generate(Path("out/demo/shot"), Shot())
    files.pattern("fg")        # .../fg.####.exr

| sequence | holds |
|---|---|
| fg | the figure under light A: premultiplied RGBA, Z, N.x/y/z, id; the data window follows it |
| plate | the street under light B with the figure's shadow; data window larger than the format |
| comp | fg over plate, as it is |
| truth_fg | the figure under light B: the same matte and AOVs, the relit truth |
| truth_comp | truth_fg over plate: also the clean truth of the flicker |
| flicker | truth_comp with flicker |
| light_a, light_b | one file each: the panorama of either light |

All channels are half float except Z (float) and id (uint); Rec.709 primaries, timecode, an attribute for the content.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Callable, Mapping

import cv2
import numpy as np
from harmovid.errors import InputError
from harmovid.pixels import exr
from harmovid.storage import atomic

from harmovid_demo import camera, fur, street
from harmovid_demo.creature import pose
from harmovid_demo.figure import Box, Figure, render
from harmovid_demo.flicker import flicker_at
from harmovid_demo.fur import Coat
from harmovid_demo.grain import add_grain, noise_field
from harmovid_demo.jit import Image
from harmovid_demo.panoramas import panoramas
from harmovid_demo.street_maps import StreetMaps, make_maps

SEQUENCES = ("fg", "plate", "comp", "truth_fg", "truth_comp", "flicker")
LIGHTS = ("light_a", "light_b")
MANIFEST = "shot.json"
GENERATOR = (
    "camera", "creature", "figure", "flicker", "fur", "grain", "lights", "panoramas", "shading", "shot",
    "solids", "street", "street_maps",
)  # fmt: skip
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)  # Rec. ITU-R BT.709, D65
OVERSCAN = 30  # the plate reaches beyond the format by one thirtieth of it on each side
WORKERS = 2
SMALLEST_WIDTH = 64  # pixels; below, the figure is a few pixels of hair
FIGURE_GRAIN, PLATE_GRAIN, COAT_SEED, STREET_SEED, FLICKER_SEED = range(5)


@dataclass(frozen=True)
class Shot:
    """What is rendered: the display window in pixels, the frame range, and the seed of everything random.

    Raises:
        InputError: smaller than `SMALLEST_WIDTH`, or no frames.
    """

    width: int = 960
    height: int = 540
    first: int = 1001
    count: int = 32
    seed: int = 7

    def __post_init__(self) -> None:
        if self.width < SMALLEST_WIDTH or self.height < SMALLEST_WIDTH // 2 or self.count < 1:
            raise InputError(
                f"a shot of {self.count} frames of {self.width}x{self.height} cannot be rendered.",
                fix=f"Ask for at least 1 frame, {SMALLEST_WIDTH} pixels wide.",
            )

    @property
    def frames(self) -> range:
        """The frame numbers."""
        return range(self.first, self.first + self.count)

    @property
    def plate_box(self) -> Box:
        """The plate's data window: the format and its overscan."""
        dx, dy = self.width // OVERSCAN, self.height // OVERSCAN
        return -dx, -dy, self.width + dx, self.height + dy

    def seconds(self, frame: int) -> float:
        """Time of a frame's shutter opening, in seconds after the first frame's."""
        return (frame - self.first) / camera.FRAMES_PER_SECOND


@dataclass(frozen=True)
class ShotFiles:
    """A rendered shot on disk."""

    folder: Path
    shot: Shot

    def pattern(self, sequence: str) -> str:
        """Return the sequence's file pattern as the command line takes it."""
        return str(self.folder / f"{sequence}.####.exr")

    def path(self, sequence: str, frame: int) -> Path:
        """Return one frame's file."""
        return self.folder / f"{sequence}.{frame:04d}.exr"

    def light(self, name: str) -> Path:
        """Return the panorama of a light, one of `LIGHTS`."""
        return self.folder / f"{name}.exr"


def generator_version() -> str:
    """Return a short digest of the code that makes the shot, so that shots of older code are rendered again."""
    digest = hashlib.sha256()
    for name in GENERATOR:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def _timecode(frame: int) -> tuple[int, int]:
    """Return the EXR timecode (time and flags, user data) of a frame at 24 a second, binary coded decimal."""
    rate = int(camera.FRAMES_PER_SECOND)
    seconds, rest = divmod(frame, rate)
    parts = (rest, seconds % 60, seconds // 60 % 60, seconds // 3600 % 24)
    packed = 0
    for k, value in enumerate(parts):
        packed |= (value // 10 << 4 | value % 10) << 8 * k
    return packed, 0


def _frame(shot: Shot, frame: int, box: Box, channels: Mapping[str, exr.Pixels], label: str) -> exr.ExrFrame:
    attributes = {
        "chromaticities": exr.Attribute.of("chromaticities", REC709),
        "timeCode": exr.Attribute.of("timecode", _timecode(frame)),
        "framesPerSecond": exr.Attribute.of("rational", (int(camera.FRAMES_PER_SECOND), 1)),
        "harmovid/demo": exr.Attribute.of("string", label),
    }
    # Grain compresses better with piz, mattes and ids with zip; real shows mix both.
    packing = "zip" if "A" in channels else "piz"
    header = exr.PartHeader.make(box, (0, 0, shot.width, shot.height), packing, attributes=attributes)
    return exr.make_frame(header, channels)


def _rgb(picture: Image) -> dict[str, exr.Pixels]:
    return {name: exr.to_half(np.ascontiguousarray(picture[..., c]))[0] for c, name in enumerate("RGB")}


def _figure_channels(figure: Figure, colour: Image) -> dict[str, exr.Pixels]:
    """The figure's channels: colour, matte, depth, normals, ids."""
    channels = _rgb(colour)
    channels["A"] = exr.to_half(figure.alpha)[0]
    channels["Z"] = figure.depth
    for c, axis in enumerate("xyz"):
        channels[f"N.{axis}"] = figure.normals[..., c].astype(np.float16)
    channels["id"] = figure.ids
    return channels


def _over(figure: Figure, colour: Image, plate: Image, plate_box: Box) -> Image:
    """Premultiplied figure over plate, in the plate's data window."""
    x, y = figure.box[0] - plate_box[0], figure.box[1] - plate_box[1]
    out = plate.copy()
    patch = out[y : y + colour.shape[0], x : x + colour.shape[1]]
    patch *= 1.0 - figure.alpha[..., None]
    patch += colour
    return out


def _halved(picture: Image) -> Image:
    """Return a picture rounded to half: the comps are made of the values that a reader will find."""
    return picture.astype(np.float16).astype(np.float32)


def render_frame(shot: Shot, frame: int, coat: Coat, maps: StreetMaps) -> dict[str, exr.ExrFrame]:
    """Render one frame of every sequence."""
    index, seconds = frame - shot.first, shot.seconds(frame)
    figure = render(coat, seconds, shot.width, shot.height)
    figure = replace(figure, alpha=_halved(figure.alpha))
    height, width = figure.alpha.shape
    noise = noise_field(height, width, shot.seed, FIGURE_GRAIN, index)
    stage, relit = (_halved(add_grain(beauty, noise, figure.alpha)) for beauty in figure.beauty)
    box = shot.plate_box
    lens = camera.camera_at(seconds, shot.width, shot.height)
    plate = street.render_plate(lens, maps, box, pose(seconds))
    plate = _halved(add_grain(plate, noise_field(*plate.shape[:2], shot.seed, PLATE_GRAIN, index)))
    clean = _halved(_over(figure, relit, plate, box))
    flicker = flicker_at(index, shot.seed + FLICKER_SEED)
    gain = np.exp2(flicker.stops(clean, (shot.width, shot.height), box[:2]))
    pictures = {
        "plate": (plate, "the street under light B"),
        "comp": (_over(figure, stage, plate, box), "the figure under light A over the street"),
        "truth_comp": (clean, "the figure under light B over the street"),
        "flicker": (clean * gain, "truth_comp with flicker"),
    }
    frames = {name: _frame(shot, frame, box, _rgb(rgb), label) for name, (rgb, label) in pictures.items()}
    for name, colour, label in (("fg", stage, "light A"), ("truth_fg", relit, "light B")):
        frames[name] = _frame(
            shot, frame, figure.box, _figure_channels(figure, colour), f"the figure under {label}"
        )
    return frames


def _made(folder: Path, manifest: Mapping[str, object], files: ShotFiles) -> bool:
    """Whether this same shot exists there completely."""
    try:
        there = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    paths = [files.path(name, frame) for name in SEQUENCES for frame in files.shot.frames]
    return there == manifest and all(path.exists() for path in (*paths, *map(files.light, LIGHTS)))


def generate(
    folder: Path, shot: Shot, progress: Callable[[int, int], None] = lambda done, total: None
) -> ShotFiles:
    """Render the shot into `folder` unless it exists there; two threads render, as the kernels release the GIL.

    Args:
        folder: made when missing; files of the same names are replaced.
        shot: what to render.
        progress: called with (frames done, frames) after every frame; not called for an existing shot.

    Raises:
        OutputError: a file cannot be written.
    """
    files = ShotFiles(folder, shot)
    manifest = {"generator": generator_version(), **asdict(shot)}
    if _made(folder, manifest, files):
        return files
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, picture in zip(LIGHTS, panoramas()):
        height, width = picture.shape[:2]
        header = exr.PartHeader.make((0, 0, width, height), (0, 0, width, height), "zip")
        exr.write(exr.make_frame(header, _rgb(picture)), files.light(name))
    coat = fur.make_coat(pose(0.0), shot.width, shot.seed + COAT_SEED)
    maps = make_maps(shot.seed + STREET_SEED)

    def work(frame: int) -> None:
        for name, picture in render_frame(shot, frame, coat, maps).items():
            exr.write(picture, files.path(name, frame))

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # frames are rendered in parallel already
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            for done, _ in enumerate(pool.map(work, shot.frames), start=1):
                progress(done, shot.count)
    finally:
        cv2.setNumThreads(threads)
    _write_manifest(folder, manifest)
    return files


def _write_manifest(folder: Path, manifest: Mapping[str, object]) -> None:
    atomic.write_whole(str(folder / MANIFEST), json.dumps(manifest).encode())
