"""Kernels of the figure's solid parts: signed distances, ray marching, occlusion and shadows.

A figure is a table of solids `(N, COLUMNS)` float64 in world metres, one row per solid, in the order soft
parts (blended into one skin), carvings, hard parts. The distance functions are the well-known ones for scaled
ellipsoids, tori and tapered capsules; smooth union is the quadratic polynomial minimum.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np

from harmovid_demo.jit import Floats, Image, Ints, kernel

# Columns of a solid's row. Kernels unpack a row by plain numbers, in this order.
KIND, MODE, MATERIAL, BLEND = 0, 1, 2, 3
CENTRE = 4  # 3 columns; a cone's first end
ROTATION = 7  # 9 columns, world to local, row by row; a cone keeps its second end in the first three
RADII = 16  # 3 columns: ellipsoid radii, or cone end radii, or torus radius and tube
PLANE = 19  # 4 columns: normal and offset of the local half space that cuts a lid
BOUND = 23  # 4 columns: bounding sphere
INVERSE = 27  # 3 columns: 1 / radii of an ellipsoid, 1 / squared length of a cone
COLUMNS = 30

ELLIPSOID, CONE, TORUS = 0, 1, 2
SOFT, CARVE, HARD, LID = 0, 1, 2, 3
FUR, SKIN, EYE, HORN, WOOL, METAL, NOSE, MOUTH, NAIL = 1, 2, 3, 4, 5, 6, 7, 8, 9

# Columns of a light's row: direction towards it (3), colour (3), half size of its panel (2), shadow sharpness.
LIGHT_SHADOW = 8
LIGHT_COLUMNS = 9

FAR = 1e3
SURFACE = 1e-3  # metres: a hit; about a quarter of a pixel at the figure's distance
MARCH_STEPS = 32
SHADOW_STEPS = 10
REACH = 0.8  # distance around a bounding sphere, in blend widths, at which smooth unions still have an effect
TILE = 8  # pixels
SURFACE_LIFT = 0.012  # metres above the skin at which its shadows are computed
STRAND_LIFT = 0.05  # metres above the skin where most of a strand is
FACING_AWAY = -0.75  # cosine below which a surface, even a furry one, gets no light from a lamp


@kernel
def _distance(solids: Floats, i: int, x: float, y: float, z: float) -> float:
    s = solids[i]
    px, py, pz = x - s[4], y - s[5], z - s[6]
    if s[KIND] == CONE:
        bx, by, bz = s[7] - s[4], s[8] - s[5], s[9] - s[6]
        h = (px * bx + py * by + pz * bz) * s[INVERSE]
        h = min(max(h, 0.0), 1.0)
        qx, qy, qz = px - bx * h, py - by * h, pz - bz * h
        away: float = math.sqrt(qx * qx + qy * qy + qz * qz) - (s[16] + (s[17] - s[16]) * h)
        return away
    lx = s[7] * px + s[8] * py + s[9] * pz
    ly = s[10] * px + s[11] * py + s[12] * pz
    lz = s[13] * px + s[14] * py + s[15] * pz
    if s[KIND] == TORUS:
        ring = math.sqrt(lx * lx + lz * lz) - s[16]
        tube: float = math.sqrt(ring * ring + ly * ly) - s[17]
        return tube
    ax, ay, az = lx * s[INVERSE], ly * s[INVERSE + 1], lz * s[INVERSE + 2]
    k0 = math.sqrt(ax * ax + ay * ay + az * az)
    ax, ay, az = ax * s[INVERSE], ay * s[INVERSE + 1], az * s[INVERSE + 2]
    k1 = math.sqrt(ax * ax + ay * ay + az * az)
    d = k0 * (k0 - 1.0) / k1 if k1 > 1e-9 else -min(s[16], s[17], s[18])
    if s[MODE] == LID:
        d = max(d, lx * s[19] + ly * s[20] + lz * s[21] - s[22])
    return d


@kernel
def _scene(solids: Floats, active: Ints, count: int, x: float, y: float, z: float) -> Tuple[float, int]:
    """Distance to the figure and the row of the nearest solid, among the `count` active ones."""
    soft, hard = FAR, FAR
    near, who = FAR, -1
    carved = -1
    for a in range(count):
        i = active[a]
        best = min(soft, hard)
        cx, cy, cz = x - solids[i, BOUND], y - solids[i, BOUND + 1], z - solids[i, BOUND + 2]
        bound = best + solids[i, BLEND] + solids[i, BOUND + 3]
        if cx * cx + cy * cy + cz * cz > bound * bound and best < FAR:
            continue  # cannot be nearer, nor blend with the nearest
        d = _distance(solids, i, x, y, z)
        mode = solids[i, MODE]
        if mode == SOFT:
            if d < near:
                near, who = d, i
            k = solids[i, BLEND]
            h = max(k - abs(soft - d), 0.0) / k
            soft = min(soft, d) - 0.25 * h * h * k
        elif mode == CARVE:
            k = solids[i, BLEND]
            h = max(k - abs(soft + d), 0.0) / k
            if -d > soft - 0.5 * k:
                carved = i
            soft = max(soft, -d) + 0.25 * h * h * k
        elif d < hard:
            hard = d
            if d < soft:
                who, carved = i, -1
    if hard < soft:
        return hard, who
    if carved >= 0:
        return soft, carved
    return soft, who


@kernel
def _gather(
    solids: Floats, near: Ints, found: int, active: Ints,
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float,
) -> Tuple[int, float, float]:  # fmt: skip
    """Fill `active` with those of the `found` solids in `near` whose bounding spheres the ray meets.

    Returns their number and where along the ray the first sphere is entered and the last one left.
    """
    count, enter, leave = 0, FAR, -FAR
    for n in range(found):
        i = near[n]
        cx, cy, cz = solids[i, BOUND] - ox, solids[i, BOUND + 1] - oy, solids[i, BOUND + 2] - oz
        along = cx * dx + cy * dy + cz * dz
        r = solids[i, BOUND + 3] + REACH * solids[i, BLEND]
        off = cx * cx + cy * cy + cz * cz - along * along
        if off < r * r:
            half = math.sqrt(r * r - off)
            if along + half > 0.0:
                active[count] = i
                count += 1
                enter = min(enter, along - half)
                leave = max(leave, along + half)
    return count, max(enter, 0.0), leave


@kernel
def _bare_before(
    solids: Floats, near: Ints, found: int,
    ox: float, oy: float, oz: float, dx: float, dy: float, dz: float, far: float,
) -> bool:  # fmt: skip
    """Whether a part without hair can lie on the ray before `far`: only such a part can hide a strand."""
    for n in range(found):
        i = near[n]
        if solids[i, MATERIAL] == FUR or solids[i, MATERIAL] == WOOL or solids[i, MODE] == CARVE:
            continue
        cx, cy, cz = solids[i, BOUND] - ox, solids[i, BOUND + 1] - oy, solids[i, BOUND + 2] - oz
        along = cx * dx + cy * dy + cz * dz
        r = solids[i, BOUND + 3] + 0.01
        if cx * cx + cy * cy + cz * cz - along * along < r * r and along - r < far:
            return True
    return False


@kernel
def _normal(
    solids: Floats, active: Ints, count: int, x: float, y: float, z: float, e: float
) -> Tuple[float, float, float]:
    a = _scene(solids, active, count, x + e, y - e, z - e)[0]
    b = _scene(solids, active, count, x - e, y - e, z + e)[0]
    c = _scene(solids, active, count, x - e, y + e, z - e)[0]
    d = _scene(solids, active, count, x + e, y + e, z + e)[0]
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    n = 1.0 / max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
    return nx * n, ny * n, nz * n


@kernel
def _shadow(
    solids: Floats, every: Ints, active: Ints,
    x: float, y: float, z: float, dx: float, dy: float, dz: float, k: float,
) -> float:  # fmt: skip
    """Share of a light of penumbra sharpness `k` that reaches the point, from the ray's closest distance to a solid."""
    count, enter, leave = _gather(solids, every, every.shape[0], active, x, y, z, dx, dy, dz)
    lit, t = 1.0, max(enter, 0.02)
    for _ in range(SHADOW_STEPS):
        if t > leave or count == 0:
            break
        d = _scene(solids, active, count, x + dx * t, y + dy * t, z + dz * t)[0]
        lit = min(lit, 0.5 + 0.5 * k * d / t)
        if lit <= 0.0:
            return 0.0
        t += min(max(d, 0.012), 0.15)
    lit = min(max(lit, 0.0), 1.0)
    return lit * lit * (3.0 - 2.0 * lit)


@kernel
def _openness(
    solids: Floats, active: Ints, count: int, x: float, y: float, z: float, nx: float, ny: float, nz: float
) -> float:
    """Ambient occlusion from three distances along the normal, and the ground below: 1 is open."""
    hidden = 0.0
    for step in range(1, 4):
        h = 0.035 * step * step
        d = _scene(solids, active, count, x + nx * h, y + ny * h, z + nz * h)[0]
        hidden += max(h - d, 0.0) / h * 0.38
    ground = min(max(y / 0.35, 0.0), 1.0)
    return max(1.0 - hidden, 0.08) * (0.55 + 0.45 * ground)


@kernel
def _reach(
    solids: Floats, every: Ints, active: Ints, lights: Floats,
    x: float, y: float, z: float, nx: float, ny: float, nz: float, lift: float, lit: Image,
) -> float:  # fmt: skip
    """Fill `lit` `(rigs, lights)`: visibility of lights `lift` metres above a point; return openness."""
    count = _gather(solids, every, every.shape[0], active, x, y, z, nx, ny, nz)[0]
    opened = _openness(solids, active, count, x, y, z, nx, ny, nz)
    x, y, z = x + nx * lift, y + ny * lift, z + nz * lift
    for rig in range(lights.shape[0]):
        for j in range(lights.shape[1]):
            light = lights[rig, j]
            if light[LIGHT_SHADOW] <= 0.0:
                lit[rig, j] = 1.0
            elif nx * light[0] + ny * light[1] + nz * light[2] < FACING_AWAY:
                lit[rig, j] = 0.0
            else:
                lit[rig, j] = _shadow(
                    solids, every, active, x, y, z, light[0], light[1], light[2], light[LIGHT_SHADOW]
                )
    return opened


@kernel
def _march(
    solids: Floats, near: Ints, found: int, active: Ints, eye: Floats, ray: Floats, far: float,
    start: float, depth: Image, normal: Image, who: Ints, col: int,
) -> None:  # fmt: skip
    """Sphere-trace one ray among the tile's solids and note the hit in the row's buffers."""
    dx, dy, dz = ray
    if far < 0.9 * FAR and not _bare_before(solids, near, found, eye[0], eye[1], eye[2], dx, dy, dz, far):
        return
    count, t, leave = _gather(solids, near, found, active, eye[0], eye[1], eye[2], dx, dy, dz)
    t, leave = max(t, start), min(leave, far)
    for _ in range(MARCH_STEPS):
        if t > leave or count == 0:
            return
        x, y, z = eye[0] + dx * t, eye[1] + dy * t, eye[2] + dz * t
        d, i = _scene(solids, active, count, x, y, z)
        if d < SURFACE:
            normal[0], normal[1], normal[2] = _normal(solids, active, count, x, y, z, 1e-3)
            depth[col] = t
            who[col] = i
            return
        t += d * 0.92


@kernel
def _touching(boxes: Ints, x0: int, y0: int, x1: int, y1: int, near: Ints) -> int:
    """Fill `near` with the solids whose boxes meet the tile; return their number."""
    found = 0
    for i in range(boxes.shape[0]):
        b = boxes[i]
        if b[0] < x1 and b[2] > x0 and b[1] < y1 and b[3] > y0:
            near[found] = i
            found += 1
    return found


@kernel
def _clear_until(solids: Floats, near: Ints, found: int, eye: Floats, ray: Floats, spread: float) -> float:
    """March the cone of a whole tile: the distance up to which it is empty, `FAR` where it meets nothing.

    `spread` is the cone's radius at unit distance.
    """
    t, leave = FAR, 0.0
    for n in range(found):
        b = solids[near[n]]
        cx, cy, cz = b[BOUND] - eye[0], b[BOUND + 1] - eye[1], b[BOUND + 2] - eye[2]
        away = math.sqrt(cx * cx + cy * cy + cz * cz)
        reach = b[BOUND + 3] + REACH * b[BLEND]
        t, leave = min(t, away - reach), max(leave, away + reach)
    for _ in range(MARCH_STEPS):
        d = _scene(solids, near, found, eye[0] + ray[0] * t, eye[1] + ray[1] * t, eye[2] + ray[2] * t)[0]
        clear = d * 0.92 - spread * t
        if clear < 10.0 * SURFACE:
            return t
        t += clear
        if t > leave:
            return FAR
    return t


@kernel
def trace(
    solids: Floats, boxes: Ints, eye: Floats, rays: Floats, pixel: float, far: Image,
    depth: Image, normals: Image, who: Ints,
) -> None:  # fmt: skip
    """March one ray per pixel.

    Args:
        solids: the figure at this sample's time.
        boxes: `(N, 4)` x0, y0, x1, y1: this picture's pixels that each solid may touch.
        eye: camera position in the world.
        rays: `(h, w, 3)` unit directions.
        pixel: a pixel's size at unit distance.
        far: `(h, w)` distance beyond which a hit would be hidden anyway (strands in front).
        depth: out `(h, w)` distance along the ray, `FAR` where nothing is hit.
        normals: out `(h, w, 3)` world normals of the smooth surface.
        who: out `(h, w)` row of the solid hit, -1 where none.
    """
    active = np.empty(solids.shape[0], np.int32)
    near = np.empty(solids.shape[0], np.int32)
    height, width = who.shape
    for y0 in range(0, height, TILE):
        for x0 in range(0, width, TILE):
            y1, x1 = min(y0 + TILE, height), min(x0 + TILE, width)
            found = _touching(boxes, x0, y0, x1, y1, near)
            who[y0:y1, x0:x1] = -1
            depth[y0:y1, x0:x1] = FAR
            if found == 0:
                continue
            middle = rays[(y0 + y1) // 2, (x0 + x1) // 2]
            start = _clear_until(solids, near, found, eye, middle, TILE * 0.75 * pixel)
            if start < FAR:
                for row in range(y0, y1):
                    for col in range(x0, x1):
                        _march(
                            solids, near, found, active, eye, rays[row, col], far[row, col],
                            start, depth[row], normals[row, col], who[row], col,
                        )  # fmt: skip


@kernel
def occlude(
    solids: Floats, lights: Floats, eye: Floats, rays: Floats, depth: Image, normals: Image, who: Ints,
    known: Ints, lit: Image, opened: Image,
) -> None:  # fmt: skip
    """Find light visibility and openness where a pixel shows another kind of solid than is `known` there.

    The samples of one frame differ by less than a pixel and half a frame's motion, so they share the values of the
    first one: `lit` `(h, w, rigs, lights)`, `opened` `(h, w)` and `known` `(h, w)` are kept between calls.
    """
    every = np.arange(solids.shape[0]).astype(np.int32)
    active = np.empty(solids.shape[0], np.int32)
    for row in range(who.shape[0]):
        for col in range(who.shape[1]):
            i, before = who[row, col], known[row, col]
            if (
                i < 0
                or i == before
                or (before >= 0 and solids[i, MODE] == SOFT and solids[before, MODE] == SOFT)
            ):
                continue
            known[row, col] = i
            t = depth[row, col]
            x, y, z = (
                eye[0] + rays[row, col, 0] * t,
                eye[1] + rays[row, col, 1] * t,
                eye[2] + rays[row, col, 2] * t,
            )
            n = normals[row, col]
            nx, ny, nz = np.float64(n[0]), np.float64(n[1]), np.float64(n[2])  # one compiled variant, not two
            opened[row, col] = _reach(
                solids, every, active, lights, x, y, z, nx, ny, nz, SURFACE_LIFT, lit[row, col]
            )


@kernel
def settle(
    solids: Floats, points: Floats, lights: Floats,
    normals: Floats, deep: Floats, who: Ints, lit: Image, opened: Image,
) -> None:  # fmt: skip
    """Move points `(n, 3)` onto the figure's surface, in place, and compute the values for a strand's root there.

    Out: world `normals` `(n, 3)`, how `deep` each point was in metres, the nearest solid `who`, and at a strand's
    length above the surface light visibility `lit` `(n, rigs, lights)` and openness `opened` `(n,)`.
    """
    every = np.arange(solids.shape[0]).astype(np.int32)
    active = np.empty(solids.shape[0], np.int32)
    count = every.shape[0]
    for k in range(points.shape[0]):
        x, y, z = points[k]
        deep[k] = -_scene(solids, every, count, x, y, z)[0]
        nx, ny, nz = 0.0, 1.0, 0.0
        for _ in range(2):
            d = _scene(solids, every, count, x, y, z)[0]
            nx, ny, nz = _normal(solids, every, count, x, y, z, 2e-3)
            x, y, z = x - nx * d, y - ny * d, z - nz * d
        points[k, 0], points[k, 1], points[k, 2] = x, y, z
        normals[k, 0], normals[k, 1], normals[k, 2] = nx, ny, nz
        who[k] = _scene(solids, every, count, x, y, z)[1]
        opened[k] = _reach(solids, every, active, lights, x, y, z, nx, ny, nz, STRAND_LIFT, lit[k])
