"""Subjects seen from many sides: per-pixel normals, materials and openness (a G-buffer), rasterised once and stored.

    subjects = build_subjects(folder)        # figures of `makehuman`, objects of `gltf`

Cameras are far away (orthographic), look along +z and have y up; normals are the camera's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Tuple

import cv2
import numba
import numpy as np
import numpy.typing as npt
import torch
from harmovid.errors import InputError
from torch import Tensor
from tqdm import tqdm

from harmovid_training.data.columns import load_columns, save_columns
from harmovid_training.data.meshes import Mesh, read_glb, read_obj
from harmovid_training.data.pose import Pose, posed_together

ROWS, COLUMNS = 96, 72
FIGURE_VIEWS, OBJECT_VIEWS = 60, 24
NONE, SKIN, HAIR, TOP, BOTTOM, SHOES, PAINTED = range(7)
"""What a pixel shows: nothing, parts of a figure that get a procedural colour, or the colour of a texture."""
Float32 = npt.NDArray[np.float32]

FIGURES = (
    ("female_generic.obj", "female_casualsuit02.obj", "bob01.obj"),
    ("male_generic.obj", "male_casualsuit01.obj", ""),
)
"""Body, clothes and hair that fit each other."""


@dataclass
class Subjects:
    """Views of subjects, `n` of them.

    Attributes:
        normals: `(n, ROWS, COLUMNS, 3)` int8, 127 stands for 1. part: `(n, ROWS, COLUMNS)` uint8.
        colour: `(n, ROWS, COLUMNS, 3)` uint8 sRGB where `part` is PAINTED.
        pattern: `(n, ROWS, COLUMNS, 2)` uint8: place on the subject, for procedural patterns.
        sky: `(n, ROWS, COLUMNS)` uint8: ambient visibility (`openness`), 255 is fully open.
    """

    normals: npt.NDArray[np.int8]
    part: npt.NDArray[np.uint8]
    colour: npt.NDArray[np.uint8]
    pattern: npt.NDArray[np.uint8]
    sky: npt.NDArray[np.uint8]

    def silhouette(self, rng: np.random.Generator, shape: Tuple[int, ...]) -> Tensor:
        """Return the soft silhouette `(h, w)` of a random subject at a random place and size."""
        height, width = shape
        scale = height / ROWS * rng.uniform(0.45, 1.3)
        x = width / 2 + rng.uniform(-0.3, 0.3) * width - scale * COLUMNS / 2
        y = height / 2 + rng.uniform(-0.2, 0.3) * height - scale * ROWS / 2
        place = np.array([[scale * rng.choice([-1, 1]), 0, x], [0, scale, y]], np.float32)
        if place[0, 0] < 0:
            place[0, 2] += scale * COLUMNS
        shown = (self.part[rng.integers(len(self.part))] > NONE).astype(np.float32)
        return torch.from_numpy(cv2.warpAffine(shown, place, (width, height), flags=cv2.INTER_AREA))


def models_in(folder: Path) -> Tuple[List[Path], Path]:
    """Return the objects of `folder` and the folder of its figures; `InputError` where either is missing."""
    objects, figures = sorted((folder / "gltf").glob("*.glb")), folder / "makehuman"
    if not objects or not figures.is_dir():
        raise InputError(
            f"{folder} has no gltf or makehuman folder.",
            fix="Put models/ beside hdri/ and photos/ (a link will do); docs/data.md lists what belongs there.",
        )
    return objects, figures


def build_subjects(folder: Path, seed: int = 3) -> Subjects:
    """Return views of all subjects of `folder`; `InputError` where there are none."""
    rng = np.random.default_rng(seed)
    drawn: List[Tuple[Any, ...]] = []
    objects, figures = models_in(folder)
    for names in tqdm(FIGURES, desc="figures"):
        body, clothes, hair = (read_obj(figures / name) if name else None for name in names)
        for view in range(FIGURE_VIEWS):
            parts = [(body, -1)]
            # Half of the views wear clothes with meshes of their own; in the others clothes are painted on the body.
            if view % 2:
                parts.append((clothes, TOP))
            if hair is not None and view % 3:
                parts.append((hair, HAIR))
            drawn.append(_draw([(mesh, part) for mesh, part in parts if mesh is not None], rng, figure=True))
    for path in tqdm(objects, desc="objects"):
        found = [(mesh, PAINTED) for mesh in read_glb(path)]
        drawn += [_draw(found, rng, figure=False) for _ in range(OBJECT_VIEWS if found else 0)]
    return Subjects(*(np.stack(column) for column in zip(*drawn)))


def save_subjects(path: Path, subjects: Subjects) -> None:
    """Write `subjects` as one `.npz`, under a temporary name first."""
    save_columns(path, subjects)


def load_subjects(path: Path) -> Subjects:
    """Return the subjects in `path`; `InputError` where they are not there."""
    return load_columns(path, Subjects)


def _draw(meshes: List[Tuple[Mesh, int]], rng: np.random.Generator, figure: bool) -> Tuple[Any, ...]:
    """Return one view's arrays, in the order of `Subjects`."""
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else rng.normal(0, 0.7)
    tilt = rng.normal(0, 0.12) if figure else rng.normal(0.2, 0.25)
    shapes = [(mesh.points, mesh.normals) for mesh, _ in meshes]
    if figure:
        shapes = posed_together(shapes, Pose.draw(rng))
    rest = np.concatenate([mesh.points for mesh, _ in meshes])
    whole = np.concatenate([points for points, _ in shapes])
    low, high = whole.min(0), whole.max(0)
    if figure and rng.random() < 0.6:
        # Often framed from the hips or the chest up: people close to the camera matter most.
        low = np.array([low[0], low[1] + (high[1] - low[1]) * rng.uniform(0.3, 0.72), low[2]])
    camera = rotation(turn, tilt)
    middle = (low + high) / 2
    tall = high[1] - low[1]
    across = min(tall * COLUMNS / ROWS, (high[0] - low[0]) * 1.05)
    scale = min(ROWS / tall, COLUMNS / max(across, 1e-6)) * 0.95
    depth = np.full((ROWS, COLUMNS), np.inf, np.float32)
    normals = np.zeros((ROWS, COLUMNS, 3), np.float32)
    place = np.zeros((ROWS, COLUMNS, 3), np.float32)
    which = np.full((ROWS, COLUMNS), -1, np.int32)
    for index, ((mesh, _), (points, bent)) in enumerate(zip(meshes, shapes)):
        seen = (points - middle) @ camera.T.astype(np.float32)
        screen = np.stack(
            [seen[:, 0] * scale + COLUMNS / 2, ROWS / 2 - seen[:, 1] * scale, seen[:, 2] * scale], 1
        )
        # Clothes and hair lie on the skin: moved a little nearer, so that they pass the depth test.
        screen[:, 2] -= 0.6 * index
        turned = (bent @ camera.T).astype(np.float32)
        extra = mesh.points if mesh.uv is None else np.concatenate([mesh.uv, mesh.uv[:, :1]], 1)
        rasterise(
            screen.astype(np.float32),
            mesh.triangles,
            turned,
            extra.astype(np.float32),
            index,
            depth,
            normals,
            place,
            which,
        )
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-6)
    # Some meshes have the other winding order, and clothes have two sides: every visible normal faces the camera.
    normals *= np.where(normals[..., 2:] > 0, -1, 1)
    part, colour = materials(meshes, which, place, rest)
    low, high = rest.min(0), rest.max(0)
    pattern = ((place[..., :2] - low[:2]) / np.maximum(high[:2] - low[:2], 1e-6)).clip(0, 1) * 255
    sky = openness(depth)
    return (
        (normals * 127).astype(np.int8),
        part,
        colour,
        pattern.astype(np.uint8),
        (sky * 255).astype(np.uint8),
    )


def materials(meshes: List[Tuple[Mesh, int]], which: Any, place: Float32, whole: Float32) -> Tuple[Any, Any]:
    """Return the part that each pixel shows `(h, w)` and the colour of textures `(h, w, 3)`.

    Args:
        meshes: with their kinds; -1 is a body whose clothes are painted on here.
        which: `(h, w)` index of the mesh that is seen, -1 for none.
        place: `(h, w, 3)` place on the mesh, or its texture coordinates.
        whole: `(n, 3)` all points together.
    """
    part = np.zeros(which.shape, np.uint8)
    colour = np.zeros((*which.shape, 3), np.uint8)
    bottom, top = float(whole[:, 1].min()), float(whole[:, 1].max())
    for index, (mesh, kind) in enumerate(meshes):
        here = which == index
        if mesh.texture is not None and mesh.uv is not None:
            h, w = mesh.texture.shape[:2]
            u, v = place[here][:, 0] % 1.0, place[here][:, 1] % 1.0
            colour[here] = mesh.texture[(v * (h - 1)).astype(int), (u * (w - 1)).astype(int)]
            part[here] = PAINTED
            continue
        height = (place[..., 1] - bottom) / (top - bottom)
        if kind == HAIR:
            part[here] = HAIR
            continue
        dressed = np.where(height > 0.52, TOP, np.where(height > 0.06, BOTTOM, SHOES)).astype(np.uint8)
        hands = np.abs(place[..., 0]) > 0.72 * np.abs(whole[:, 0]).max()
        bare = (height > 0.83) | hands if kind < 0 else np.zeros_like(here)
        # The scalp, where no hair was modelled.
        scalp = (height > 0.955) if kind < 0 else np.zeros_like(here)
        part[here] = np.where(scalp, HAIR, np.where(bare, SKIN, dressed))[here]
    return part, colour


def openness(depth: Float32) -> Float32:
    """Return screen-space ambient occlusion `(h, w)`, 0.3..1: low where the neighbourhood is nearer to the camera."""
    far = np.where(np.isfinite(depth), depth, 1e4).astype(np.float32)
    shut = np.zeros_like(far)
    for reach in (2, 4, 8):
        for angle in np.arange(8) * np.pi / 4:
            move = np.array([[1, 0, reach * np.cos(angle)], [0, 1, reach * np.sin(angle)]], np.float32)
            near = cv2.warpAffine(far, move, far.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            step = (far - near) / reach
            shut += np.clip(step, 0, 1.5) * np.clip((6 - step) / 3, 0, 1)
    return np.clip(1 - shut / 24, 0.3, 1.0).astype(np.float32)


def rotation(turn: float, tilt: float) -> npt.NDArray[np.float64]:
    """Return the matrix that takes a mesh's points to a camera's: turned about its height, tilted towards it."""
    around = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    over = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    # Meshes face +z, towards a viewer; the camera looks along +z: turn them half around.
    return np.asarray(over @ around @ np.diag([-1.0, 1.0, -1.0]))


@numba.njit(cache=True)
def rasterise(
    screen: Any,
    triangles: Any,
    normals: Any,
    extra: Any,
    index: int,
    depth: Any,
    out_normals: Any,
    out_extra: Any,
    which: Any,
) -> None:
    """Draw a mesh into `depth`, `out_normals`, `out_extra` and `which` where it is nearer; see `_draw`."""
    rows, columns = depth.shape
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t]
        ax, ay = screen[i, 0], screen[i, 1]
        bx, by = screen[j, 0], screen[j, 1]
        cx, cy = screen[k, 0], screen[k, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        x0, x1 = max(0, int(min(ax, bx, cx))), min(columns - 1, int(max(ax, bx, cx)) + 1)
        y0, y1 = max(0, int(min(ay, by, cy))), min(rows - 1, int(max(ay, by, cy)) + 1)
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                px, py = x + 0.5, y + 0.5
                u = ((bx - px) * (cy - py) - (cx - px) * (by - py)) / area
                v = ((cx - px) * (ay - py) - (ax - px) * (cy - py)) / area
                w = 1.0 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * screen[i, 2] + v * screen[j, 2] + w * screen[k, 2]
                if z < depth[y, x]:
                    depth[y, x] = z
                    which[y, x] = index
                    for c in range(3):
                        out_normals[y, x, c] = u * normals[i, c] + v * normals[j, c] + w * normals[k, c]
                        out_extra[y, x, c] = u * extra[i, c] + v * extra[j, c] + w * extra[k, c]
