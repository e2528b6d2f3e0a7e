"""The shot's camera: a drifting, slightly hand-held lens that the figure and the plate share.

World: metres, x right, y up, z towards the camera; the ground is y = 0. Image: pixels of the display
window, x right, y down, pixel centres at half numbers; the lens scales with the format, so any size shows the
same shot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harmovid_demo.jit import Floats

FRAMES_PER_SECOND = 24.0
SHUTTER = 0.5  # share of a frame that the shutter is open: the 180 degree rule
LENS = 1.16  # focal length in picture widths: about 42 mm on a 36 mm back
TARGET = (0.02, 0.715, 0.0)
DISTANCE = 4.25


@dataclass(frozen=True)
class Camera:
    """A pinhole at one moment.

    Attributes:
        eye: `(3,)` position in metres.
        turn: `(3, 3)` world to camera; the camera looks along its own -z.
        focal_px: focal length in pixels.
        width, height: display window in pixels.
    """

    eye: Floats
    turn: Floats
    focal_px: float
    width: int
    height: int

    def rays(self, box: tuple[int, int, int, int], jitter: tuple[float, float] = (0.0, 0.0)) -> Floats:
        """Return unit world directions `(h, w, 3)` through the pixels of `box` x0, y0, x1, y1 (exclusive)."""
        x0, y0, x1, y1 = box
        x = (np.arange(x0, x1) + 0.5 + jitter[0] - self.width / 2) / self.focal_px
        y = -(np.arange(y0, y1) + 0.5 + jitter[1] - self.height / 2) / self.focal_px
        rays = np.empty((y1 - y0, x1 - x0, 3))
        rays[..., 0], rays[..., 1], rays[..., 2] = x, y[:, None], -1.0
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        directions: Floats = rays @ self.turn
        return directions

    def project(self, points: Floats) -> Floats:
        """Return `(..., 3)`: image x, image y in pixels and depth in metres of world points `(..., 3)`."""
        local = (points - self.eye) @ self.turn.T
        depth = -local[..., 2]
        out = np.empty_like(local)
        out[..., 0] = self.width / 2 + self.focal_px * local[..., 0] / depth
        out[..., 1] = self.height / 2 - self.focal_px * local[..., 1] / depth
        out[..., 2] = depth
        return out

    def matrix(self) -> Floats:
        """Return the `(3, 4)` matrix that takes homogeneous world points to homogeneous image points."""
        lens = np.array(
            [
                [self.focal_px, 0.0, -self.width / 2],
                [0.0, -self.focal_px, -self.height / 2],
                [0.0, 0.0, -1.0],
            ]
        )
        pose = np.concatenate([self.turn, -(self.turn @ self.eye)[:, None]], axis=1)
        image: Floats = lens @ pose
        return image


def camera_at(seconds: float, width: int, height: int) -> Camera:
    """Return the camera `seconds` after the first frame: a slow track to the right with some hand-held shake."""
    sway = math.sin(2.1 * seconds + 0.4)
    bob = math.sin(3.3 * seconds + 1.1)
    eye = np.array([-0.16 + 0.16 * seconds, 0.86 + 0.006 * bob, DISTANCE - 0.05 * seconds])
    target = np.array(TARGET) + np.array([0.02 * seconds + 0.006 * sway, 0.004 * bob, 0.0])
    back = eye - target
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    roll = math.radians(0.18) * math.sin(1.7 * seconds)
    up = np.cross(back, right)
    right, up = math.cos(roll) * right + math.sin(roll) * up, math.cos(roll) * up - math.sin(roll) * right
    return Camera(eye, np.stack([right, up, back]), LENS * width, width, height)
