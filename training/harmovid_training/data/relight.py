"""Rendered pairs for relighting: a subject in the light it was shot in, and the same subject in the plate's light.

Diffuse light is exact to second order (Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance
Environment Maps", SIGGRAPH 2001), specular light is read from a blurred panorama, and creases are darkened by
screen-space openness. There are no cast shadows and no indirect light. It is fast enough to render each training sample
on the fly.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import numpy.typing as npt
import torch
from harmovid.pixels.colour.srgb import srgb_decode
from torch import Tensor
from torch.nn import functional as fn

from harmovid_training.data.cache import Scenes
from harmovid_training.data.figures import BOTTOM, COLUMNS, HAIR, PAINTED, ROWS, SHOES, SKIN, TOP, Subjects
from harmovid_training.data.panorama import LIGHT_COLUMNS, light_directions

SAME_LIGHT = 0.12
"""Share of clips whose subject is already in the right light."""
SKINS = np.array(
    [[0.62, 0.41, 0.32], [0.47, 0.28, 0.20], [0.31, 0.17, 0.11], [0.12, 0.066, 0.045]], np.float32
)
"""Reflectance of skin from fair to dark, roughly; colours between them are drawn."""
NORMAL_REFLECTANCE = 0.04
"""Of skin, cloth and plastic, seen straight on (Fresnel, index of refraction 1.5)."""
EXPOSED = 0.126
"""Mean level to which a foreground's own camera exposed it: that of views (`cache._levelled`), over 1."""
GREY_CARD = 0.18
BRIGHTEST = 64.0
COSINE = (np.pi, 2 * np.pi / 3, np.pi / 4)
"""Weight of each order of spherical harmonics for a diffuse surface (the paper's equation 8)."""


KEY_SPREAD = 0.8
"""Standard deviation, in stops, of a subject's light from its plate's exposure. In views drawn evenly it is 1.8:
a camera crew would have changed the subject's place, the lamp or the stop."""
FACING = ((0.0, 0.0, -1.0), (0.6, 0.2, -0.77), (-0.6, 0.2, -0.77), (0.0, 0.8, -0.6))
"""Normals, roughly unit, of the sides of a subject that a camera sees."""


def view_odds(scenes: Scenes, views: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return `(n,)` the probability of drawing each of `views` (indices in `scenes`) as a plate, sum 1.

    Views in which a subject would be far too bright or too dark are drawn rarely (`subject_key`).
    """
    lights = (
        scenes.lights[scenes.light_of[views]].astype(np.float32) * scenes.gains[views][:, None, None, None]
    )
    key = subject_key(_rolled(lights, scenes.yaws[views])).numpy().astype(np.float64)
    odds = np.exp(-0.5 * (key / KEY_SPREAD) ** 2) + 1e-6
    return np.asarray(odds / odds.sum(), np.float64)


def subject_key(lights: Tensor) -> Tensor:
    """Return `(n,)` by how many stops a grey card on the subject is brighter than the level that plates are exposed to.

    Args:
        lights: `(n, 16, 32, 3)` radiance around cameras whose plates have the exposure of `cache`'s views.
    """
    normals = torch.tensor(FACING).T.reshape(1, 3, 2, 2).expand(len(lights), 3, 2, 2)
    lit = irradiance(lights, normals).mean((1, 2, 3)).clamp_min(1e-6)
    return torch.log2(GREY_CARD * lit / EXPOSED)


def render_pairs(
    scenes: Scenes,
    subjects: Subjects,
    rows: npt.NDArray[np.int64],
    lights: npt.NDArray[np.int64],
    rng: np.random.Generator,
    size: Tuple[int, int],
    frames: int = 1,
) -> Tuple[Tensor, Tensor, Tensor]:
    """Return composite, truth `(n * frames, 3, h, w)` linear and coverage `(n * frames, 1, h, w)`.

    A clip's subject moves from frame to frame; its light stays.

    Args:
        rows: `(n,)` plates, indices of views in `scenes`.
        lights: panoramas that a subject may have been shot in.
        size: `(h, w)`.
    """
    count = len(rows)
    albedo, normals, sky, covered = _placed(subjects, rng, count, size, frames)
    target = scenes.lights[scenes.light_of[rows]].astype(np.float32) * scenes.gains[rows][:, None, None, None]
    yaws = scenes.yaws[rows]
    away = scenes.lights[rng.choice(lights, count)].astype(np.float32)
    turned = rng.uniform(0, 2 * np.pi, count)
    shine = torch.from_numpy(rng.uniform(0, 1.5, (count, 1, 1, 1)) ** 2).float()
    there, here = (
        _shaded(_each(light, frames), albedo, normals, sky, _each(shine, frames))
        for light in (_rolled(target, yaws), _rolled(away, turned))
    )
    exposure = EXPOSED * np.exp2(rng.normal(0, 0.6, count)) * 2.2
    light = (here / albedo.clamp_min(0.02) * covered).sum((1, 2, 3)).reshape(-1, frames).sum(1)
    level = light / (3 * covered.sum((1, 2, 3)).reshape(-1, frames).sum(1)).clamp_min(1)
    here = here * _each(
        (torch.from_numpy(exposure).float() / level.clamp_min(1e-4))[:, None, None, None], frames
    )
    same = _each(torch.from_numpy(rng.random(count) < SAME_LIGHT)[:, None, None, None], frames)
    here = torch.where(same, there, here)
    plate = torch.from_numpy(scenes.pictures[rows].astype(np.float32)).permute(0, 3, 1, 2)
    plate = _each(fn.interpolate(plate, size, mode="area").clamp_max(BRIGHTEST), frames)
    # One random exposure for the whole shot, as a camera might have been set.
    gain = _each(torch.from_numpy(np.exp2(rng.normal(0, 0.5, count))).float()[:, None, None, None], frames)
    plate, there, here = plate * gain, there * gain, torch.where(same, there * gain, here)
    truth = plate * (1 - covered) + there.clamp_max(BRIGHTEST) * covered
    composite = plate * (1 - covered) + here.clamp_max(BRIGHTEST) * covered
    return composite, truth, covered


def _each(values: Tensor, frames: int) -> Tensor:
    """Return one row per frame from one per clip."""
    return values.repeat_interleave(frames, 0)


def irradiance(light: Tensor, normals: Tensor) -> Tensor:
    """Return irradiance over pi, the light of a diffuse surface of albedo 1, `(n, 3, h, w)`.

    Args:
        light: `(n, 16, 32, 3)` radiance around the camera. normals: `(n, 3, h, w)`, unit, the camera's axes.
    """
    directions, solid = light_directions()
    basis = _harmonics(torch.from_numpy(np.moveaxis(directions, -1, 0))[None])[0]
    coefficients = torch.einsum("nhwc,khw,hw->nkc", light, basis, torch.from_numpy(solid))
    orders = torch.tensor([COSINE[0]] + 3 * [COSINE[1]] + 5 * [COSINE[2]])
    seen = torch.einsum("nkc,nkhw->nchw", coefficients * orders[:, None] / np.pi, _harmonics(normals))
    # The second-order approximation rings: it falls below zero opposite a lamp.
    return torch.maximum(seen, 0.03 * coefficients[:, :1].mean(1)[:, :, None, None].clamp_min(0))


def _harmonics(d: Tensor) -> Tensor:
    """Return the nine real spherical harmonics of directions `(n, 3, h, w)`, `(n, 9, h, w)`."""
    x, y, z = d.unbind(1)
    return torch.stack([
        torch.full_like(x, 0.282095), 0.488603 * y, 0.488603 * z, 0.488603 * x,
        1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
    ], 1)  # fmt: skip


def _shaded(light: Tensor, albedo: Tensor, normals: Tensor, sky: Tensor, shine: Tensor) -> Tensor:
    matt = albedo * irradiance(light, normals) * sky
    facing = (-normals[:, 2:]).clamp(0, 1)
    # Reflected view direction; the camera lies far away along -z.
    mirrored = torch.cat([2 * facing * normals[:, :2], 2 * facing * normals[:, 2:] + 1], 1)
    wrapped = fn.pad(light.permute(0, 3, 1, 2), (2, 2, 0, 0), mode="circular")
    blurred = fn.avg_pool2d(fn.pad(wrapped, (0, 0, 1, 1), mode="replicate"), 3, 1)
    around = torch.atan2(mirrored[:, 0], mirrored[:, 2]) / np.pi
    down = torch.arccos(mirrored[:, 1].clamp(-1, 1)) / np.pi * 2 - 1
    places = torch.stack([around * LIGHT_COLUMNS / (LIGHT_COLUMNS + 2), down], -1)
    mirror = fn.grid_sample(blurred, places, padding_mode="border", align_corners=False).clamp_max(200.0)
    fresnel = NORMAL_REFLECTANCE + (1 - NORMAL_REFLECTANCE) * (1 - facing) ** 5 * 0.5
    return matt + mirror * fresnel * shine * sky * 0.5


def _rolled(light: npt.NDArray[np.float32], yaws: npt.NDArray[np.floating]) -> Tensor:
    """Return light maps `(n, 16, 32, 3)` rotated so that the camera looks at the middle column."""
    steps = np.round(yaws / (2 * np.pi) * LIGHT_COLUMNS).astype(int)
    return torch.from_numpy(np.stack([np.roll(one, -step, axis=1) for one, step in zip(light, steps)]))


def _placed(
    subjects: Subjects, rng: np.random.Generator, count: int, size: Tuple[int, int], frames: int
) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return albedo, normals, openness and coverage of random subjects at random places, at `size`.

    The frames of a clip lie in consecutive rows; from one to the next a subject moves and changes its distance.
    """
    chosen = rng.integers(len(subjects.part), size=count)
    part = subjects.part[chosen]
    albedo = torch.from_numpy(_painted(subjects, chosen, part, rng)).permute(0, 3, 1, 2)
    normals = torch.from_numpy(subjects.normals[chosen].astype(np.float32) / 127).permute(0, 3, 1, 2)
    sky = torch.from_numpy(subjects.sky[chosen].astype(np.float32) / 255)[:, None]
    solid = torch.from_numpy((part > 0).astype(np.float32))[:, None]
    stack = torch.cat([torch.cat([albedo, normals, sky], 1) * solid, solid], 1)
    height, width = size
    flip = np.repeat(np.where(rng.random(count) < 0.5, -1.0, 1.0), frames)
    tall = np.repeat(rng.uniform(0.5, 1.25, count), frames) * _drift(rng, 0.05, count, frames, 1.0)
    across = np.repeat(rng.uniform(-0.45, 0.45, count), frames) + _drift(rng, 0.1, count, frames, 0.0)
    down = np.repeat(rng.uniform(-0.25, 0.2, count), frames) + _drift(rng, 0.03, count, frames, 0.0)
    theta = torch.zeros(count * frames, 2, 3)
    # The subject fills `tall` of the frame's height; its pixels are square.
    theta[:, 0, 0] = torch.from_numpy(flip * (width / height) * (ROWS / COLUMNS) / tall).float()
    theta[:, 1, 1] = torch.from_numpy(1 / tall).float()
    theta[:, 0, 2] = theta[:, 0, 0].abs() * torch.from_numpy(across).float()
    theta[:, 1, 2] = theta[:, 1, 1] * torch.from_numpy(down - 0.1 * (tall > 1)).float()
    grid = fn.affine_grid(theta, [count * frames, 8, height, width], align_corners=False)
    seen = fn.grid_sample(_each(stack, frames), grid, align_corners=False)
    covered = seen[:, 7:]
    inside = seen[:, :7] / covered.clamp_min(1e-3)
    x, y, z = inside[:, 3:6].unbind(1)
    turned = torch.stack([x * torch.from_numpy(flip).float()[:, None, None], y, z], 1)
    unit = turned / turned.square().sum(1, keepdim=True).sqrt().clamp_min(1e-4)
    return inside[:, :3], unit, inside[:, 6:7], covered


def _drift(
    rng: np.random.Generator, size: float, count: int, frames: int, start: float
) -> npt.NDArray[np.float64]:
    """Return `(count * frames,)`: values from `start` on that change linearly, the step drawn with deviation `size`."""
    steps = rng.normal(0, size, (count, 1)) * np.arange(frames) if frames > 1 else np.zeros((count, 1))
    return (start + steps).ravel()


def _painted(
    subjects: Subjects, chosen: npt.NDArray[np.int64], part: npt.NDArray[np.uint8], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return reflectances `(n, ROWS, COLUMNS, 3)`: skin, hair, cloth with stripes, checks or nothing, textures."""
    count = len(chosen)
    palette = np.zeros((count, PAINTED + 1, 3), np.float32)
    tone = rng.uniform(0, len(SKINS) - 1.001, count)
    low = tone.astype(int)
    share = (tone - low)[:, None]
    palette[:, SKIN] = (SKINS[low] * (1 - share) + SKINS[low + 1] * share) * np.exp(
        rng.normal(0, 0.08, (count, 3))
    )
    dark = rng.uniform(0.012, 0.4, (count, 1)) ** 1.5 * 2
    # From grey over brown to red.
    palette[:, HAIR] = dark * np.array([1.0, 0.72, 0.5]) ** rng.uniform(0.0, 1.8, (count, 1))
    for cloth in (TOP, BOTTOM, SHOES):
        level = rng.uniform(0.15, 0.9, (count, 1)) ** 2
        vivid = rng.uniform(0, 1, (count, 1)) ** 2
        palette[:, cloth] = level * (1 - vivid + vivid * rng.uniform(0.05, 1.2, (count, 3)))
    albedo = palette[np.arange(count)[:, None, None], part]
    place = subjects.pattern[chosen].astype(np.float32) / 255
    waves = rng.uniform(8, 60, (count, 1, 1, 2)) * (rng.random((count, 1, 1, 2)) < 0.4)
    depth = rng.uniform(0, 0.8, (count, 1, 1)) * (rng.random((count, 1, 1)) < 0.5)
    stripes = (np.sin(place * waves).prod(axis=-1) > 0) * depth
    cloth_here = (part >= TOP) & (part <= BOTTOM)
    albedo = albedo * (1 - stripes * cloth_here)[..., None]
    painted = part == PAINTED
    colours = srgb_decode(subjects.colour[chosen] / 255.0).astype(np.float32)
    albedo = np.where(painted[..., None], colours, albedo)
    grain = np.exp(0.12 * rng.standard_normal((*albedo.shape[:3], 1)))
    return np.clip(albedo * grain, 0.01, 0.95).astype(np.float32)
