"""Poses for standing figures without a rig: shoulders, elbows, hips and knees.

Meshes stand upright facing +z, arms held off the body (MakeHuman's rest pose). Joints lie at fixed shares of the
height, and a point's weight for a joint depends on its place along the limb, so that cloth and skin bend alike. This is
enough for figures seen from some metres away; fingers, faces and folds do not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

SHOULDER = (0.105, 0.81)
"""Joint at x to each side and y above the feet, in shares of the height; the joints below likewise."""
ARM = (0.636, -0.771)
"""Direction of an arm at rest, outwards and down."""
ELBOW = 0.15
"""Along the arm, from the shoulder."""
HIP, KNEE = (0.05, 0.50), 0.28
BLEND = 0.025
"""Half the length over which a joint bends."""
TRUNK = (-0.055, -0.03)
"""Range, across the arm towards the trunk, over which the arm's influence on a point falls to zero."""
HANGING = 0.45
"""Radians by which an arm at rest is lowered to hang down."""


@dataclass(frozen=True)
class Pose:
    """Angles in radians, left (+x) and right; all 0 is the rest pose.

    Attributes:
        down: arms lowered to the body. swing: arms forwards. elbow: forearms bent forwards.
        stride: thighs forwards. knee: shins bent backwards.
    """

    down: Tuple[float, float] = (0.0, 0.0)
    swing: Tuple[float, float] = (0.0, 0.0)
    elbow: Tuple[float, float] = (0.0, 0.0)
    stride: Tuple[float, float] = (0.0, 0.0)
    knee: Tuple[float, float] = (0.0, 0.0)

    @staticmethod
    def draw(rng: np.random.Generator) -> Pose:
        """Return a random pose of somebody standing, walking or gesturing."""
        return Motion.draw(rng).at(float(rng.uniform(0, 1)))


@dataclass(frozen=True)
class Motion:
    """How a figure moves: number of step `cycles` in a clip, swing of arms (`reach`) and legs (`stride`) in radians."""

    cycles: float
    phase: float
    down: float
    reach: float
    lifted: Tuple[float, float]
    stride: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Motion:
        """Return a random motion: two in five walk, the others stand; arms swing, hang or gesture."""
        walks = rng.random() < 0.4
        lifted = rng.uniform(0, 1.6, 2) * (rng.random(2) < 0.4)
        return Motion(
            cycles=float(rng.uniform(0.3, 1.2)), phase=float(rng.uniform(0, 2 * np.pi)),
            down=float(HANGING + rng.normal(0, 0.12)), reach=float(rng.uniform(0.1, 0.5)),
            lifted=(float(lifted[0]), float(lifted[1])), stride=float(rng.uniform(0.2, 0.5)) if walks else 0.0,
        )  # fmt: skip

    def at(self, share: float) -> Pose:
        """Return the pose at a share 0..1 of the clip; arms swing opposite to the legs."""
        wave = float(np.sin(self.phase + 2 * np.pi * self.cycles * share))
        bend = tuple(0.2 + 0.7 * lift + 0.15 * (1 + side * wave) for side, lift in zip((1, -1), self.lifted))
        return Pose(
            down=(self.down, self.down),
            swing=(0.4 * self.lifted[0] - self.reach * wave, 0.4 * self.lifted[1] + self.reach * wave),
            elbow=(bend[0], bend[1]),
            stride=(self.stride * wave, -self.stride * wave),
            knee=(self.stride * (1 - wave) * 0.8, self.stride * (1 + wave) * 0.8),
        )


Shape = Tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Points and unit normals of a mesh, `(n, 3)` each."""


def posed_together(shapes: Sequence[Shape], pose: Pose) -> List[Shape]:
    """Return shapes in a pose: a body, which comes first, and what it wears."""
    feet, top = float(shapes[0][0][:, 1].min()), float(shapes[0][0][:, 1].max())
    return [posed(points, normals, feet, top - feet, pose) for points, normals in shapes]


def posed(
    points: npt.NDArray[np.float32], normals: npt.NDArray[np.float32], feet: float, height: float, pose: Pose
) -> Shape:
    """Return points `(n, 3)` and unit normals `(n, 3)` of a mesh in a pose.

    Args:
        feet, height: y of the body's soles, and how tall it is; for clothes and hair those of the body.
    """
    ground = np.array([0, feet / height, 0])
    p = points.astype(np.float64) / height - ground
    n = normals.astype(np.float64)
    for side, index in ((1.0, 0), (-1.0, 1)):
        x, y = p[:, 0] * side - SHOULDER[0], p[:, 1] - SHOULDER[1]
        along, across = x * ARM[0] + y * ARM[1], -x * ARM[1] + y * ARM[0]
        arm = _from(along, 0.015) * _between(across, *TRUNK)
        forearm = arm * _from(along, ELBOW)
        thigh = _from(HIP[1] - p[:, 1], 0.03) * np.clip(0.5 + p[:, 0] * side / 0.03, 0, 1) * (1 - arm)
        shin = thigh * _from(HIP[1] - p[:, 1], HIP[1] - KNEE)
        elbow = [side * (SHOULDER[0] + ELBOW * ARM[0]), SHOULDER[1] + ELBOW * ARM[1], 0.0]
        shoulder, hip = [side * SHOULDER[0], SHOULDER[1], 0.0], [side * HIP[0], HIP[1], 0.0]
        # Outer joints first (elbow, knee): the inner ones then move them along.
        for weight, joint, turn in (
            (forearm, elbow, _about_x(pose.elbow[index])),
            (arm, shoulder, _about_x(pose.swing[index]) @ _about_z(-side * pose.down[index])),
            (shin, [side * HIP[0], KNEE, 0.0], _about_x(-pose.knee[index])),
            (thigh, hip, _about_x(pose.stride[index])),
        ):
            p, n = _turned(p, n, weight[:, None], np.array(joint), turn)
    length = np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9)
    return ((p + ground) * height).astype(np.float32), (n / length).astype(np.float32)


def _turned(
    points: Float64, normals: Float64, weight: Float64, joint: Float64, turn: Float64
) -> Tuple[Float64, Float64]:
    moved = (points - joint) @ turn.T + joint
    return points + weight * (moved - points), normals + weight * (normals @ turn.T - normals)


def _from(values: Float64, edge: float) -> Float64:
    """Return a smooth step from 0 to 1 at `edge`, `BLEND` wide to both sides."""
    return _between(values, edge - BLEND, edge + BLEND)


def _between(values: Float64, low: float, high: float) -> Float64:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float64)


def _about_x(angle: float) -> Float64:
    """Return the rotation about x that swings what hangs down forwards (+z)."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def _about_z(angle: float) -> Float64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
