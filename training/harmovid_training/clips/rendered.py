"""Rendered clips with exact ground truth: objects, and figures that walk and gesture, lit by pairs of panoramas.

    harmovid train rendered MATERIAL --out rendered --clips 100 --frames 49 --size 480x720

MATERIAL holds `hdri/` and `models/` (docs/data.md). Every clip is one performance seen in two lights, as EXR folders
(scene-linear) and one line of `clips.jsonl`, which stages 2 and 3 read as it is:

    real        the subject in its own light A, before its own plate
    plate       that plate without it
    background  the new plate
    target      the exact answer: the same performance in the new plate's light B (`steady` names the same folder)
    synthetic   what a per-frame harmonizer would give: light B with a new random error in every frame
    mask        the exact coverage, a soft matte (`alpha` names the same folder)

Diffuse light is exact to second order of spherical harmonics (`data.relight.irradiance`). **Left out**: cast shadows,
indirect light between surfaces or onto the plate, gloss, facial motion, moving cloth and hair, motion blur, depth of
field, grain and every other camera artefact; the only motion in the plate is the camera's pan.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from harmovid.errors import HarmoVidError, InputError
from harmovid.pixels.colour.srgb import srgb_decode
from tqdm import tqdm

from harmovid_training.clips.index import Clip, make_clip, write_index
from harmovid_training.clips.read import Source, write_exr
from harmovid_training.data import figures
from harmovid_training.data.cache import held_out
from harmovid_training.data.meshes import Mesh, read_glb, read_obj
from harmovid_training.data.panorama import LIGHT_COLUMNS, light, read_panorama, view
from harmovid_training.data.pose import Motion, posed_together
from harmovid_training.data.relight import SKINS, irradiance
from harmovid_training.words import size_of

Float32 = npt.NDArray[np.float32]
Rng = np.random.Generator

SAMPLES = 2
"""Samples of a pixel along one side, for antialiased edges."""

PLATE_LEVEL = 0.14
"""Geometric mean to which plates are exposed: slightly below mid grey, as in footage."""

FIELD_OF_VIEW = 1.1
"""Horizontal angle of the camera, in radians."""

FLICKER_TURN, FLICKER_STOPS, FLICKER_TINT = 0.35, 0.35, 0.12
"""Deviations of a misjudged light: turn in radians, level and colour in stops; those of the toy's stand-in."""

BRIGHTEST = 64.0

ROLES = ("real", "plate", "background", "target", "synthetic", "mask")


@dataclass(frozen=True)
class Actor:
    """A subject: its meshes with their materials (`figures.materials`), and whether it is a person."""

    meshes: tuple[tuple[Mesh, int], ...]
    person: bool


@dataclass(frozen=True)
class Setting:
    """A panorama as a camera sees it: `gain` brings it to `PLATE_LEVEL`, the pan goes from `yaw` by `pan` radians."""

    panorama: Float32
    gain: float
    yaw: float
    pan: float

    @classmethod
    def draw(cls, path: Path, rng: Rng, size: tuple[int, int]) -> Setting:
        """Return a random camera in a panorama."""
        return cls.facing(read_panorama(path), rng.uniform(0, 2 * np.pi), rng.uniform(-0.2, 0.2), size)

    @classmethod
    def facing(cls, panorama: Float32, yaw: float, pan: float, size: tuple[int, int]) -> Setting:
        """Return a camera that looks towards `yaw` first, exposed for what it sees there."""
        seen = view(panorama, yaw, 0.0, FIELD_OF_VIEW, size[0] // 4, size[1] // 4).mean(-1)
        level = float(np.exp(np.log(np.maximum(seen, 1e-4)).mean()))
        return cls(panorama, PLATE_LEVEL / level, yaw, pan)

    def plate(self, share: float, size: tuple[int, int]) -> Float32:
        """Return the plate `(h, w, 3)` at a share of the way."""
        seen = view(self.panorama, self.yaw + self.pan * share, 0.0, FIELD_OF_VIEW, *size)
        return np.minimum(seen * np.float32(self.gain), np.float32(BRIGHTEST))

    def light(self, share: float, turn: float = 0.0) -> Float32:
        """Return the light around the camera `(rows, LIGHT_COLUMNS, 3)`, rotated by `turn` radians."""
        around = light(self.panorama) * np.float32(self.gain)
        steps = (self.yaw + self.pan * share + turn) / (2 * np.pi) * LIGHT_COLUMNS
        whole, part = int(np.floor(steps)), np.float32(steps - np.floor(steps))
        # Interpolated between columns, so that a slow pan does not jump.
        turned = np.roll(around, -whole, axis=1) * (1 - part) + np.roll(around, -whole - 1, axis=1) * part
        return np.asarray(turned, np.float32)


class Performance:
    """How an actor turns, moves and is coloured over a clip; all of it is drawn from `rng`."""

    def __init__(self, actor: Actor, rng: Rng) -> None:
        self._actor = actor
        self._turn = rng.normal(0, 0.7), rng.uniform(0.1, 0.5), rng.uniform(0, 6.3)
        self._tilt = rng.normal(0, 0.08) if actor.person else rng.normal(0.2, 0.2)
        self._path = rng.uniform(-0.2, 0.2), rng.uniform(-0.15, 0.15), rng.uniform(-0.05, 0.1)
        self._tall = rng.uniform(0.9, 1.8) if actor.person else rng.uniform(0.45, 0.8)
        self._palette = _palette(rng)
        self._stripes = rng.uniform(10, 40, 2) * (rng.random(2) < 0.4), rng.uniform(0, 0.7)
        self._whole = np.concatenate([mesh.points for mesh, _ in actor.meshes])
        self._motion = Motion.draw(rng) if actor.person else None

    def surfaces(self, share: float, size: tuple[int, int]) -> tuple[Float32, Float32, Float32]:
        """Return albedo times openness `(h, w, 3)`, unit normals `(h, w, 3)` and coverage `(h, w)` at all samples."""
        rows, columns = size
        low, high = self._whole.min(0), self._whole.max(0)
        start, swing, phase = self._turn
        camera = figures.rotation(start + swing * np.sin(2 * share + phase), self._tilt)
        scale = self._tall * rows / (high[1] - low[1])
        # People close to the camera stand with their feet below the frame.
        middle = (low + high) / 2
        across = columns * (0.5 + self._path[0] + self._path[1] * share)
        down = rows * (0.5 + self._path[2] + max(self._tall - 1, 0) / 2)
        depth = np.full((rows, columns), np.inf, np.float32)
        normals, place = np.zeros((2, rows, columns, 3), np.float32)
        which = np.full((rows, columns), -1, np.int32)
        shapes = [(mesh.points, mesh.normals) for mesh, _ in self._actor.meshes]
        if self._motion is not None:
            shapes = posed_together(shapes, self._motion.at(share))
        for index, ((mesh, _), (points, bent)) in enumerate(zip(self._actor.meshes, shapes)):
            seen = (points - middle) @ camera.T.astype(np.float32) * np.float32(scale)
            screen = np.stack([seen[:, 0] + across, down - seen[:, 1], seen[:, 2]], 1).astype(np.float32)
            screen[:, 2] -= (
                0.006 * index * rows
            )  # clothes and hair lie on the skin: a little nearer to the camera
            extra = mesh.points if mesh.uv is None else np.concatenate([mesh.uv, mesh.uv[:, :1]], 1)
            turned = (bent @ camera.T).astype(np.float32)
            figures.rasterise(
                screen, mesh.triangles, turned, extra.astype(np.float32), index, depth, normals, place, which
            )
        normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
        normals *= np.where(normals[..., 2:] > 0, -1, 1)
        albedo = self._painted(which, place, low, high) * figures.openness(depth)[..., None]
        return albedo.astype(np.float32), normals, (which >= 0).astype(np.float32)

    def _painted(self, which: npt.NDArray[np.int32], place: Float32, low: Float32, high: Float32) -> Float32:
        part, colour = figures.materials(list(self._actor.meshes), which, place, self._whole)
        albedo = self._palette[part]
        waves, depth = self._stripes
        spot = (place[..., :2] - low[:2]) / np.maximum(high[:2] - low[:2], 1e-6)
        cloth = (part >= figures.TOP) & (part <= figures.BOTTOM)
        albedo = albedo * (1 - depth * (cloth & (np.sin(spot * waves).prod(-1) > 0)))[..., None]
        textured = srgb_decode(colour / np.float32(255)).astype(np.float32)
        painted = (part == figures.PAINTED)[..., None]
        return np.where(painted, textured, albedo).clip(0.01, 0.95).astype(np.float32)


def _palette(rng: Rng) -> Float32:
    """Return reflectances by part: skin between the tones of `SKINS`, hair, and three cloths."""
    palette = np.zeros((figures.PAINTED + 1, 3), np.float32)
    tone = rng.uniform(0, len(SKINS) - 1.001)
    low, share = int(tone), tone % 1
    palette[figures.SKIN] = SKINS[low] * (1 - share) + SKINS[low + 1] * share
    palette[figures.HAIR] = rng.uniform(0.01, 0.3) * np.array([1.0, 0.72, 0.5])
    for cloth in (figures.TOP, figures.BOTTOM, figures.SHOES):
        palette[cloth] = rng.uniform(0.15, 0.9) ** 2 * (1 - rng.random() ** 2 * rng.uniform(0.05, 0.95, 3))
    return palette


def read_actors(folder: Path) -> list[Actor]:
    """Return the figures and objects of a folder of models.

    Raises:
        InputError: none there.
    """
    people = [
        Actor(
            tuple(
                (read_obj(folder / "makehuman" / name), kind)
                for name, kind in zip(names, (-1, figures.TOP, figures.HAIR))
                if name
            ),
            True,
        )
        for names in figures.FIGURES
        if (folder / "makehuman" / names[0]).is_file()
    ]
    found = (read_glb(path) for path in sorted((folder / "gltf").glob("*.glb")))
    objects = [Actor(tuple((mesh, figures.PAINTED) for mesh in meshes), False) for meshes in found if meshes]
    if not people and not objects:
        raise InputError(
            f"{folder} has no makehuman or gltf models.", fix="docs/data.md lists what belongs there."
        )
    return people + objects


def render(
    performance: Performance, here: Setting, there: Setting, frames: int, size: tuple[int, int], rng: Rng
) -> Iterator[dict[str, Float32]]:
    """Yield the frames of one clip, each with all `ROLES`: `(h, w, 3)` linear, the mask `(h, w, 1)`."""
    fine = (size[0] * SAMPLES, size[1] * SAMPLES)
    for index in range(frames):
        share = index / max(frames - 1, 1)
        surfaces = performance.surfaces(share, fine)
        own, new = here.plate(share, size), there.plate(share, size)
        gain = np.exp2(rng.normal(0, FLICKER_STOPS) + rng.normal(0, FLICKER_TINT, 3)).astype(np.float32)
        misjudged = there.light(share, rng.normal(0, FLICKER_TURN)) * gain
        yield {
            "real": _lit(surfaces, here.light(share), own), "plate": own, "background": new,
            "target": _lit(surfaces, there.light(share), new), "synthetic": _lit(surfaces, misjudged, new),
            "mask": _pooled(surfaces[2][..., None]),
        }  # fmt: skip


def _lit(surfaces: tuple[Float32, Float32, Float32], around: Float32, plate: Float32) -> Float32:
    """Return the surfaces (see `Performance.surfaces`) in a light, over a plate."""
    albedo, normals, covered = surfaces
    seen = irradiance(torch.from_numpy(around)[None], torch.from_numpy(normals.transpose(2, 0, 1))[None])
    shown = np.minimum(albedo * seen[0].permute(1, 2, 0).numpy(), np.float32(BRIGHTEST))
    return _pooled(shown * covered[..., None]) + plate * (1 - _pooled(covered[..., None]))


def _pooled(fine: Float32) -> Float32:
    rows, columns, channels = fine.shape
    cells = fine.reshape(rows // SAMPLES, SAMPLES, columns // SAMPLES, SAMPLES, channels)
    return np.ascontiguousarray(cells.mean((1, 3)), np.float32)


def write_clip(folder: Path, frames: Iterator[dict[str, Float32]], licence: str) -> Clip:
    """Write a clip's roles as EXR folders unless they are complete already; return its entry of the index."""
    if not folder.is_dir():
        part = folder.with_name(f".{folder.name}.part")
        for index, frame in enumerate(frames):
            for role, picture in frame.items():
                (part / role).mkdir(parents=True, exist_ok=True)
                write_exr(part / role / f"{index:05d}.exr", picture)
        part.replace(folder)
    sources = {role: Source(folder / role, matte=role == "mask") for role in ROLES}
    return make_clip(folder.name, {**sources, "steady": sources["target"], "alpha": sources["mask"]}, licence)


def main(words: Sequence[str] | None = None) -> int:
    """Render clips and their index; return 0, or 1 where the material cannot be used."""
    parser = argparse.ArgumentParser(
        prog="rendered", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("material", type=Path, help="holds hdri/ and models/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--size", default="480x720", help="HEIGHTxWIDTH in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="use the panoramas held out for testing")
    parser.add_argument("--licence", default="rendered; licences of the models and panoramas apply")
    given = parser.parse_args(words)
    try:
        size = size_of(given.size)
        actors = read_actors(given.material / "models")
        panoramas = _panoramas(given.material / "hdri", given.held_out)
        made = []
        for number in tqdm(range(given.clips), desc="rendered clips"):
            rng = np.random.default_rng([given.seed, 23, number])
            one, other = rng.choice(len(panoramas), 2, replace=False)
            settings = [Setting.draw(panoramas[int(index)], rng, size) for index in (one, other)]
            performance = Performance(actors[int(rng.integers(len(actors)))], rng)
            frames = render(performance, settings[0], settings[1], given.frames, size, rng)
            made.append(write_clip(given.out / f"{number:05d}", frames, given.licence))
        write_index(given.out / "clips.jsonl", made)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _panoramas(folder: Path, kept_back: bool) -> list[Path]:
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".exr", ".hdr"))
    chosen = [path for path in found if held_out(path) == kept_back]
    if len(chosen) < 2:
        raise InputError(
            f"{folder} has {len(chosen)} panoramas {'kept back' if kept_back else 'to train on'}, two are needed.",
            fix="Put latitude-longitude .exr or .hdr files there; docs/data.md lists ours.",
        )
    return chosen


if __name__ == "__main__":
    raise SystemExit(main())
