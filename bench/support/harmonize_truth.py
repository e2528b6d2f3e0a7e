"""Rendered test clips for harmonizing: a subject lit by one place over a plate of another, and the rendered truth.

Views are chosen in which a subject could be shot: a grey card on it is at most `KEY_LIMIT` stops from the plate's
exposure (in others a camera crew would change position, lamp or stop, and the light could not be guessed). Panoramas
are those held out from training (`harmovid_training.data.cache.held_out`; most of them were used to fit the
confidence). The subjects' meshes were used in training, but get new random colours. `harmovid_training.clips.rendered`
lists what the renderer leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Mapping, Sequence, Tuple

import numpy as np
import torch
from harmovid_evaluate.clips import Clip
from harmovid_training.clips.rendered import Performance, Setting, read_actors, render
from harmovid_training.data.cache import PANORAMA_TYPES, held_out
from harmovid_training.data.panorama import read_panorama
from harmovid_training.data.relight import subject_key
from harmovid_training.metrics.degrade import Array

LIGHTS = 3
"""Panoramas per performance; each pair of them is a clip: K lights give K(K-1)."""
SEED = 31
KEY_LIMIT, TRIES = 1.0, 16
"""Limit in stops, and number of directions tried before the best of them is taken."""


@dataclass(frozen=True)
class Relit:
    """A clip whose `frames` are the truth, with the composite `(T, H, W, 3)` and the optional layers of an artist.

    `light`: for each frame panoramas of the plate's light and of the subject's original light, and the subject's
    normals. `source`: the view of the first place behind the subject, `(T, H, W, 3)`.
    """

    clip: Clip
    composite: Array
    light: Mapping[str, Sequence[Array]]
    source: Array


def relit_clips(material: Path, count: int, frames: int, lines: int) -> Iterator[Relit]:
    """Yield `count` clips of 4:3, `lines` high; `material` holds `hdri/` and `models/` (docs/data.md)."""
    actors = read_actors(material / "models")
    panoramas = sorted(
        path for path in (material / "hdri").iterdir()
        if path.suffix.lower() in PANORAMA_TYPES and held_out(path)
    )  # fmt: skip
    size = (lines, lines * 4 // 3)
    pairs = [(i, j) for i in range(LIGHTS) for j in range(LIGHTS) if i != j]
    for number in range(count):
        performance, pair = number % len(actors), pairs[number // len(actors) % len(pairs)]
        # The performance is the same under both lights.
        rng = np.random.default_rng([SEED, performance, number // (len(actors) * len(pairs))])
        lights = [
            _setting(panoramas[int(i)], rng, size) for i in rng.choice(len(panoramas), LIGHTS, replace=False)
        ]
        shown = Performance(actors[performance], rng)
        here, there = lights[pair[0]], lights[pair[1]]
        made = list(render(shown, here, there, frames, size, rng))
        yield _relit(f"rendered-{number:03d}", made, _known(shown, here, there, frames, size))


def _known(
    shown: Performance, here: Setting, there: Setting, frames: int, size: Tuple[int, int]
) -> Mapping[str, Sequence[Array]]:
    """Return the renderer's light of a clip as layers of the engine."""
    shares = [index / max(frames - 1, 1) for index in range(frames)]
    # The renderer's camera looks along +z; normal passes point towards the camera.
    normals = [shown.surfaces(share, size)[1] * np.float32([1, 1, -1]) for share in shares]
    return {
        "light_to": [there.light(share) for share in shares], "light_from": [here.light(share) for share in shares],
        "normals": normals,
    }  # fmt: skip


def _setting(path: Path, rng: np.random.Generator, size: Tuple[int, int]) -> Setting:
    """Return a camera in a panorama, in a direction in which a subject could be shot."""
    panorama, pan = read_panorama(path), rng.uniform(-0.2, 0.2)
    found: List[Tuple[float, Setting]] = []
    for yaw in rng.uniform(0, 2 * np.pi, TRIES):
        setting = Setting.facing(panorama, yaw, pan, size)
        found.append((abs(float(subject_key(torch.from_numpy(setting.light(0.5)[None]))[0])), setting))
        if found[-1][0] <= KEY_LIMIT:
            break
    return min(found, key=lambda one: one[0])[1]


def _relit(name: str, frames: List[dict[str, Array]], light: Mapping[str, Sequence[Array]]) -> Relit:
    real, plate, background, target, mask = (
        np.stack([frame[role] for frame in frames])
        for role in ("real", "plate", "background", "target", "mask")
    )
    # The subject alone, premultiplied, over the new plate.
    composite = np.maximum(real - plate * (1 - mask), 0) + background * (1 - mask)
    return Relit(Clip(name, target, mask[..., 0]), composite.astype(np.float32), light, plate)
