"""The cache of small linear pictures that training draws from, made once from a folder of photos and panoramas.

    scenes = build_scenes(folder)        # takes minutes: decodes photos, makes mattes, renders views of panoramas
    save(path, scenes); scenes = load(path)

A cached picture is `HEIGHT` x `WIDTH`, scene-linear, half float. Photos are display-referred: the sRGB curve is
inverted here; the camera's tone curve is unknown, so training inverts another random one each time (`looks.undo_tone`).

A photo's subject mask lies beside it: `NAME.mask.png` was drawn by people, `NAME.automask.png` predicted. Photos
without one are cut out by `mattes`.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_decode, srgb_encode
from tqdm import tqdm

from harmovid_training.data import mattes, panorama
from harmovid_training.data.columns import load_columns, save_columns

HEIGHT, WIDTH = 216, 288
MATTE_SIZE = (192, 144)
"""Width and height at which pictures without a mask are cut out; their mattes are enlarged afterwards."""
MATTES = 4
"""Mattes kept of a picture, at most."""
MASKS = (".mask.png", ".automask.png")
"""Endings of subject masks beside a photo, the better kind first."""
VIEWS = 10
"""Views of a panorama."""
HELD_OUT = 8
"""One scene in this many is held out from training."""
TRAIN, CHOOSE, TEST = range(3)
"""Uses of a scene: training; validation and calibration of the confidence; published figures only. Half of the held
out scenes are for each of the last two."""
FOLDER_SHARES = {"people-congress": 0.2, "people-frll": 0.2}
"""Studio portraits are drawn less often, because their plates show little of the light."""
PHOTO_TYPES = (".jpg", ".jpeg", ".png", ".webp")
PANORAMA_TYPES = (".exr", ".hdr")
GREY = 0.18
CHUNK = 8
PHOTOS_TO_VIEWS = 3.0
"""Photos drawn for each view of a panorama; views have exact light, but show no people."""

Half = npt.NDArray[np.float16]
Image8 = npt.NDArray[np.uint8]
_View = Tuple[Half, List[Image8], float, float]
"""A view of a panorama, its mattes, its yaw and its gain."""
_Row = Tuple[Half, List[Image8], float, int, int, float, float]
"""A picture, its mattes, and its entries in `Scenes.weights, use, light_of, yaws, gains`."""


@dataclass
class Scenes:
    """Cached pictures.

    Attributes:
        pictures: `(n, HEIGHT, WIDTH, 3)` half, scene-linear.
        mattes: `(n, MATTES, HEIGHT, WIDTH)` uint8; the first `counts[i]` of picture i are set.
        counts: `(n,)` mattes of each picture; 0 for pictures that only serve as plates.
        weights: `(n,)` how often a picture is drawn: a folder counts as its size to the power 0.6.
        use: `(n,)` what the picture's scene is for: TRAIN, CHOOSE or TEST.
        lights: `(m, 16, 32, 3)` half, small panoramas.
        light_of: `(n,)` index into `lights`, -1 for photos.
        yaws: `(n,)` radians, where the camera looked in its panorama.
        gains: `(n,)` factor that brings the radiance of `lights` to the view's exposure.
    """

    pictures: Half
    mattes: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    use: npt.NDArray[np.int64]
    lights: Half
    light_of: npt.NDArray[np.int64]
    yaws: npt.NDArray[np.float32]
    gains: npt.NDArray[np.float32]


def pictures_in(folder: Path) -> Tuple[List[Path], List[Path]]:
    """Return the photos and the panoramas of `folder`; `InputError` where either are missing."""
    photos = sorted(
        p for p in (folder / "photos").rglob("*")
        if p.suffix.lower() in PHOTO_TYPES and not p.name.endswith(MASKS)
    )  # fmt: skip
    panoramas = sorted(p for p in (folder / "hdri").rglob("*") if p.suffix.lower() in PANORAMA_TYPES)
    if not photos or not panoramas:
        raise InputError(
            f"{folder} has no photos or no panoramas.", fix="docs/data.md lists what belongs there."
        )
    return photos, panoramas


def build_scenes(folder: Path, seed: int = 1, workers: int = 1) -> Scenes:
    """Return the cache of `folder/photos` and `folder/hdri`, made by `workers` processes.

    The result does not depend on the number of processes.

    Raises:
        InputError: there is nothing to read.
    """
    photos, panoramas = pictures_in(folder)
    rows: List[_Row] = []
    names = [p.parent.name for p in photos]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        cropped = pool.map(partial(_photo, seed=seed), photos, chunksize=CHUNK)
        looked = pool.map(partial(_panorama, seed=seed), panoramas, chunksize=1)
        for path, crops in zip(photos, tqdm(cropped, desc="photos", unit="photo", total=len(photos))):
            folder_share = FOLDER_SHARES.get(path.parent.name, 1.0)
            weight = folder_share * names.count(path.parent.name) ** -0.4 / len(crops)
            rows += [(*crop, weight, use_of(path), -1, 0.0, 1.0) for crop in crops]
        share = sum(row[2] for row in rows) / (PHOTOS_TO_VIEWS * VIEWS * len(panoramas))
        lights = []
        bar = tqdm(looked, desc="panoramas", unit="panorama", total=len(panoramas))
        for index, (path, (lit, level, views)) in enumerate(zip(panoramas, bar)):
            lights.append(lit)
            rows += [(*row[:2], share, use_of(path), index, row[2], row[3] / level) for row in views]
    return _stacked(rows, lights)


def _panorama(path: Path, seed: int) -> Tuple[npt.NDArray[np.float32], float, List[_View]]:
    """Return a panorama's small light, the gain that levelled it, and views of it."""
    whole = panorama.read_panorama(path)
    lit, level = _levelled(panorama.light(whole))
    return lit, level, list(_views(whole, path, seed))


def use_of(path: Path) -> int:
    """Return what a scene is for. Its file name decides, so adding scenes does not change the use of the others."""
    group, rest = divmod(zlib.crc32(path.name.encode()), HELD_OUT)
    return TRAIN if rest else (CHOOSE, TEST)[group % 2]


def held_out(path: Path) -> bool:
    """Whether a scene is never trained on."""
    return use_of(path) != TRAIN


def save(path: Path, scenes: Scenes) -> None:
    """Write `scenes` as one `.npz` file, under a temporary name first."""
    save_columns(path, scenes)


def load(path: Path) -> Scenes:
    """Return the scenes in `path`; `InputError` where they are not there."""
    return load_columns(path, Scenes)


def _photo(path: Path, seed: int) -> List[Tuple[Half, List[Image8]]]:
    """Return the 4:3 crops of a photo with their mattes (see `_windows`)."""
    read = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if read is None:
        raise InputError(f"{path} cannot be read.", fix="Fetch it again; see docs/data.md.")
    image = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    mask = _mask(path, image.shape[:2])
    rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
    crops = []
    for window in _windows(*image.shape[:2]):
        small = np.asarray(cv2.resize(image[window], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
        found = []
        if mask is not None:
            shrunk = cv2.resize(mask[window], (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            found = [np.asarray(shrunk, np.uint8)]
        if not any(mattes.usable(matte) for matte in found):
            found = _people_and_things(small, rng)
        found += _enlarged([mattes.region(_shrunk(small), rng)])
        crops.append((srgb_decode(small / 255.0).astype(np.float16), _usable(found)))
    return crops


def _mask(path: Path, size: Tuple[int, int]) -> Optional[Image8]:
    """Return the subject mask beside a photo of `size` (rows, columns), or None."""
    for ending in MASKS:
        place = path.with_suffix(ending)
        if place.is_file():
            read = cv2.imread(str(place), cv2.IMREAD_GRAYSCALE)
            if read is None:
                raise InputError(f"{place} cannot be read.", fix="Fetch it again; see docs/data.md.")
            return np.asarray(cv2.resize(read, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    return None


def _windows(height: int, width: int) -> List[Tuple[slice, slice]]:
    """Return the parts of a photo that become pictures: one of a wide photo, upper and middle one of a tall one."""
    tall = height * WIDTH > width * HEIGHT * 1.2
    crop_h, crop_w = min(height, width * HEIGHT // WIDTH), min(width, height * WIDTH // HEIGHT)
    x, middle = (width - crop_w) // 2, (height - crop_h) // 2
    return [(slice(y, y + crop_h), slice(x, x + crop_w)) for y in ((0, middle) if tall else (middle,))]


def _people_and_things(picture: Image8, rng: np.random.Generator) -> List[Image8]:
    """Return mattes of what can be cut out of a picture without a mask: people first, then things."""
    small = _shrunk(picture)
    found = [mattes.person(small, box) for box in mattes.heads(small)[:1]]
    found += [mattes.thing(small, rng, central=True), mattes.thing(small, rng, central=False)]
    return _enlarged(found)


def _shrunk(picture: Image8) -> Image8:
    return np.asarray(cv2.resize(picture, MATTE_SIZE, interpolation=cv2.INTER_AREA), np.uint8)


def _enlarged(found: List[Image8]) -> List[Image8]:
    return [
        np.asarray(cv2.resize(one, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), np.uint8)
        for one in found
    ]


def _usable(found: List[Image8]) -> List[Image8]:
    return [matte for matte in found if mattes.usable(matte)][:MATTES]


def _views(whole: npt.NDArray[np.float32], path: Path, seed: int) -> Iterator[_View]:
    """Yield views of a panorama, exposed so that their middle is grey, mattes of things, their yaw and their gain."""
    rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
    for turn in range(VIEWS):
        yaw = float((turn + rng.uniform(0, 1)) / VIEWS * 2 * np.pi)
        fov = np.radians(rng.uniform(40, 85))
        seen = panorama.view(whole, yaw, np.radians(rng.normal(-3, 8)), fov, HEIGHT, WIDTH)
        levelled, gain = _levelled(seen)
        shown = _shrunk((srgb_encode(np.clip(levelled, 0, 1)) * 255).astype(np.uint8))
        found = _enlarged([mattes.thing(shown, rng, central=False), mattes.region(shown, rng)])
        yield levelled.astype(np.float16), _usable(found), yaw, gain


def _levelled(linear: npt.NDArray[np.float32]) -> Tuple[npt.NDArray[np.float32], float]:
    """Return a picture exposed so that its mean log luminance is a little below grey, and the gain that did it."""
    logs = np.log2(np.maximum(linear.mean(axis=-1), 1e-6))
    gain = GREY * 0.7 / 2.0 ** float(np.clip(logs, np.median(logs) - 4, np.median(logs) + 4).mean())
    return np.minimum(linear * np.float32(gain), panorama.BRIGHTEST), gain


def _stacked(rows: List[_Row], lights: List[npt.NDArray[np.float32]]) -> Scenes:
    stack = np.zeros((len(rows), MATTES, HEIGHT, WIDTH), np.uint8)
    for index, row in enumerate(rows):
        for slot, matte in enumerate(row[1]):
            stack[index, slot] = matte
    return Scenes(
        pictures=np.stack([row[0] for row in rows]),
        mattes=stack,
        counts=np.array([len(row[1]) for row in rows]),
        weights=np.array([row[2] for row in rows]),
        use=np.array([row[3] for row in rows]),
        lights=np.stack(lights).astype(np.float16),
        light_of=np.array([row[4] for row in rows]),
        yaws=np.array([row[5] for row in rows], np.float32),
        gains=np.array([row[6] for row in rows], np.float32),
    )
