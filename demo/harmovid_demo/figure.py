"""Renders one frame of the figure: beauty under light A and light B with the same matte, and AOVs.

Each frame is the mean of `SAMPLES` pictures taken at different moments of the open shutter and different
places in the pixel, so edges, hair and motion blur come out as real coverage. Both lights see the same
samples: matte and AOVs of the two beauties are identical by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from harmovid_demo import fur, shading
from harmovid_demo import solids as s
from harmovid_demo.camera import FRAMES_PER_SECOND, SHUTTER, Camera, camera_at
from harmovid_demo.creature import pose
from harmovid_demo.fur import SAMPLES, Coat, Hair
from harmovid_demo.jit import Floats, Image, Ints, kernel
from harmovid_demo.lights import rigs

Box = tuple[int, int, int, int]
Strands = tuple[Image, Ints, Image]
MOTION_M = 0.02  # metres that a part without hair moves while the shutter is open
STRANDS_PER_SOLID = 3  # hair samples that share one sample of the solids, whose edges are simpler
NO_DEPTH = 0.0  # Z of empty pixels


@dataclass(frozen=True)
class Figure:
    """One rendered frame. Colours are premultiplied, scene-linear, Rec.709 primaries.

    Attributes:
        box: data window x0, y0, x1, y1 in display pixels, exclusive end.
        beauty: `(2, h, w, 3)` float32 under light A and light B.
        alpha: `(h, w)` float32 in 0..1.
        depth: `(h, w)` float32 metres from the camera plane, 0 where empty.
        normals: `(h, w, 3)` float32 world normals, 0 where empty.
        ids: `(h, w)` uint32 material numbers, 0 where empty.
    """

    box: Box
    beauty: Image
    alpha: Image
    depth: Image
    normals: Image
    ids: np.ndarray[tuple[int, ...], np.dtype[np.uint32]]


def _pixel_boxes(solids: Floats, camera: Camera, grow_m: float) -> Floats:
    """Return `(N, 4)` boxes in pixels that each solid's bounding sphere, grown by `grow_m`, projects into."""
    centre = camera.project(solids[:, s.BOUND : s.BOUND + 3])
    radius = (
        (solids[:, s.BOUND + 3] + s.REACH * solids[:, s.BLEND] + grow_m)
        * camera.focal_px
        / (centre[:, 2] - solids[:, s.BOUND + 3])
        * 1.05
    )
    boxes: Floats = np.concatenate([centre[:, :2] - radius[:, None], centre[:, :2] + radius[:, None]], axis=1)
    return boxes


def _sway(seconds: float) -> Floats:
    """How the figure's own speed bends its hair, as a vector in strand lengths: drag opposite to the motion."""
    step = 0.02
    before, after = pose(seconds - step), pose(seconds + step)
    speed = (after[0, s.CENTRE : s.CENTRE + 3] - before[0, s.CENTRE : s.CENTRE + 3]) / (2 * step)
    drag: Floats = -0.30 * speed + np.array([0.05 * np.sin(2.3 * seconds), 0.0, 0.0])
    return drag


@kernel
def _blend(
    strand_depth: Image, owner: Ints, share: Image, hair: Image, tuft: Ints, tuft_normals: Floats,
    cosine: Floats, solid_depth: Image, who: Ints, solid_light: Image, solid_normals: Image, materials: Ints,
    coat_materials: Ints, beauty: Image, alpha: Image, depth: Image, normals: Image, ids: Ints,
) -> None:  # fmt: skip
    """Add one sample to the sums: the nearer of strand and solid in every pixel."""
    for row in range(alpha.shape[0]):
        for col in range(alpha.shape[1]):
            k = owner[row, col]
            z = solid_depth[row, col] * cosine[row, col] if who[row, col] >= 0 else s.FAR
            if k < 0 and who[row, col] < 0:
                continue
            if k >= 0 and strand_depth[row, col] < z:
                z = strand_depth[row, col]
                j = int(share[row, col])
                f = share[row, col] - j
                number = coat_materials[tuft[k]]
                for rig in range(2):
                    for c in range(3):
                        near, far = hair[k, j, rig, c], hair[k, j + 1, rig, c]
                        beauty[rig, row, col, c] += near + (far - near) * f
                for c in range(3):
                    normals[row, col, c] += tuft_normals[tuft[k], c]
            else:
                number = materials[who[row, col]]
                for rig in range(2):
                    for c in range(3):
                        beauty[rig, row, col, c] += solid_light[row, col, rig, c]
                for c in range(3):
                    normals[row, col, c] += solid_normals[row, col, c]
            alpha[row, col] += 1.0
            if z < depth[row, col]:
                depth[row, col] = z
                ids[row, col] = number


def _samples() -> Floats:
    """Return `(SAMPLES, 3)`: moment in the shutter 0..1 and offset in the pixel, a lattice over a tent."""
    index = np.arange(SAMPLES)
    lattice = np.stack(
        [(index + 0.5) / SAMPLES, (index * 0.7548776662) % 1, (index * 0.5698402910) % 1], axis=1
    )
    offset = lattice[:, 1:]
    # From uniform to a tent one pixel to either side: the soft response of a lens and sensor.
    lattice[:, 1:] = np.where(offset < 0.5, np.sqrt(2 * offset) - 1, 1 - np.sqrt(2 - 2 * offset)) * 0.9
    return lattice


def _data_window(solids: Floats, camera: Camera, hair: Hair, coat: Coat) -> Box:
    """The part of the display window that hair and bare solids can touch in this frame."""
    hairy = np.isin(solids[:, s.MATERIAL], (s.FUR, s.WOOL))
    boxes = _pixel_boxes(solids[~hairy], camera, MOTION_M)
    grown = hair.alive[coat.tuft] > 0
    tips = np.concatenate([points[grown][..., :2].reshape(-1, 2) for points in (hair.first, hair.last)])
    x0, y0 = (int(v) - 2 for v in np.floor(np.minimum(boxes[:, :2].min(axis=0), tips.min(axis=0))))
    x1, y1 = (int(v) + 2 for v in np.ceil(np.maximum(boxes[:, 2:].max(axis=0), tips.max(axis=0))))
    return max(x0, 0), max(y0, 0), min(x1, camera.width), min(y1, camera.height)


def _crop(figure: Figure) -> Figure:
    """Shrink the data window to what the alpha really covers."""
    rows, cols = np.flatnonzero(figure.alpha.any(axis=1)), np.flatnonzero(figure.alpha.any(axis=0))
    y, x = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    x0, y0 = figure.box[:2]
    box = (x0 + int(cols[0]), y0 + int(rows[0]), x0 + int(cols[-1]) + 1, y0 + int(rows[-1]) + 1)
    return Figure(
        box, np.ascontiguousarray(figure.beauty[:, y, x]), np.ascontiguousarray(figure.alpha[y, x]),
        np.ascontiguousarray(figure.depth[y, x]), np.ascontiguousarray(figure.normals[y, x]),
        np.ascontiguousarray(figure.ids[y, x]),
    )  # fmt: skip


class _Canvas:
    """The running sums of one frame, and the shadows its samples share. All arrays cover `box`."""

    def __init__(self, box: Box, lights: Floats) -> None:
        self.box = box
        shape = (box[3] - box[1], box[2] - box[0])
        self.beauty = np.zeros((2, *shape, 3), np.float32)
        self.alpha = np.zeros(shape, np.float32)
        self.depth = np.full(shape, s.FAR, np.float32)
        self.normals = np.zeros((*shape, 3), np.float32)
        self.ids = np.zeros(shape, np.int32)
        self._known = np.full(shape, -1, np.int32)
        self._lit = np.zeros((*shape, *lights.shape[:2]), np.float32)
        self._opened = np.ones(shape, np.float32)

    def strands(self, coat: Coat, hair: Hair, sample: int, moment: Floats) -> Strands:
        """Draw the hair of one sample: depth, owner and place along it per pixel."""
        shape = self.alpha.shape
        depth, owner = np.full(shape, s.FAR, np.float32), np.full(shape, -1, np.int32)
        share = np.zeros(shape, np.float32)
        when, jx, jy = moment
        fur.draw(
            hair.first, hair.last, when, jx + self.box[0], jy + self.box[1], sample, hair.alive, coat.tuft,
            coat.strands, depth, owner, share,
        )  # fmt: skip
        return depth, owner, share

    def add(
        self, solids: Floats, camera: Camera, jitter: tuple[float, float], drawn: list[Strands], coat: Coat,
        hair: Hair, rigs: tuple[Floats, Floats],
    ) -> None:  # fmt: skip
        """Trace and shade the solids of one moment and add them with the strands drawn in front of them."""
        shape = self.alpha.shape
        rays = camera.rays(self.box, jitter)
        cosine = -(rays @ camera.turn[2])
        far = (np.max([strands[0] for strands in drawn], axis=0) / cosine).astype(np.float32)
        boxes = (_pixel_boxes(solids, camera, 0.0) - (*self.box[:2], *self.box[:2])).astype(np.int32)
        depth, who = np.empty(shape, np.float32), np.empty(shape, np.int32)
        normals, light = np.zeros((*shape, 3), np.float32), np.zeros((*shape, 2, 3), np.float32)
        s.trace(solids, boxes, camera.eye, rays, 1.0 / camera.focal_px, far, depth, normals, who)
        s.occlude(
            solids, rigs[0], camera.eye, rays, depth, normals, who, self._known, self._lit, self._opened
        )
        shading.shade(solids, camera.eye, rays, depth, normals, who, *rigs, self._lit, self._opened, light)
        materials = solids[:, s.MATERIAL].astype(np.int32)
        for strands in drawn:
            _blend(
                *strands, hair.light, coat.tuft, hair.normals, cosine, depth, who, light, normals, materials,
                materials[coat.part], self.beauty, self.alpha, self.depth, self.normals, self.ids,
            )  # fmt: skip

    def finish(self) -> Figure:
        """Turn sums into means, soften by the lens, clear what is empty, crop."""
        lens = np.array([0.07, 0.86, 0.07], np.float32)
        beauty, alpha = self.beauty / np.float32(SAMPLES), self.alpha / np.float32(SAMPLES)
        for plane in (*beauty, alpha):
            cv2.sepFilter2D(plane, cv2.CV_32F, lens, lens, dst=plane, borderType=cv2.BORDER_REPLICATE)
        depth = np.where(self.depth < s.FAR, self.depth, np.float32(NO_DEPTH))
        length = np.linalg.norm(self.normals, axis=-1, keepdims=True)
        normals = (self.normals / np.maximum(length, 1e-6)).astype(np.float32)
        ids = self.ids.astype(np.uint32)
        return _crop(Figure(self.box, beauty, np.minimum(alpha, 1.0), depth, normals, ids))


def render(coat: Coat, seconds: float, width: int, height: int) -> Figure:
    """Render the figure at a frame that opens its shutter `seconds` after the first one did."""
    light_rigs = rigs()
    closed = seconds + SHUTTER / FRAMES_PER_SECOND
    cameras = (camera_at(seconds, width, height), camera_at(closed, width, height))
    poses = (pose(seconds), pose(closed))
    hair = fur.grow(coat, poses, cameras, (_sway(seconds), _sway(closed)), light_rigs)
    canvas = _Canvas(_data_window(poses[0], cameras[0], hair, coat), light_rigs[0])
    moments = _samples()
    for first in range(0, SAMPLES, STRANDS_PER_SOLID):
        drawn = [
            canvas.strands(coat, hair, sample, moments[sample])
            for sample in range(first, first + STRANDS_PER_SOLID)
        ]
        when, jx, jy = (float(v) for v in moments[first])
        time = seconds + when * (closed - seconds)
        canvas.add(pose(time), camera_at(time, width, height), (jx, jy), drawn, coat, hair, light_rigs)
    return canvas.finish()
