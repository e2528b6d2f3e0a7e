"""The demo's figure: a small furry creature that walks, animated by a few sine functions, as a table of solids.

`pose(seconds)` returns the table that `solids` and `fur` render. Parts hang on four bones (body, head, two
arms) and two planted feet; the gait is a bouncy walk to the right, the head looks to camera, one arm waves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harmovid_demo import solids as s
from harmovid_demo.jit import Floats

STEPS_PER_SECOND = 1.5
STRIDE = 0.17  # metres a foot swings to either side of the hip
SPEED = 0.30  # metres a second
TOE_HEIGHT = 0.029  # metres; `_claws` finds toes by this height


@dataclass(frozen=True)
class Bone:
    """A rigid frame: `turn` `(3, 3)` takes local to world directions, `at` is its origin in the world."""

    turn: Floats
    at: Floats

    def child(self, turn: Floats, at: tuple[float, float, float]) -> Bone:
        """Return the bone that stands at `at` in this one's coordinates, turned by `turn`."""
        return Bone(self.turn @ turn, self.place(at))

    def place(self, local: tuple[float, float, float]) -> Floats:
        """Return the world position of a local point."""
        world: Floats = self.at + self.turn @ np.array(local)
        return world


def _about(axis: str, degrees: float) -> Floats:
    """Rotation matrix about x, y or z."""
    c, sn = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -sn], [0, sn, c]])
    if axis == "y":
        return np.array([[c, 0, sn], [0, 1, 0], [-sn, 0, c]])
    return np.array([[c, -sn, 0], [sn, c, 0], [0, 0, 1.0]])


Triple = tuple[float, float, float]


def _round(
    bone: Bone, at: Triple, radii: Triple, material: int, *, mode: int = s.SOFT, blend: float = 0.05,
    turn: Floats | None = None, kind: int = s.ELLIPSOID,
) -> Floats:  # fmt: skip
    """Row of an ellipsoid (or, with radii (ring, tube, 0), a torus about its local y)."""
    row = np.zeros(s.COLUMNS)
    row[[s.KIND, s.MODE, s.MATERIAL, s.BLEND]] = kind, mode, material, blend
    row[s.CENTRE : s.CENTRE + 3] = bone.place(at)
    world = bone.turn if turn is None else bone.turn @ turn
    row[s.ROTATION : s.ROTATION + 9] = world.T.ravel()
    row[s.RADII : s.RADII + 3] = radii
    row[s.BOUND : s.BOUND + 3] = row[s.CENTRE : s.CENTRE + 3]
    row[s.BOUND + 3] = radii[0] + radii[1] if kind == s.TORUS else max(radii)
    return row


def _cone(
    bone: Bone, a: Triple, b: Triple, ends: tuple[float, float], material: int, *, mode: int = s.SOFT,
    blend: float = 0.05,
) -> Floats:  # fmt: skip
    """Row of a tapered capsule between two local points."""
    row = np.zeros(s.COLUMNS)
    row[[s.KIND, s.MODE, s.MATERIAL, s.BLEND]] = s.CONE, mode, material, blend
    first, second = bone.place(a), bone.place(b)
    row[s.CENTRE : s.CENTRE + 3] = first
    row[s.ROTATION : s.ROTATION + 3] = second
    row[s.RADII : s.RADII + 2] = ends
    row[s.BOUND : s.BOUND + 3] = (first + second) / 2
    row[s.BOUND + 3] = np.linalg.norm(second - first) / 2 + max(ends)
    return row


def _head(bone: Bone) -> list[Floats]:
    rows = [
        _round(bone, (0, 0.02, 0), (0.285, 0.255, 0.245), s.FUR, blend=0.10),
        _round(bone, (0, 0.0, 0.135), (0.195, 0.165, 0.115), s.SKIN, blend=0.05),
        _round(bone, (0, -0.085, 0.185), (0.135, 0.095, 0.095), s.SKIN, blend=0.06),
        _round(bone, (0, 0.105, 0.175), (0.165, 0.035, 0.055), s.SKIN, blend=0.05),
        _round(bone, (-0.285, 0.03, 0.0), (0.085, 0.075, 0.035), s.SKIN, blend=0.03, turn=_about("y", 25)),
        _round(bone, (0.285, 0.03, 0.0), (0.085, 0.075, 0.035), s.SKIN, blend=0.03, turn=_about("y", -25)),
    ]
    for side in (-1, 1):  # nostril folds, the mouth's corners
        rows.append(_round(bone, (side * 0.098, -0.088, 0.235), (0.030, 0.032, 0.024), s.SKIN, blend=0.04))
    return rows


def _face_hard(bone: Bone, blink: float) -> list[Floats]:
    rows = [
        # The smile is the lower arc of a ring that cuts into the muzzle only.
        _round(bone, (0, -0.034, 0.304), (0.108, 0.019, 0.0), s.MOUTH, mode=s.CARVE, blend=0.012,
               turn=_about("x", 111.0), kind=s.TORUS),
        _round(bone, (0, -0.026, 0.283), (0.040, 0.027, 0.024), s.NOSE, mode=s.HARD),
    ]  # fmt: skip
    for side in (-1, 1):
        rows.append(
            _cone(bone, (side * 0.047, -0.116, 0.258), (side * 0.047, -0.134, 0.266), (0.011, 0.004), s.NAIL,
                  mode=s.HARD)
        )  # fmt: skip
        eye = bone.child(_about("y", side * -2.0), (side * 0.088, 0.052, 0.205))
        rows.append(_round(eye, (0, 0, 0), (0.070, 0.070, 0.070), s.EYE, mode=s.HARD))
        # Upper and lower lid: shells cut by a plane through the eye's middle that closes with the blink.
        for up, opened in ((1, 36.0), (-1, 40.0)):
            angle = math.radians(opened * (1.0 - blink) + (-8.0 if up > 0 else 8.0) * blink)
            lid = _round(eye, (0, 0, 0), (0.0775, 0.0775, 0.0775), s.SKIN, mode=s.LID)
            lid[s.PLANE : s.PLANE + 4] = -0.16 * side * up, -up * math.cos(angle), math.sin(angle), 0.0
            rows.append(lid)
        previous, radius = (side * 0.115, 0.205, 0.03), 0.046
        for step in range(1, 6):
            bend = math.radians(16.0 + 24.0 * step)
            point = (
                previous[0] + side * 0.062 * math.sin(bend) * (1.0 if step < 4 else 0.55),
                previous[1] + 0.058 * math.cos(bend * 0.75),
                previous[2] - 0.012,
            )
            slim = radius * 0.80
            rows.append(_cone(bone, previous, point, (radius, slim), s.HORN, mode=s.HARD))
            previous, radius = point, slim
    return rows


def _hand(bone: Bone, side: int) -> list[Floats]:
    rows = [_round(bone, (0, -0.035, 0.0), (0.050, 0.055, 0.034), s.SKIN, blend=0.03)]
    for finger in range(3):
        x = (finger - 1) * 0.034
        rows.append(
            _cone(bone, (x, -0.065, 0.004), (x * 1.75, -0.128, 0.014), (0.021, 0.016), s.SKIN, blend=0.022)
        )
    rows.append(
        _cone(
            bone,
            (-side * 0.040, -0.030, 0.01),
            (-side * 0.084, -0.068, 0.024),
            (0.020, 0.015),
            s.SKIN,
            blend=0.02,
        )
    )
    return rows


def _arm(body: Bone, side: int, lift: float, bend: float, swing: float) -> list[Floats]:
    """One arm: `lift` degrees sideways from hanging, `swing` forwards, `bend` at the elbow."""
    shoulder = body.child(_about("x", -swing) @ _about("z", side * lift), (side * 0.235, 0.755, 0.02))
    elbow = shoulder.child(_about("z", side * bend) @ _about("x", -12.0), (0, -0.195, 0))
    rows = [
        _cone(shoulder, (0, 0, 0), (0, -0.195, 0), (0.088, 0.072), s.FUR, blend=0.08),
        _cone(elbow, (0, 0, 0), (0, -0.165, 0), (0.072, 0.070), s.FUR, blend=0.05),
    ]
    return rows + _hand(elbow.child(np.eye(3), (0, -0.190, 0)), side)


def _leg(body: Bone, side: int, phase: float) -> list[Floats]:
    """One leg: the hip follows the body, the foot stands for half of the step, then swings."""
    swing = math.sin(phase)
    raised = max(math.cos(phase), 0.0)
    hip = body.place((side * 0.135, 0.27, 0.0))
    forward = body.turn @ np.array([0.0, 0.0, 1.0])
    forward[1] = 0.0
    middle = body.place((side * 0.135, 0.0, 0.0))
    ankle = np.array([middle[0], 0.075 + 0.095 * raised, middle[2]]) + forward * STRIDE * swing
    foot = Bone(body.turn @ _about("x", 28.0 * raised * (1 if swing < 0 else -0.6)), ankle)
    world = Bone(np.eye(3), np.zeros(3))
    top, low = (tuple(float(v) for v in point) for point in (hip, ankle))
    rows = [
        _cone(world, top, low, (0.130, 0.080), s.FUR, blend=0.08),  # type: ignore[arg-type]
        _round(foot, (0, -0.028, 0.065), (0.080, 0.044, 0.115), s.SKIN, blend=0.035),
    ]
    for toe in range(3):
        x = (toe - 1) * 0.050
        rows.append(
            _round(
                foot,
                (x, -0.040, 0.165 - 0.012 * abs(toe - 1)),
                (0.030, TOE_HEIGHT, 0.038),
                s.SKIN,
                blend=0.02,
            )
        )
    return rows


def _claws(rows: list[Floats]) -> list[Floats]:
    """A nail on every toe: small hard ellipsoids at the front of the toe rows."""
    nails = []
    for row in rows:
        if row[s.RADII + 1] == TOE_HEIGHT:
            toe = Bone(row[s.ROTATION : s.ROTATION + 9].reshape(3, 3).T, row[s.CENTRE : s.CENTRE + 3])
            nails.append(_round(toe, (0, 0.010, 0.026), (0.016, 0.012, 0.018), s.NAIL, mode=s.HARD))
    return nails


def pose(seconds: float) -> Floats:
    """Return the figure `seconds` after the first frame as a table `(N, solids.COLUMNS)`, in metres of world space."""
    walk = 2.0 * math.pi * STEPS_PER_SECOND * seconds / 2.0 + 0.35
    bounce = 0.028 * math.cos(2.0 * walk)
    roll = 4.5 * math.sin(walk)
    travel = -0.30 + SPEED * seconds
    body = Bone(
        _about("y", 24.0) @ _about("z", roll) @ _about("x", 4.0), np.array([travel, 0.028 + bounce, 0.0])
    )
    nod = 3.0 * math.sin(2.0 * walk + 0.7)
    head = body.child(
        _about("y", -17.0 + 5.0 * math.sin(1.3 * seconds))
        @ _about("z", -0.7 * roll + 5.0)
        @ _about("x", nod),
        (0.0, 1.005, 0.055),
    )
    blink = max(0.0, 1.0 - abs(seconds - 0.95) / 0.10)
    wave = 118.0 + 13.0 * math.sin(9.5 * seconds)
    soft = [
        _round(body, (0, 0.52, 0), (0.300, 0.365, 0.255), s.FUR, blend=0.12),
        _round(body, (0, 0.415, 0.055), (0.285, 0.265, 0.255), s.FUR, blend=0.12),
        *_head(head),
        *_arm(body, -1, 20.0, -8.0, 24.0 * math.sin(walk)),
        *_arm(body, 1, wave, 30.0 + 18.0 * math.sin(9.5 * seconds + 0.9), 16.0),
        *_leg(body, -1, walk),
        *_leg(body, 1, walk + math.pi),
    ]
    scarf = body.child(_about("x", 14.0) @ _about("z", 3.0), (0.0, 0.785, 0.045))
    hard = [
        *_face_hard(head, blink),
        *_claws(soft),
        _round(scarf, (0, 0, 0), (0.205, 0.058, 0.0), s.WOOL, mode=s.HARD, kind=s.TORUS),
        _round(scarf, (0.02, -0.085, 0.262), (0.040, 0.042, 0.040), s.METAL, mode=s.HARD),
        _round(scarf, (0.02, -0.092, 0.262), (0.045, 0.006, 0.045), s.METAL, mode=s.HARD),
    ]
    table = np.array(soft + hard)
    radii = table[:, s.RADII : s.RADII + 3]
    table[table[:, s.MODE] >= s.HARD, s.BLEND] = 0.0
    cone = table[:, s.KIND] == s.CONE
    span = table[:, s.ROTATION : s.ROTATION + 3] - table[:, s.CENTRE : s.CENTRE + 3]
    table[:, s.INVERSE : s.INVERSE + 3] = 1.0 / np.where(radii > 0, radii, 1.0)
    table[cone, s.INVERSE] = 1.0 / np.sum(span[cone] ** 2, axis=1)
    return table
