"""Meshes of subjects: Wavefront OBJ without textures, binary glTF with a base colour texture each."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.errors import InputError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]

GLB_MAGIC = b"glTF"
COMPONENTS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
"""Component types and element sizes of glTF 2.0, section 3.6.2."""


@dataclass(frozen=True)
class Mesh:
    """`points` (n, 3), y up; `triangles` (m, 3); `normals` (n, 3); `uv` (n, 2) and `texture` (h, w, 3) uint8 RGB or
    None."""

    points: Float32
    triangles: Int32
    normals: Float32
    uv: Optional[Float32] = None
    texture: Optional[npt.NDArray[np.uint8]] = None


def read_obj(path: Path) -> Mesh:
    """Return the mesh in an OBJ file; faces of more than three corners become triangle fans."""
    points: List[List[float]] = []
    triangles: List[List[int]] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            points.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) - 1 for word in words[1:]]
            triangles += [[corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1)]
    if not triangles:
        raise InputError(f"{path} has no faces.", fix="Fetch it again; see docs/data.md.")
    at, faces = np.array(points, np.float32), np.array(triangles, np.int32)
    return Mesh(at, faces, smooth_normals(at, faces))


def smooth_normals(points: Float32, triangles: Int32) -> Float32:
    """Return unit normals `(n, 3)`: the mean of the faces around each point, weighted by area."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for corner in range(3):
        np.add.at(total, triangles[:, corner], face)
    unit: Float32 = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return unit


def read_glb(path: Path) -> List[Mesh]:
    """Return the meshes of a binary glTF file that have a base colour texture, placed as its scene says."""
    data = path.read_bytes()
    if data[:4] != GLB_MAGIC:
        raise InputError(f"{path} is no binary glTF.", fix="Fetch it again; see docs/data.md.")
    length = struct.unpack("<I", data[12:16])[0]
    tree: Dict[str, Any] = json.loads(data[20 : 20 + length])
    body = data[28 + length :]
    meshes: List[Mesh] = []
    for index in tree["scenes"][tree.get("scene", 0)]["nodes"]:
        _collect(tree, body, index, np.eye(4), meshes)
    return meshes


def _collect(tree: Dict[str, Any], body: bytes, index: int, above: Float64, meshes: List[Mesh]) -> None:
    """Append the textured meshes of a node and of its children; nodes outside the scene are not drawn."""
    node = tree["nodes"][index]
    placed = above @ _placement(node)
    for part in tree["meshes"][node["mesh"]]["primitives"] if "mesh" in node else ():
        texture = _texture(tree, body, part)
        if texture is not None and "TEXCOORD_0" in part["attributes"]:
            meshes.append(_mesh(tree, body, part, placed, texture))
    for child in node.get("children", ()):
        _collect(tree, body, child, placed, meshes)


def _placement(node: Dict[str, Any]) -> Float64:
    """Return a node's matrix `(4, 4)`: its own, or one made of translation, rotation (a quaternion) and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", (0, 0, 0, 1))
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    placed = np.eye(4)
    placed[:3, :3] = turn * np.array(node.get("scale", (1, 1, 1)))
    placed[:3, 3] = node.get("translation", (0, 0, 0))
    return placed


def _mesh(tree: Dict[str, Any], body: bytes, part: Dict[str, Any], placed: Float64, texture: Any) -> Mesh:
    points = _accessor(tree, body, part["attributes"]["POSITION"]).astype(np.float64)
    moved = (points @ placed[:3, :3].T + placed[:3, 3]).astype(np.float32)
    triangles = _accessor(tree, body, part["indices"]).reshape(-1, 3).astype(np.int32)
    uv = _accessor(tree, body, part["attributes"]["TEXCOORD_0"]).astype(np.float32)
    return Mesh(moved, triangles, smooth_normals(moved, triangles), uv, texture)


def _texture(tree: Dict[str, Any], body: bytes, part: Dict[str, Any]) -> Any:
    """Return the base colour texture of a primitive, or None where it has none."""
    material = tree["materials"][part["material"]] if "material" in part else {}
    found = material.get("pbrMetallicRoughness", {}).get("baseColorTexture")
    if found is None:
        return None
    view = tree["bufferViews"][tree["images"][tree["textures"][found["index"]]["source"]]["bufferView"]]
    start = view.get("byteOffset", 0)
    coded = np.frombuffer(body[start : start + view["byteLength"]], np.uint8)
    picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(
            "a texture of a binary glTF cannot be read.", fix="Fetch it again; see docs/data.md."
        )
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _accessor(tree: Dict[str, Any], body: bytes, index: int) -> npt.NDArray[Any]:
    entry = tree["accessors"][index]
    view = tree["bufferViews"][entry["bufferView"]]
    kind = np.dtype(COMPONENTS[entry["componentType"]])
    width, count = WIDTHS[entry["type"]], entry["count"]
    start = view.get("byteOffset", 0) + entry.get("byteOffset", 0)
    stride = view.get("byteStride", width * kind.itemsize)
    rows = np.frombuffer(body, np.uint8, count=stride * (count - 1) + width * kind.itemsize, offset=start)
    strided = np.lib.stride_tricks.as_strided(rows, (count, width * kind.itemsize), (stride, 1))
    return np.ascontiguousarray(strided).view(kind).reshape(count, width)
