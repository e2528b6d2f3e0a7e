"""The cache of small linear pictures that training draws from, made once from a folder of photos and panoramas.

    scenes = build_scenes(folder)        # minutes: decode, cut out, look around
    save(path, scenes); scenes = load(path)

A cached picture is `HEIGHT` x `WIDTH`, scene-linear, half. Photos are display-referred: the sRGB curve is undone here,
the camera's tone curve in training, differently each time, since nobody knows which one it was.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Iterator, List, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError
from harmovid.pixels.colour.srgb import srgb_decode, srgb_encode
from tqdm import tqdm

from harmovid_training.data import mattes, panorama
from harmovid_training.data.columns import load_columns, save_columns

HEIGHT, WIDTH = 144, 192
MATTES = 5
"""Mattes kept of a picture, at most."""
VIEWS = 10
"""Views of a panorama."""
HELD_OUT = 8
"""Every so many-th scene is never trained on: it calibrates the confidence and validates."""
PHOTO_TYPES = (".jpg", ".jpeg", ".png", ".webp")
PANORAMA_TYPES = (".exr", ".hdr")
GREY = 0.18
CHUNK = 8
PHOTOS_TO_VIEWS = 3.0
"""How many photos are drawn for one view of a panorama: views are true light, but show no people."""

Half = npt.NDArray[np.float16]
Image8 = npt.NDArray[np.uint8]
_View = Tuple[Half, List[Image8], float, float]
"""A view of a panorama, its mattes, its yaw and its gain."""
_Row = Tuple[Half, List[Image8], float, bool, int, float, float]
"""A picture, its mattes, and its entries in `Scenes.weights, held, light_of, yaws, gains`."""


@dataclass
class Scenes:
    """Cached pictures.

    Attributes:
        pictures: `(n, HEIGHT, WIDTH, 3)` half, scene-linear.
        mattes: `(n, MATTES, HEIGHT, WIDTH)` uint8; the first `counts[i]` of picture i are set.
        counts: `(n,)` mattes of each picture; 0 for pictures that only serve as plates.
        weights: `(n,)` how often a picture is drawn: a folder counts as its size to the power 0.6.
        held: `(n,)` whether the picture's scene is held out of training.
        lights: `(m, 16, 32, 3)` half, small panoramas.
        light_of: `(n,)` index into `lights`, -1 for photos.
        yaws: `(n,)` radians, where the camera looked in its panorama.
        gains: `(n,)` what radiance of `lights` is multiplied by to be as bright as in the view.
    """

    pictures: Half
    mattes: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    held: npt.NDArray[np.bool_]
    lights: Half
    light_of: npt.NDArray[np.int64]
    yaws: npt.NDArray[np.float32]
    gains: npt.NDArray[np.float32]


def build_scenes(folder: Path, seed: int = 1, workers: int = 1) -> Scenes:
    """Return the cache of `folder/photos` and `folder/hdri`; `InputError` where there is nothing to read.

    `workers` processes share the work; the result does not depend on how many.
    """
    photos = sorted(p for p in (folder / "photos").rglob("*") if p.suffix.lower() in PHOTO_TYPES)
    panoramas = sorted(p for p in (folder / "hdri").rglob("*") if p.suffix.lower() in PANORAMA_TYPES)
    if not photos or not panoramas:
        raise InputError(
            f"{folder} has no photos or no panoramas.", fix="docs/data.md lists what belongs there."
        )
    rows: List[_Row] = []
    names = [p.parent.name for p in photos]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        cropped = pool.map(partial(_photo, seed=seed), photos, chunksize=CHUNK)
        looked = pool.map(partial(_panorama, seed=seed), panoramas, chunksize=1)
        for path, crops in zip(photos, tqdm(cropped, desc="photos", unit="photo", total=len(photos))):
            weight = names.count(path.parent.name) ** -0.4
            rows += [(*crop, weight, held_out(path), -1, 0.0, 1.0) for crop in crops]
        share = sum(row[2] for row in rows) / (PHOTOS_TO_VIEWS * VIEWS * len(panoramas))
        lights = []
        bar = tqdm(looked, desc="panoramas", unit="panorama", total=len(panoramas))
        for index, (path, (lit, level, views)) in enumerate(zip(panoramas, bar)):
            lights.append(lit)
            rows += [(*row[:2], share, held_out(path), index, row[2], row[3] / level) for row in views]
    return _stacked(rows, lights)


def _panorama(path: Path, seed: int) -> Tuple[npt.NDArray[np.float32], float, List[_View]]:
    """Return a panorama's small light, the gain that levelled it, and views of it."""
    whole = panorama.read_panorama(path)
    lit, level = _levelled(panorama.light(whole))
    return lit, level, list(_views(whole, path, seed))


def held_out(path: Path) -> bool:
    """Whether a scene is held out: decided by its file name, so adding scenes moves no other one."""
    return zlib.crc32(path.name.encode()) % HELD_OUT == 0


def save(path: Path, scenes: Scenes) -> None:
    """Write `scenes` as one `.npz` file, under a temporary name first."""
    save_columns(path, scenes)


def load(path: Path) -> Scenes:
    """Return the scenes in `path`; `InputError` where they are not there."""
    return load_columns(path, Scenes)


def _photo(path: Path, seed: int) -> List[Tuple[Half, List[Image8]]]:
    """Return the 4:3 crops of a photo with their mattes: one of a wide photo, upper and lower one of a tall one."""
    read = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if read is None:
        raise InputError(f"{path} cannot be read.", fix="Fetch it again; see docs/data.md.")
    image = cv2.cvtColor(read, cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
    tall = height * WIDTH > width * HEIGHT * 1.2
    crop_h, crop_w = min(height, width * HEIGHT // WIDTH), min(width, height * WIDTH // HEIGHT)
    crops = []
    for y in (0, (height - crop_h) // 2) if tall else ((height - crop_h) // 2,):
        x = (width - crop_w) // 2
        crop = image[y : y + crop_h, x : x + crop_w]
        small = np.asarray(cv2.resize(crop, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
        found = [mattes.person(small, box) for box in mattes.heads(small)[:2]]
        crops.append((srgb_decode(small / 255.0).astype(np.float16), _with_things(small, found, rng)))
    return crops


def _with_things(small: Image8, found: List[Image8], rng: np.random.Generator) -> List[Image8]:
    found = [*found, mattes.thing(small, rng, central=True), mattes.thing(small, rng, central=False)]
    found += [mattes.region(small, rng) for _ in range(2)]
    return [matte for matte in found if mattes.usable(matte)][:MATTES]


def _views(whole: npt.NDArray[np.float32], path: Path, seed: int) -> Iterator[_View]:
    """Yield views of a panorama, exposed so that their middle is grey, mattes of things, their yaw and their gain."""
    rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
    for turn in range(VIEWS):
        yaw = float((turn + rng.uniform(0, 1)) / VIEWS * 2 * np.pi)
        fov = np.radians(rng.uniform(40, 85))
        seen = panorama.view(whole, yaw, np.radians(rng.normal(-3, 8)), fov, HEIGHT, WIDTH)
        levelled, gain = _levelled(seen)
        shown = (srgb_encode(np.clip(levelled, 0, 1)) * 255).astype(np.uint8)
        found = [
            mattes.thing(shown, rng, central=False),
            mattes.region(shown, rng),
            mattes.region(shown, rng),
        ]
        yield levelled.astype(np.float16), [m for m in found if mattes.usable(m)], yaw, gain


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
        held=np.array([row[3] for row in rows]),
        lights=np.stack(lights).astype(np.float16),
        light_of=np.array([row[4] for row in rows]),
        yaws=np.array([row[5] for row in rows], np.float32),
        gains=np.array([row[6] for row in rows], np.float32),
    )
