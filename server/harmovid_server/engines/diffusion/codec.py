"""Pictures to latents and back through the VAE's chunk networks; caches between chunks stay on the device.

    stream = Stream(networks, description, encode=True)
    latents = stream.push(pictures)              # one chunk (1, 3, t, H, W): `frames[0]` frames first, then `frames[1]`

A stream is for one clip. Pictures larger than a tile are cut into tiles, each with its own cache; tiles are blended
with linear ramps, as in training (`harmovid_training.models.tiles`).
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.diffusion.description import Description
from harmovid_server.runtimes.base import Network

Float32 = npt.NDArray[np.float32]
Cache = Dict[str, Any]


class Stream:
    """See the module.

    Args:
        networks: role to network.
        encode: True for pictures to latents, False for latents to pictures.
    """

    def __init__(self, networks: Mapping[str, Network], description: Description, *, encode: bool) -> None:
        way = "encode" if encode else "decode"
        self._first, self._next = networks[f"{way}_first"], networks[f"{way}_next"]
        self._given, self._made = ("pictures", "latents") if encode else ("latents", "pictures")
        self._tiles = _Tiles(description, encode) if description.tile is not None else None
        self._caches: Dict[int, Cache] = {}

    def push(self, chunk: Float32) -> Float32:
        """Return one chunk, encoded or decoded."""
        if self._tiles is None or not self._tiles.needed(chunk):
            return self._run(chunk, 0)
        rows: List[List[Float32]] = []
        for row in self._tiles.cut(chunk):
            rows.append([self._run(tile, 1000 * len(rows) + place) for place, tile in enumerate(row)])
        return self._tiles.blended(rows)

    def _run(self, chunk: Float32, number: int) -> Float32:
        before: Optional[Cache] = self._caches.get(number)
        network = self._first if before is None else self._next
        kept = [name for name in network.outputs if name != self._made]
        inputs = {self._given: np.ascontiguousarray(chunk, np.float32), **(before or {})}
        made = network(inputs, kept)
        self._caches[number] = {f"cache.{name.partition('.')[2]}": made[name] for name in kept}
        return np.asarray(made[self._made], np.float32)


class _Tiles:
    """Tiles for one direction of the VAE; sizes are in pixels when encoding, in latents when decoding."""

    def __init__(self, description: Description, encode: bool) -> None:
        tile = description.tile
        if tile is None:
            raise ValueError("this VAE has no tiles")
        scale = description.spatial
        sides = [(size if encode else int(size / scale)) for size in tile.size]
        out = [(int(size / scale) if encode else size) for size in tile.size]
        self._sides = sides
        self._strides = [int(side * (1 - share)) for side, share in zip(sides, tile.overlap)]
        self._ramps = [int(side * share) for side, share in zip(out, tile.overlap)]
        self._limits = [side - ramp for side, ramp in zip(out, self._ramps)]

    def needed(self, whole: Float32) -> bool:
        """Return whether a picture is larger than a tile."""
        return bool(whole.shape[-2] > self._sides[0] or whole.shape[-1] > self._sides[1])

    def cut(self, whole: Float32) -> List[List[Float32]]:
        """Return rows of tiles."""
        (high, wide), (down, across) = self._sides, self._strides
        return [
            [whole[..., top : top + high, left : left + wide] for left in range(0, whole.shape[-1], across)]
            for top in range(0, whole.shape[-2], down)
        ]

    def blended(self, rows: List[List[Float32]]) -> Float32:
        """Put processed tiles together. Modifies the tiles."""
        strips = []
        for number, row in enumerate(rows):
            for place, tile in enumerate(row):
                if number:
                    _blend(rows[number - 1][place], tile, self._ramps[0], -2)
                if place:
                    _blend(row[place - 1], tile, self._ramps[1], -1)
            strips.append(
                np.concatenate([tile[..., : self._limits[0], : self._limits[1]] for tile in row], axis=-1)
            )
        return np.concatenate(strips, axis=-2)


def _blend(before: Float32, after: Float32, extent: int, axis: int) -> None:
    extent = min(before.shape[axis], after.shape[axis], extent)
    if not extent:
        return
    ramp = np.arange(extent, dtype=np.float32) / np.float32(extent)
    ramp = ramp[:, None] if axis == -2 else ramp
    start, end = _part(after, 0, extent, axis), _part(before, before.shape[axis] - extent, extent, axis)
    start[...] = end * (1 - ramp) + start * ramp


def _part(tile: Float32, start: int, length: int, axis: int) -> Float32:
    where: Tuple[Any, ...] = (Ellipsis, slice(start, start + length))
    return tile[(*where, slice(None)) if axis == -2 else where]
