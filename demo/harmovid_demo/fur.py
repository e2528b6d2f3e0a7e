"""The figure's hair: strands that grow from its furry solids, lit under both rigs, drawn sample by sample.

Strands grow in tufts. A tuft's root is placed on the figure's surface once per moment (`solids.settle`), which gives
its normal, light visibility and openness. Its strands stand around the root in the tangent plane, lean with gravity and
comb direction, and converge at the tips. The highlight along the hair follows Kajiya and Kay (1989); wrapped diffuse
light shades the coat as a whole, and transmitted light from behind gives the rim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harmovid_demo import solids as s
from harmovid_demo.camera import Camera
from harmovid_demo.jit import Floats, Image, Ints, kernel

TUFTS = 6500
STRANDS_PER_TUFT = 9
JOINTS = 6  # points along a strand
SAMPLES = 12  # picture samples; a strand thinner than a pixel is drawn in that share of them
REFERENCE_WIDTH = 960  # the picture width for which the coat's density was chosen
SPREAD = 0.011  # metres, standard deviation of strand feet around their tuft
LENGTH = 0.066  # metres
TURNED_AWAY = (
    -0.55
)  # cosine to the view direction below which a tuft is not drawn, as its tips are hidden too
DEEPEST = 0.045  # metres; a tuft buried deeper than this in another part does not grow

# Strand columns: foot offset across and along the comb, length, curl, twist, width, brightness, thinning.
ACROSS, ALONG, LONG, CURL, TWIST, THICK, SHADE, THIN = range(8)


@dataclass(frozen=True)
class Coat:
    """The properties of the hair that do not change over the shot.

    Attributes:
        part: `(tufts,)` row of the solid each tuft grows on.
        place: `(tufts, 3)` where on it: unit direction on an ellipsoid, (share, cos, sin) on a cone or torus.
        strands: `(strands, 8)`, see the strand columns.
        colour: `(strands, 3)` albedo.
        tuft: `(strands,)` the tuft of each strand.
    """

    part: Ints
    place: Floats
    strands: Floats
    colour: Image
    tuft: Ints


def _areas(solids: Floats) -> Floats:
    """Rough surface area of each furry solid, to distribute tufts."""
    area = np.zeros(len(solids))
    for i, row in enumerate(solids):
        r = row[s.RADII : s.RADII + 3]
        if row[s.MATERIAL] == s.FUR and row[s.KIND] == s.ELLIPSOID:
            area[i] = 4 * math.pi * float(np.mean(r)) ** 2
        elif row[s.MATERIAL] == s.FUR:
            span = float(np.linalg.norm(row[s.ROTATION : s.ROTATION + 3] - row[s.CENTRE : s.CENTRE + 3]))
            area[i] = 2 * math.pi * (r[0] + r[1]) / 2 * (span + r[0])
        elif row[s.MATERIAL] == s.WOOL:
            area[i] = 4 * math.pi**2 * r[0] * r[1] * 1.6
    return area


def make_coat(solids: Floats, width: int, seed: int) -> Coat:
    """Distribute tufts over the furry solids of a pose and draw every strand's constant properties.

    The number of tufts falls with the picture width, so that small pictures are not denser than large ones.
    """
    rng = np.random.default_rng(seed)
    tufts = max(int(TUFTS * min(width / REFERENCE_WIDTH, 1.0)), 200)
    area = _areas(solids)
    part = rng.choice(len(solids), size=tufts, p=area / area.sum()).astype(np.int32)
    place = rng.normal(size=(tufts, 3))
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    around = rng.uniform(0, 2 * math.pi, tufts)
    bent = solids[part, s.KIND] != s.ELLIPSOID
    place[bent] = np.stack([rng.uniform(-0.1, 1.05, tufts), np.cos(around), np.sin(around)], axis=1)[bent]
    count = tufts * STRANDS_PER_TUFT
    tuft = np.repeat(np.arange(tufts, dtype=np.int32), STRANDS_PER_TUFT)
    widen = math.sqrt(REFERENCE_WIDTH / max(width, 1)) if width < REFERENCE_WIDTH else 1.0
    strands = np.empty((count, 8))
    strands[:, [ACROSS, ALONG]] = rng.normal(0.0, SPREAD * widen, (count, 2))
    strands[:, LONG] = LENGTH * rng.lognormal(0.0, 0.22, count) * (0.85 + 0.3 * rng.random(tufts)[tuft])
    strands[:, CURL] = rng.normal(0.0, 0.16, count) + rng.normal(0.0, 0.20, tufts)[tuft]
    strands[:, TWIST] = rng.normal(0.0, 0.16, count) + rng.normal(0.0, 0.20, tufts)[tuft]
    strands[:, THICK] = rng.uniform(0.75, 1.35, count) * max(width / REFERENCE_WIDTH, 1.0)
    strands[:, SHADE] = rng.lognormal(0.0, 0.16, count) * rng.lognormal(0.0, 0.14, tufts)[tuft]
    strands[:, THIN] = rng.random(count)
    colour = _coat_colour(solids, part, place, rng)[tuft] * strands[:, SHADE, None]
    wool = solids[part, s.MATERIAL][tuft] == s.WOOL
    strands[wool, LONG] *= 0.30
    strands[wool, THICK] *= 0.7
    return Coat(part, place, strands, colour.astype(np.float32), tuft)


def _coat_colour(solids: Floats, part: Ints, place: Floats, rng: np.random.Generator) -> Floats:
    """Albedo of each tuft: tawny, cream in front, dark along the back and in stripes; red and cream wool."""
    tawny, cream, dark = (
        np.array(c) for c in ((0.47, 0.315, 0.18), (0.74, 0.63, 0.47), (0.20, 0.125, 0.075))
    )
    size = solids[part, s.RADII : s.RADII + 3]
    ellipsoid = (solids[part, s.KIND] == s.ELLIPSOID)[:, None]
    local = place * np.where(ellipsoid, size, 0.0)
    front = np.clip((place[:, 2] - 0.45) / 0.35, 0, 1)[:, None] * ellipsoid
    stripe = np.clip(np.sin(46.0 * local[:, 1] + 7.0 * np.abs(local[:, 0])) - 0.35, 0, 1)[:, None] * ellipsoid
    stripe = np.where(ellipsoid, stripe, np.clip(np.sin(13.0 * place[:, :1]) - 0.3, 0, 1))
    colour = tawny + (dark - tawny) * stripe * (1 - front)
    colour = colour + (cream - colour) * front
    colour *= rng.uniform(0.9, 1.12, (len(part), 1))
    turn = np.arctan2(place[:, 2], place[:, 1])
    red = np.where((np.sin(turn * 9.0 + 0.6) > -0.35)[:, None], [0.50, 0.040, 0.032], [0.62, 0.50, 0.34])
    wool: Floats = np.where((solids[part, s.MATERIAL] == s.WOOL)[:, None], red, colour)
    return wool


def _feet(coat: Coat, solids: Floats) -> Floats:
    """World positions `(tufts, 3)` of the tufts on their solids in this pose."""
    rows = solids[coat.part]
    centre, radii = rows[:, s.CENTRE : s.CENTRE + 3], rows[:, s.RADII : s.RADII + 3]
    turn = rows[:, s.ROTATION : s.ROTATION + 9].reshape(-1, 3, 3)
    round_ = centre + np.einsum("nji,nj->ni", turn, coat.place * radii)
    angle = np.arctan2(coat.place[:, 2], coat.place[:, 1])
    ring = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], axis=1)
    tube = 2 * math.pi * coat.place[:, 0]
    out = ring * (radii[:, 0] + radii[:, 1] * np.cos(tube))[:, None]
    out[:, 1] = radii[:, 1] * np.sin(tube)
    torus = centre + np.einsum("nji,nj->ni", turn, out)
    axis = rows[:, s.ROTATION : s.ROTATION + 3] - centre
    span = np.linalg.norm(axis, axis=1, keepdims=True)
    axis = axis / np.maximum(span, 1e-9)
    side = np.array([0.0, 0.0, 1.0]) - axis * axis[:, 2:3]
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    third = np.cross(axis, side)
    share = coat.place[:, :1]
    radius = radii[:, :1] + (radii[:, 1:2] - radii[:, :1]) * np.clip(share, 0, 1)
    cone = centre + axis * span * share + radius * (side * coat.place[:, 1:2] + third * coat.place[:, 2:3])
    kind = rows[:, s.KIND][:, None]
    feet: Floats = np.where(kind == s.ELLIPSOID, round_, np.where(kind == s.TORUS, torus, cone))
    return feet


@kernel
def _grow(
    feet: Floats, normals: Floats, alive: Ints, sway: Floats, tuft: Ints, strands: Floats, points: Floats
) -> None:
    """Fill `points` `(strands, JOINTS, 3)`: each strand from its foot along the normal, combed and curled."""
    for k in range(tuft.shape[0]):
        t = tuft[k]
        if alive[t] == 0:
            continue
        nx, ny, nz = normals[t]
        # The comb: down the body, in the tangent plane; `side` completes the frame.
        cx, cy, cz = ny * nx + 0.10 * (1 - nx * nx), -1.0 + ny * ny, ny * nz
        n = 1.0 / max(math.sqrt(cx * cx + cy * cy + cz * cz), 0.05)
        cx, cy, cz = cx * n, cy * n, cz * n
        sx, sy, sz = ny * cz - nz * cy, nz * cx - nx * cz, nx * cy - ny * cx
        a, b, length = strands[k, ACROSS], strands[k, ALONG], strands[k, LONG]
        curl, twist = strands[k, CURL], strands[k, TWIST]
        for j in range(JOINTS):
            u = j / (JOINTS - 1.0)
            close = 1.0 - 0.62 * u * u  # tips draw together
            out = length * u * (0.78 - 0.28 * u)
            down = length * u * (0.34 + 0.46 * u) + b * close
            aside = a * close + length * u * u * curl
            down += length * u * u * twist
            points[k, j, 0] = feet[t, 0] + nx * out + cx * down + sx * aside + sway[0] * u * u * length
            points[k, j, 1] = feet[t, 1] + ny * out + cy * down + sy * aside + sway[1] * u * u * length
            points[k, j, 2] = feet[t, 2] + nz * out + cz * down + sz * aside + sway[2] * u * u * length


@kernel
def _light(
    points: Floats, eye: Floats, normals: Floats, alive: Ints, lit: Image, opened: Image,
    tuft: Ints, albedo: Image, lights: Floats, sky: Floats, out: Image,
) -> None:  # fmt: skip
    """Fill `out` `(strands, JOINTS, rigs, 3)` with the light from each joint towards the camera."""
    for k in range(tuft.shape[0]):
        t = tuft[k]
        if alive[t] == 0:
            continue
        nx, ny, nz = normals[t]
        for j in range(JOINTS):
            u = j / (JOINTS - 1.0)
            p, q = points[k, max(j - 1, 0)], points[k, min(j + 1, JOINTS - 1)]
            tx, ty, tz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
            n = 1.0 / max(math.sqrt(tx * tx + ty * ty + tz * tz), 1e-9)
            tx, ty, tz = tx * n, ty * n, tz * n
            vx, vy, vz = eye[0] - points[k, j, 0], eye[1] - points[k, j, 1], eye[2] - points[k, j, 2]
            n = 1.0 / math.sqrt(vx * vx + vy * vy + vz * vz)
            vx, vy, vz = vx * n, vy * n, vz * n
            tv = tx * vx + ty * vy + tz * vz
            rim = 1.0 - abs(nx * vx + ny * vy + nz * vz)
            buried = 0.22 + 0.78 * u**0.8
            for rig in range(lights.shape[0]):
                up = 0.75 * ny + 0.25 * ty
                for c in range(3):
                    level = 1.0 - abs(up)
                    around = (
                        sky[rig, 0, c] * max(up, 0.0)
                        + sky[rig, 1, c] * level
                        + sky[rig, 2, c] * max(-up, 0.0)
                    )
                    out[k, j, rig, c] = albedo[k, c] * around * opened[t] * buried
                for m in range(lights.shape[1]):
                    light = lights[rig, m]
                    shown = lit[t, rig, m]
                    if shown <= 0.0:
                        continue
                    lx, ly, lz = light[0], light[1], light[2]
                    tl = tx * lx + ty * ly + tz * lz
                    sine = math.sqrt(max(1.0 - tl * tl, 0.0))
                    coat = min(max((nx * lx + ny * ly + nz * lz + 0.30) / 1.30, 0.0), 1.0)
                    body = coat * (0.35 + 0.65 * sine) * buried
                    along = max(sine * math.sqrt(max(1.0 - tv * tv, 0.0)) - tl * tv, 0.0)
                    shine = along**48 * 0.16 * coat * (0.3 + 0.7 * u)
                    behind = max(-(lx * vx + ly * vy + lz * vz), 0.0)
                    through = behind * behind * rim * rim * (0.25 + 0.75 * u) * 1.5
                    for c in range(3):
                        glow = through * math.sqrt(albedo[k, c])
                        out[k, j, rig, c] += light[3 + c] * shown * (albedo[k, c] * body + shine + glow)


@kernel
def draw(
    first: Floats, last: Floats, when: float, jx: float, jy: float, sample: int, alive: Ints, tuft: Ints,
    strands: Floats, depth: Image, owner: Ints, share: Image,
) -> None:  # fmt: skip
    """Draw all strands at one moment into a depth buffer, one pixel wide, thinned at random towards the tips.

    Args:
        first, last: `(strands, JOINTS, 3)` image x, y (in this picture) and depth at shutter open and close.
        when: 0 at shutter open to 1 at close.
        jx, jy: this sample's offset in the pixel.
        depth: `(h, w)` camera depth of the nearest strand so far.
        owner: `(h, w)` that strand, -1 where none.
        share: `(h, w)` the place along it, in joints.
    """
    height, width = depth.shape
    for k in range(tuft.shape[0]):
        if alive[tuft[k]] == 0:
            continue
        # A different share of samples for every strand, evenly spread over the samples.
        turn = strands[k, THIN] + sample * 0.6180339887
        chance = turn - math.floor(turn)
        for j in range(JOINTS - 1):
            u0 = j / (JOINTS - 1.0)
            thick = strands[k, THICK] * (1.12 - u0)
            if thick < chance:
                break
            a, b, c, d = first[k, j], last[k, j], first[k, j + 1], last[k, j + 1]
            x0, y0, z0 = a[0] + (b[0] - a[0]) * when, a[1] + (b[1] - a[1]) * when, a[2] + (b[2] - a[2]) * when
            x1, y1, z1 = c[0] + (d[0] - c[0]) * when, c[1] + (d[1] - c[1]) * when, c[2] + (d[2] - c[2]) * when
            steps = int(max(abs(x1 - x0), abs(y1 - y0)) * 1.2) + 1
            for i in range(steps):
                f = (i + 0.5) / steps
                col = math.floor(x0 + (x1 - x0) * f - jx)
                row = math.floor(y0 + (y1 - y0) * f - jy)
                if col < 0 or row < 0 or col >= width or row >= height:
                    continue
                z = z0 + (z1 - z0) * f
                if z < depth[row, col]:
                    depth[row, col] = z
                    owner[row, col] = k
                    share[row, col] = j + f


@dataclass(frozen=True)
class Hair:
    """The strands of one frame.

    Attributes:
        first, last: `(strands, JOINTS, 3)` image x, y and depth at shutter open and close.
        light: `(strands, JOINTS, rigs, 3)` light from each joint towards the camera.
        normals: `(tufts, 3)` world normals under the tufts.
        alive: `(tufts,)` 1 where the tuft grows and may be seen.
    """

    first: Floats
    last: Floats
    light: Image
    normals: Floats
    alive: Ints


def grow(
    coat: Coat,
    poses: tuple[Floats, Floats],
    cameras: tuple[Camera, Camera],
    sways: tuple[Floats, Floats],
    rigs: tuple[Floats, Floats],
) -> Hair:
    """Grow the coat at shutter open and close; light is computed once, at shutter open.

    Args:
        coat: the lasting properties of the strands.
        poses: the figure's solids at both moments.
        cameras: the camera at both moments.
        sways: how the figure's motion bends the hair, `(3,)` in strand lengths.
        rigs: lights and skies, see `lights.rigs`.
    """
    lights, sky = rigs
    feet, normals, alive, lit, opened = _settled(coat, poses[0], cameras[0], lights)
    points = np.zeros((len(coat.tuft), JOINTS, 3))
    light = np.zeros((len(coat.tuft), JOINTS, len(lights), 3), np.float32)
    _grow(feet, normals, alive, sways[0], coat.tuft, coat.strands, points)
    _light(points, cameras[0].eye, normals, alive, lit, opened, coat.tuft, coat.colour, lights, sky, light)
    # At shutter close the roots have moved with their solids; their place on the surface has hardly changed.
    feet += _feet(coat, poses[1]) - _feet(coat, poses[0])
    late = np.zeros_like(points)
    _grow(feet, normals, alive, sways[1], coat.tuft, coat.strands, late)
    return Hair(cameras[0].project(points), cameras[1].project(late), light, normals, alive)


def _settled(
    coat: Coat, solids: Floats, camera: Camera, lights: Floats
) -> tuple[Floats, Floats, Ints, Image, Image]:
    """Put every tuft on the surface: feet, normals, which of them grow, light visibility, openness."""
    feet, tufts = _feet(coat, solids), len(coat.part)
    normals, deep = np.empty((tufts, 3)), np.empty(tufts)
    who = np.empty(tufts, np.int32)
    lit = np.empty((tufts, *lights.shape[:2]), np.float32)
    opened = np.empty(tufts, np.float32)
    s.settle(solids, feet, lights, normals, deep, who, lit, opened)
    elsewhere = solids[who, s.MATERIAL] != solids[coat.part, s.MATERIAL]
    view = camera.eye - feet
    hidden = np.sum(normals * view, axis=1) < TURNED_AWAY * np.linalg.norm(view, axis=1)
    return feet, normals, (~elsewhere & ~hidden & (deep < DEEPEST)).astype(np.int32), lit, opened
