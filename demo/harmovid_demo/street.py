"""Renders the plate: a wet street at dusk, far lights out of focus, seen through the shot's drifting camera.

House fronts and ground are planes in world space seen through `camera`, the ground mirrors the street above it,
everything beyond the figure is out of focus by the lens's circle of confusion, and lamps become discs. The figure's
contact shadow is part of the plate, as if a compositor had added it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from harmovid_demo import solids as s
from harmovid_demo.camera import DISTANCE, Camera
from harmovid_demo.jit import Floats, Image
from harmovid_demo.lights import STREET, rigs
from harmovid_demo.street_maps import COBBLE_TILE_M, WALL_HEIGHT_M, WALL_LENGTH_M, WALL_PX_PER_M, StreetMaps

LEFT_X, RIGHT_X, NEAR_Z = -4.2, 2.75, 4.0  # metres: house fronts, and where their maps begin
APERTURE_M = 0.115  # metres, diameter of the lens opening: very fast, for a shallow depth of field
HORIZON_M = 400.0
BLUR_RADII = (0.0, 3.0, 7.0, 14.0)  # pixels at 960 wide, between which defocus is blended
REFERENCE_WIDTH = 960
ROOF_Y = {LEFT_X: 6.6, RIGHT_X: 8.0}

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Lamp:
    """A point of light in the street: position, colour (radiance of its image in focus), and size in metres."""

    at: tuple[float, float, float]
    colour: Colour
    size_m: float = 0.10


def _lamps() -> tuple[Lamp, ...]:
    """Street lamps along the left kerb, bulbs on two wires across the street, far cars."""
    sodium, bulb = (22.0, 9.6, 2.0), (15.0, 7.2, 1.9)
    lamps = [Lamp((-2.75, 2.46, z), sodium, 0.17) for z in (-4.6, -9.5, -14.5, -20.0, -26.5, -34.0)]
    lamps += [Lamp((2.1, 2.75, z), sodium, 0.17) for z in (-17.0, -24.0, -32.0)]
    for z, sag, y in ((-6.0, 0.62, 2.95), (-11.5, 0.75, 3.55)):
        for k in range(13):
            x = LEFT_X + 0.2 + (RIGHT_X - LEFT_X - 0.4) * (k + 0.5) / 13
            middle = (x - (LEFT_X + RIGHT_X) / 2) / ((RIGHT_X - LEFT_X) / 2)
            lamps.append(Lamp((x, y - sag * (1 - middle * middle), z), bulb, 0.05))
    for x, z, colour in ((-0.95, -24.0, (30.0, 27.0, 22.0)), (-0.05, -24.0, (30.0, 27.0, 22.0)),
                         (-1.9, -33.0, (26.0, 24.0, 20.0)), (0.75, -19.0, (11.0, 0.7, 0.35)),
                         (1.55, -19.0, (11.0, 0.7, 0.35)), (0.9, -30.0, (9.0, 0.6, 0.3))):  # fmt: skip
        lamps.append(Lamp((x, 0.62, z), colour, 0.10))
    return tuple(lamps)


LAMPS = _lamps()


def _flip(mirrored: bool) -> Floats:
    return np.diag([1.0, -1.0 if mirrored else 1.0, 1.0, 1.0])


def _wall_to_image(
    camera: Camera, wall_x: float, offset: tuple[float, float], scale: float, mirrored: bool
) -> Floats:
    """Homography from a house front's map pixels to this picture's pixels."""
    plane = np.array(
        [
            [0.0, 0.0, wall_x],
            [0.0, -1.0 / WALL_PX_PER_M, WALL_HEIGHT_M],
            [-1.0 / WALL_PX_PER_M, 0.0, NEAR_Z],
            [0.0, 0.0, 1.0],
        ]
    )
    window = np.array([[scale, 0, -offset[0] * scale], [0, scale, -offset[1] * scale], [0, 0, 1.0]])
    homography: Floats = window @ camera.matrix() @ _flip(mirrored) @ plane
    return homography


def _sky(rays: Image, clouds: Image) -> Image:
    """Dusk sky along rays: afterglow low over the street, deep blue above, clouds lit from below."""
    up = np.clip(np.abs(rays[..., 1]), 0, 1).astype(np.float32)
    glow = np.exp(-up / 0.075)[..., None] * np.array([0.50, 0.23, 0.12], np.float32)
    blue = (0.25 + 0.75 * np.exp(-up / 0.55))[..., None] * np.array([0.070, 0.125, 0.26], np.float32)
    high = np.maximum(up, 0.03)
    u = ((rays[..., 0] / high * 0.055 + 0.31) % 1.0 * clouds.shape[1]).astype(np.float32)
    v = ((rays[..., 2] / high * 0.055) % 1.0 * clouds.shape[0]).astype(np.float32)
    cover: Any = cv2.remap(clouds, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    cover = (cover**1.6 * np.clip((up - 0.03) / 0.15, 0, 1))[..., None]
    lit = np.array([0.34, 0.16, 0.13], np.float32) * np.exp(-up / 0.22)[..., None] + np.float32(0.045)
    sky: Image = (glow + blue) * (1 - 0.65 * cover) + lit * cover
    return sky


def _above(
    camera: Camera, maps: StreetMaps, box: tuple[int, int, int, int], scale: float, mirrored: bool
) -> tuple[Image, Image]:
    """The street above the ground, or its mirror image: radiance `(h, w, 3)` and wall depth (0 is sky)."""
    x0, y0, x1, y1 = box
    size = (round((x1 - x0) * scale), round((y1 - y0) * scale))
    rays: Any = cv2.resize(camera.rays(box).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    if mirrored:
        rays *= np.array([1.0, -1.0, 1.0], np.float32)
    picture = _sky(rays, maps.clouds)
    depth = np.zeros(picture.shape[:2], np.float32)
    forward = camera.turn[2] * (1.0, -1.0, 1.0) if mirrored else camera.turn[2]
    eye = camera.eye * (1.0, -1.0, 1.0) if mirrored else camera.eye
    for wall_x, wall in ((LEFT_X, maps.left), (RIGHT_X, maps.right)):
        along = (wall_x - eye[0]) / np.where(np.abs(rays[..., 0]) < 1e-6, 1e-6, rays[..., 0])
        y, z = eye[1] + rays[..., 1] * along, eye[2] + rays[..., 2] * along
        seen = (along > 0) & (y > 0) & (y < ROOF_Y[wall_x]) & (z > NEAR_Z - WALL_LENGTH_M) & (z < NEAR_Z)
        matrix = _wall_to_image(camera, wall_x, (x0, y0), scale, mirrored)
        front = cv2.warpPerspective(
            wall, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        distance = (-(rays @ forward) * along).astype(np.float32)
        haze = (1 - np.exp(-np.clip(distance, 0, HORIZON_M) / 55.0))[..., None]
        front = front * (1 - haze) + np.array([0.175, 0.15, 0.20], np.float32) * haze
        picture = np.where(seen[..., None], front, picture)
        depth = np.where(seen, distance, depth)
    return picture.astype(np.float32), depth


def _blob(picture: Image, x: float, y: float, radius: tuple[float, float], colour: Floats) -> None:
    """Add one evenly lit, soft-rimmed ellipse; the rim is a little brighter, as in real lenses."""
    rx, ry = radius
    x0, x1 = max(int(x - rx - 2), 0), min(int(x + rx + 3), picture.shape[1])
    y0, y1 = max(int(y - ry - 2), 0), min(int(y + ry + 3), picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    yy, xx = np.mgrid[y0:y1, x0:x1]
    r = np.sqrt(((xx + 0.5 - x) / rx) ** 2 + ((yy + 0.5 - y) / ry) ** 2)
    soft = 1.2 / min(rx, ry)
    disc = np.clip((1 + soft / 2 - r) / soft, 0, 1) * (0.85 + 0.3 * np.clip(r, 0, 1) ** 4)
    picture[y0:y1, x0:x1] += (disc[..., None] * colour).astype(np.float32)


def _coc_px(depth: float, camera: Camera) -> float:
    """Radius of the circle of confusion in pixels at `depth` metres, focused on the figure."""
    return 0.5 * camera.focal_px * APERTURE_M * abs(1.0 / DISTANCE - 1.0 / depth)


def _add_lamps(
    picture: Image, camera: Camera, box: tuple[int, int, int, int], scale: float, mirrored: bool
) -> None:
    """Draw every lamp as a defocused disc, over which its energy is spread."""
    for lamp in LAMPS:
        at = np.array(lamp.at) * ((1.0, -1.0, 1.0) if mirrored else (1.0, 1.0, 1.0))
        x, y, z = camera.project(at[None])[0]
        radius = _coc_px(z, camera) * scale
        image = 0.5 * lamp.size_m * camera.focal_px / z * scale
        colour = np.array(lamp.colour) * min((image / radius) ** 2 * 2.2, 1.0)
        centre = ((x - box[0]) * scale, (y - box[1]) * scale)
        if mirrored:  # rough stone stretches a reflection towards the viewer
            _blob(picture, *centre, (radius * 1.1, radius * 3.2), colour * 0.42)
        else:
            _blob(picture, *centre, (max(radius, 0.8), max(radius, 0.8)), colour)


def _ground_light(x: Floats, z: Floats) -> Floats:
    """Irradiance / pi on the ground at world x, z: sky, lamps, and the shop window on the right."""
    sky = rigs()[1][STREET, 0]
    light: Floats = np.ones(x.shape)[..., None] * sky * 0.95
    for lamp in LAMPS[:9]:
        lx, ly, lz = lamp.at
        fall = ly**2 / ((x - lx) ** 2 + (z - lz) ** 2 + ly**2) ** 2 * ly**2
        light += fall[..., None] * np.array([0.55, 0.27, 0.075])
    across = np.clip(RIGHT_X - x, 0.05, None)
    inside = 0.5 * (np.arctan((0.6 - z) / across) - np.arctan((-6.4 - z) / across)) / math.pi
    window = inside / (1 + 0.30 * across**1.6)
    light += window[..., None] * np.array([0.70, 0.95, 1.18])
    return light


def _shadow(x: Floats, z: Floats, figure: Floats) -> tuple[Floats, Floats]:
    """The shares of sky and key light that the figure blocks at ground points, each `(h, w)` in 0..1."""
    key = rigs()[0][STREET, 0, :3]
    openness, lit = np.ones(x.shape), np.ones(x.shape)
    for row in figure:
        if row[s.BOUND + 3] < 0.07:
            continue
        radius = (
            float(np.mean(row[s.RADII : s.RADII + 3]))
            if row[s.KIND] == s.ELLIPSOID
            else row[s.BOUND + 3] * 0.7
        )
        dx, dy, dz = row[s.BOUND] - x, row[s.BOUND + 1], row[s.BOUND + 2] - z
        square = dx * dx + dy * dy + dz * dz
        openness *= 1 - np.clip(radius**2 * dy / square**1.5, 0, 0.9)
        along = dx * key[0] + dy * key[1] + dz * key[2]
        miss = np.sqrt(np.maximum(square - along**2, 0))
        cover = np.clip((radius + 0.30 * along - miss) / (2 * 0.30 * np.maximum(along, 0.05)), 0, 1)
        lit *= 1 - 0.8 * cover * (along > 0) * np.clip(radius**2 / (0.30 * along) ** 2, 0, 1)
    return openness, lit


def _cobbles(maps: StreetMaps, x: Floats, z: Floats, pitch_m: Floats) -> Image:
    """Sample the ground's maps `(h, w, 4)` at world x, z; `pitch_m` `(h,)` is a pixel's footprint per row."""
    level = np.clip(
        np.log2(pitch_m / (COBBLE_TILE_M / maps.cobbles[0].shape[0])), 0, len(maps.cobbles) - 1.001
    )
    out = np.zeros((*x.shape, 4), np.float32)
    for k, tile in enumerate(maps.cobbles):
        weight = np.clip(1 - np.abs(level - k), 0, 1)
        rows = np.flatnonzero(weight)
        if not len(rows):
            continue
        band = slice(rows[0], rows[-1] + 1)
        n = tile.shape[0]
        u = (x[band] / COBBLE_TILE_M % 1.0 * n - 0.5).astype(np.float32)
        v = (z[band] / COBBLE_TILE_M % 1.0 * n - 0.5).astype(np.float32)
        found = cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        out[band] += found * weight[band, None, None].astype(np.float32)
    return out


def _coarse_light(x: Image, z: Image, figure: Floats) -> Image:
    """Light `(h, w, 4)` on the ground: irradiance / pi after the figure's shadow, and openness to the sky.

    It is smooth, so it is computed at a quarter of the size.
    """
    small = (max(x.shape[1] // 4, 1), max(x.shape[0] // 4, 1))
    x4, z4 = (cv2.resize(m, small, interpolation=cv2.INTER_AREA).astype(np.float64) for m in (x, z))
    openness, lit = _shadow(x4, z4, figure)
    light = _ground_light(x4, z4) * (0.35 * openness + 0.65 * openness * lit)[..., None]
    both = np.concatenate([light, openness[..., None]], axis=-1).astype(np.float32)
    wide: Image = np.asarray(cv2.resize(both, (x.shape[1], x.shape[0])), np.float32)
    return wide


def _ground(
    camera: Camera, maps: StreetMaps, box: tuple[int, int, int, int], figure: Floats
) -> tuple[Image, Image]:
    """The wet street `(h, w, 3)` and its depth, for the rows of `box` below the horizon; rows above are 0."""
    rays = camera.rays(box).astype(np.float32)
    down = rays[..., 1] < -0.004
    along = -np.float32(camera.eye[1]) / np.where(down, rays[..., 1], np.float32(-1.0))
    eye, forward = camera.eye.astype(np.float32), camera.turn[2].astype(np.float32)
    x, z = eye[0] + rays[..., 0] * along, eye[2] + rays[..., 2] * along
    depth = np.where(down, -(rays @ forward) * along, np.float32(0))
    pitch = np.median(along / camera.focal_px / np.sqrt(np.clip(-rays[..., 1], 0.004, 1)), axis=1)
    stone = _cobbles(maps, x, z, pitch)
    albedo, slope_x, slope_z, puddle = (stone[..., k] for k in range(4))
    light = _coarse_light(x, z, figure)
    leaning = np.clip(1 - 0.9 * slope_x - 0.25 * slope_z, 0.2, 2.2)  # the window stands to the right
    diffuse = (albedo * leaning)[..., None] * light[..., :3] * np.array([1.0, 0.95, 0.90], np.float32)
    mirror, _ = _above(camera, maps, box, 0.5, mirrored=True)
    _add_lamps(mirror, camera, box, 0.5, mirrored=True)
    unit = camera.width / REFERENCE_WIDTH
    streaked = cv2.GaussianBlur(mirror, (0, 0), sigmaX=1.6 * unit, sigmaY=9.0 * unit)
    sharp = cv2.GaussianBlur(mirror, (0, 0), sigmaX=0.8 * unit, sigmaY=1.6 * unit)
    rows, cols = np.arange(x.shape[0], dtype=np.float32)[:, None], np.arange(x.shape[1], dtype=np.float32)
    near = np.clip(4.0 / np.maximum(depth, 0.5), 0, 1.6) * np.float32(34 * unit)
    u, v = cols * 0.5 + slope_x * near, rows * 0.5 + slope_z * near
    soft = cv2.remap(streaked, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    still = cv2.remap(sharp, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cosine = np.clip(-rays[..., 1] + 0.5 * slope_z, 0.02, 1)
    fresnel = 0.03 + 0.80 * (1 - cosine) ** 5
    wet = (fresnel * (0.42 + 0.58 * puddle) * (0.45 + 0.55 * light[..., 3]))[..., None]
    return diffuse + (soft + (still - soft) * puddle[..., None]) * wet, depth


def _disc(radius: float) -> Image:
    """Normalised kernel of an evenly filled circle."""
    n = math.ceil(radius + 0.5)
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    disc: Image = np.clip(radius + 0.5 - np.sqrt(x * x + y * y), 0, 1).astype(np.float32)
    even: Image = disc / disc.sum()
    return even


def _defocus(picture: Image, depth: Image, camera: Camera) -> Image:
    """Blur by depth: blends a few disc-blurred copies by the circle of confusion of every pixel."""
    unit = camera.width / REFERENCE_WIDTH
    far = np.where(depth > 0, depth, HORIZON_M)
    radius: Any = 0.5 * camera.focal_px * APERTURE_M * np.abs(1.0 / DISTANCE - 1.0 / far)
    radius = cv2.GaussianBlur(radius.astype(np.float32), (0, 0), 2.5 * unit)
    out = np.zeros_like(picture)
    size = (picture.shape[1], picture.shape[0])
    for k, at in enumerate(BLUR_RADII):
        if at * unit < 4:
            copy = cv2.filter2D(picture, -1, _disc(at * unit)) if at else picture
        else:  # wide blurs at half size, as they have no finer detail
            small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            copy = cv2.resize(
                cv2.filter2D(small, -1, _disc(at * unit / 2)), size, interpolation=cv2.INTER_LINEAR
            )
        below = BLUR_RADII[k - 1] * unit if k else -1.0
        above = BLUR_RADII[k + 1] * unit if k + 1 < len(BLUR_RADII) else 1e6
        rise, fall = (radius - below) / (at * unit - below), (above - radius) / (above - at * unit)
        out += copy * np.clip(np.minimum(rise, fall), 0, 1)[..., None]
    return out


def _glow(picture: Image) -> Image:
    """Glow around values brighter than white, as from lens and haze."""
    small = cv2.resize(np.minimum(picture, 30.0), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    bright = np.maximum(small - 0.9, 0)
    sigma = picture.shape[1] / REFERENCE_WIDTH * 4.0
    veil = 0.045 * cv2.GaussianBlur(bright, (0, 0), sigma) + 0.035 * cv2.GaussianBlur(
        bright, (0, 0), sigma * 4
    )
    wide: Image = np.asarray(cv2.resize(veil, (picture.shape[1], picture.shape[0])), np.float32)
    return wide


def render_plate(camera: Camera, maps: StreetMaps, box: tuple[int, int, int, int], figure: Floats) -> Image:
    """Return the plate's `(h, w, 3)` float32 scene-linear radiance over `box` of the display window's pixels.

    Args:
        camera: the shot's camera at this frame.
        maps: `street_maps.make_maps`.
        box: data window x0, y0, x1, y1, exclusive end; may reach beyond the display window.
        figure: the figure's solids, for its shadow.
    """
    size = (box[2] - box[0], box[3] - box[1])
    # Half size is enough for everything beyond the figure, as nothing there is in focus.
    walls, wall_depth = (
        cv2.resize(m, size, interpolation=cv2.INTER_LINEAR)
        for m in _above(camera, maps, box, 0.5, mirrored=False)
    )
    ground, ground_depth = _ground(camera, maps, box, figure)
    below = (ground_depth > 0) & ((wall_depth == 0) | (ground_depth < wall_depth))
    picture = np.where(below[..., None], ground, walls)
    depth = np.where(below, ground_depth, wall_depth)
    picture = _defocus(picture, depth, camera)
    _add_lamps(picture, camera, box, 1.0, mirrored=False)
    return picture + _glow(picture)
