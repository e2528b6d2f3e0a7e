"""Kernels that texture and light the figure's solid parts, under both light rigs at once.

A light rig is a table `(lights, LIGHT_COLUMNS)` plus ambient colours `(3, 3)` for sky, horizon and ground;
both rigs of the shot are stacked along the first axis, so one pass over the geometry shades the figure under
light A and light B with the same samples. All colours are scene-linear with Rec.709 primaries.

A painted point is six numbers: albedo (3), reflectance at normal incidence, gloss in 0..1, bump height in
metres.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np

from harmovid_demo.jit import Floats, Image, Ints, kernel
from harmovid_demo.solids import CONE, EYE, HORN, KIND, MATERIAL, METAL, MOUTH, NAIL, NOSE, SKIN, WOOL

BUMP_STEP = 0.0012  # metres
SCATTER_WRAP = (
    0.42,
    0.20,
    0.12,
)  # how far light wraps around the skin's terminator, per channel: red scatters furthest
SCATTER_LEAK = (0.18, 0.04, 0.03)  # share of it that the skin's own shadows do not block
PANEL_SHEEN = 0.5  # brightness of a panel's reflection relative to the light it casts, chosen by eye


@kernel
def _hash(x: int, y: int, z: int) -> float:
    h = np.uint32(x) * np.uint32(0x8DA6B343) ^ np.uint32(y) * np.uint32(0xD8163841)
    h = h ^ np.uint32(z) * np.uint32(0xCB1AB31F)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0x5BD1E995)
    return float((h ^ (h >> np.uint32(15))) & np.uint32(0xFFFF)) / 65535.0


@kernel
def _noise(x: float, y: float, z: float) -> float:
    """Value noise in 0..1, one lattice cell per unit."""
    ix, iy, iz = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - ix, y - iy, z - iz
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    total = 0.0
    for corner in range(8):
        cx, cy, cz = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = (fx if cx else 1 - fx) * (fy if cy else 1 - fy) * (fz if cz else 1 - fz)
        total += weight * _hash(ix + cx, iy + cy, iz + cz)
    return total


@kernel
def _set(out: Floats, red: float, green: float, blue: float, gloss: float, bump: float) -> None:
    out[0], out[1], out[2], out[3], out[4], out[5] = red, green, blue, 0.04, gloss, bump


@kernel
def _paint_skin(x: float, y: float, z: float, out: Floats) -> None:
    broad, fine = _noise(x * 26, y * 26, z * 26), _noise(x * 140, y * 140, z * 140)
    mix = 0.75 + 0.35 * broad + 0.12 * fine
    _set(out, 0.37 * mix, 0.21 * mix, 0.165 * mix, 0.42, 0.0011 * fine + 0.0012 * broad)


@kernel
def _paint_eye(x: float, y: float, z: float, radius: float, out: Floats) -> None:
    _set(out, 0.72, 0.68, 0.62, 0.97, 0.0)
    r = math.sqrt(x * x + y * y) / radius
    if z > 0.0 and r < 0.70:
        spoke = 0.7 + 0.6 * _noise(math.atan2(y, x) * 9.0, r * 3.0, 5.0)
        out[0], out[1], out[2] = 0.42 * spoke, 0.20 * spoke, 0.035 * spoke
        if r > 0.62:
            out[0], out[1], out[2] = 0.05, 0.03, 0.02
        if r < 0.36:
            out[0], out[1], out[2] = 0.004, 0.004, 0.004


@kernel
def _paint_horn(x: float, along: float, z: float, out: Floats) -> None:
    ring = math.sin(along * 330.0 + 5.0 * _noise(x * 40, along * 40, z * 40))
    mix = 0.62 + 0.14 * ring + 0.4 * _noise(x * 90, along * 14, z * 90)
    _set(out, 0.40 * mix, 0.33 * mix, 0.25 * mix, 0.55, 0.0014 * ring)


@kernel
def _paint_wool(x: float, y: float, z: float, out: Floats) -> None:
    turn = math.atan2(z, x)
    knit = math.sin(turn * 46.0 + 26.0 * y) * math.sin(turn * 46.0 - 26.0 * y)
    mix = 0.75 + 0.35 * knit
    if math.sin(turn * 9.0 + 0.6) > -0.35:
        _set(out, 0.46 * mix, 0.035 * mix, 0.03 * mix, 0.08, 0.003 * knit)
    else:
        _set(out, 0.62 * mix, 0.50 * mix, 0.34 * mix, 0.08, 0.003 * knit)
    out[3] = 0.02


@kernel
def _paint(solids: Floats, i: int, x: float, y: float, z: float, out: Floats) -> None:
    """Fill `out` with the painted point of solid `i` at world position x, y, z."""
    s = solids[i]
    material = int(s[MATERIAL])
    px, py, pz = x - s[4], y - s[5], z - s[6]
    if s[KIND] == CONE:
        bx, by, bz = s[7] - s[4], s[8] - s[5], s[9] - s[6]
        lx, lz = px, pz
        ly = (px * bx + py * by + pz * bz) / math.sqrt(bx * bx + by * by + bz * bz)
    else:
        lx = s[7] * px + s[8] * py + s[9] * pz
        ly = s[10] * px + s[11] * py + s[12] * pz
        lz = s[13] * px + s[14] * py + s[15] * pz
    if material == SKIN:
        _paint_skin(lx, ly, lz, out)
    elif material == EYE:
        _paint_eye(lx, ly, lz, s[16], out)
    elif material == HORN:
        _paint_horn(lx, ly, lz, out)
    elif material == WOOL:
        _paint_wool(lx, ly, lz, out)
    elif material == METAL:
        _set(out, 0.06, 0.04, 0.015, 0.86, 0.0002 * _noise(lx * 60, ly * 400, lz * 60))
        out[3] = 0.85
    elif material == NOSE:
        _set(out, 0.055, 0.035, 0.034, 0.8, 0.0006 * _noise(lx * 220, ly * 220, lz * 220))
    elif material == MOUTH:
        _set(out, 0.10, 0.022, 0.02, 0.7, 0.0)
    elif material == NAIL:
        _set(out, 0.62, 0.56, 0.46, 0.75, 0.0)
    else:  # under the fur
        mix = 0.6 + 0.5 * _noise(lx * 30, ly * 30, lz * 30)
        _set(out, 0.17 * mix, 0.13 * mix, 0.095 * mix, 0.05, 0.0)


@kernel
def _bumped(
    solids: Floats, i: int, x: float, y: float, z: float, nx: float, ny: float, nz: float, paint: Floats
) -> Tuple[float, float, float]:
    """Tilt the normal by the slope of the painted bump height; leaves the point's own paint in `paint`."""
    _paint(solids, i, x + BUMP_STEP, y, z, paint)
    hx = paint[5]
    _paint(solids, i, x, y + BUMP_STEP, z, paint)
    hy = paint[5]
    _paint(solids, i, x, y, z + BUMP_STEP, paint)
    hz = paint[5]
    _paint(solids, i, x, y, z, paint)
    h = paint[5]
    gx, gy, gz = (hx - h) / BUMP_STEP, (hy - h) / BUMP_STEP, (hz - h) / BUMP_STEP
    across = gx * nx + gy * ny + gz * nz
    nx, ny, nz = nx - gx + across * nx, ny - gy + across * ny, nz - gz + across * nz
    n = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
    return nx * n, ny * n, nz * n


@kernel
def _ambient(sky: Floats, ny: float, channel: int) -> float:
    """Irradiance from sky, horizon and ground for a normal whose height is `ny`."""
    up, down = max(ny, 0.0), max(-ny, 0.0)
    light: float = sky[0, channel] * up + sky[1, channel] * (1.0 - max(up, down)) + sky[2, channel] * down
    return light


@kernel
def panel(light: Floats, dx: float, dy: float, dz: float) -> float:
    """Reflection of a rectangular light panel in a mirror direction: 1 inside, a soft edge, 0 outside."""
    along = dx * light[0] + dy * light[1] + dz * light[2]
    if along <= 0.0:
        return 0.0
    # The panel's horizontal axis; its other axis is across that and the light's direction.
    hx, hz = light[2], -light[0]
    n = 1.0 / max(math.sqrt(hx * hx + hz * hz), 1e-6)
    hx, hz = hx * n, hz * n
    u = abs(dx * hx + dz * hz) / light[6]
    v = abs(dx * light[1] * hz + dy * (light[2] * hx - light[0] * hz) - dz * light[1] * hx) / light[7]
    edge: float = min(max((1.15 - max(u, v)) / 0.3, 0.0), 1.0)
    return edge * edge * (3.0 - 2.0 * edge)


@kernel
def _lamp(
    light: Floats, lit: float, normal: Floats, view: Floats, mirror: Floats, paint: Floats,
    fresnel: float, scatter: float, metal: bool, out: Image,
) -> None:  # fmt: skip
    """Add one light: wrapped diffuse, a rough highlight, and its panel mirrored in glossy paint."""
    cosine = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]
    if cosine < -0.5:
        return
    hx, hy, hz = light[0] + view[0], light[1] + view[1], light[2] + view[2]
    half = max(
        (normal[0] * hx + normal[1] * hy + normal[2] * hz) / math.sqrt(hx * hx + hy * hy + hz * hz), 0.0
    )
    power = 2.0 ** (2.0 + 8.0 * paint[4])
    rough = half**power * (power + 8.0) / 25.0 * max(cosine, 0.0) * (1.0 - 0.8 * paint[4])
    seen = panel(light, mirror[0], mirror[1], mirror[2]) * paint[4] * paint[4] * 5.0
    # Eyes keep their catchlight: lids and brow are too close for the soft shadow approximation.
    seen *= max(lit, 0.8) if paint[4] > 0.9 else lit
    gloss = fresnel * (rough * lit + PANEL_SHEEN * seen / (light[6] * light[7] + 0.06))
    for c in range(3):
        wrap = scatter * SCATTER_WRAP[c] + 0.02
        diffuse = max(cosine + wrap, 0.0) / ((1.0 + wrap) * (1.0 + wrap))
        through = lit + (1.0 - lit) * scatter * SCATTER_LEAK[c]
        tint = paint[c] / paint[0] if metal else 1.0
        out[c] += light[3 + c] * (paint[c] * diffuse * through + gloss * tint)


@kernel
def shade(
    solids: Floats, eye: Floats, rays: Floats, depth: Image, normals: Image, who: Ints,
    lights: Floats, sky: Floats, lit: Image, opened: Image, out: Image,
) -> None:  # fmt: skip
    """Shade every traced pixel under all rigs into `out` `(h, w, rigs, 3)`; pixels without a hit are not written.

    The geometry comes from `solids.trace`, the light visibility `lit` and `opened` from `solids.occlude`.
    """
    view, normal, mirror, paint = np.empty(3), np.empty(3), np.empty(3), np.empty(6)
    for row in range(who.shape[0]):
        for col in range(who.shape[1]):
            i = who[row, col]
            if i < 0:
                continue
            material = int(solids[i, MATERIAL])
            for k in range(3):
                view[k] = -rays[row, col, k]
                mirror[k] = eye[k] - view[k] * depth[row, col]
            n = normals[row, col]
            nx, ny, nz = _bumped(solids, i, mirror[0], mirror[1], mirror[2], n[0], n[1], n[2], paint)
            normal[0], normal[1], normal[2] = nx, ny, nz
            facing = max(nx * view[0] + ny * view[1] + nz * view[2], 0.02)
            for k in range(3):
                mirror[k] = 2.0 * facing * normal[k] - view[k]
            fresnel = paint[3] + (1.0 - paint[3]) * (1.0 - facing) ** 5 * (0.3 + 0.7 * paint[4])
            scatter = 1.0 if material in (SKIN, NOSE, MOUTH) else 0.0
            metal = material == METAL
            free = opened[row, col]
            for rig in range(lights.shape[0]):
                for c in range(3):
                    tint = paint[c] / paint[0] if metal else 1.0
                    sheen = fresnel * tint * _ambient(sky[rig], mirror[1], c) * (0.35 + 0.65 * free)
                    out[row, col, rig, c] = paint[c] * _ambient(sky[rig], ny, c) * free + sheen
                for j in range(lights.shape[1]):
                    _lamp(
                        lights[rig, j], lit[row, col, rig, j], normal, view, mirror, paint,
                        fresnel, scatter, metal, out[row, col, rig],
                    )  # fmt: skip
