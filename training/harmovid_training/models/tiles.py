"""Overlapping tiles of a picture, cut and blended as diffusers' tiled VAEs do it: linear ramps over the overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """Tiles by size and overlap.

    Attributes:
        size: height and width of a tile in pixels.
        overlap: share of a tile's height and width that the next one repeats.
        spatial: pixels per latent.
    """

    size: tuple[int, int]
    overlap: tuple[float, float]
    spatial: int

    def side(self, axis: int, latent: bool) -> int:
        """Return a tile's height (axis 0) or width (axis 1), in pixels or latents."""
        return int(self.size[axis] / self.spatial) if latent else self.size[axis]

    def stride(self, axis: int, latent: bool) -> int:
        """Return the distance from one tile to the next."""
        return int(self.side(axis, latent) * (1 - self.overlap[axis]))

    def ramp(self, axis: int, latent: bool) -> int:
        """Return the width of the blend between two tiles, in pixels or latents."""
        return int(self.side(axis, latent) * self.overlap[axis])

    def needed(self, size: torch.Size, encode: bool) -> bool:
        """Return whether this height and width (pixels to encode, latents to decode) is larger than a tile."""
        return size[0] > self.side(0, latent=not encode) or size[1] > self.side(1, latent=not encode)


def cut(whole: Tensor, tiling: Tiling, encode: bool) -> Iterator[list[Tensor]]:
    """Yield rows of tiles `(..., h, w)` of `(..., H, W)`: pixels to encode, latents to decode; views."""
    latent = not encode
    height, width = whole.shape[-2:]
    for top in range(0, height, tiling.stride(0, latent)):
        rows = slice(top, top + tiling.side(0, latent))
        lefts = range(0, width, tiling.stride(1, latent))
        yield [whole[..., rows, left : left + tiling.side(1, latent)] for left in lefts]


def blended(rows: list[list[Tensor]], tiling: Tiling, encode: bool) -> Tensor:
    """Return processed tiles joined: latents after encoding, pixels after decoding. Changes the tiles in place."""
    latent = encode
    ramps = (tiling.ramp(0, latent), tiling.ramp(1, latent))
    limits = tuple(tiling.side(axis, latent) - ramps[axis] for axis in (0, 1))
    strips = []
    for number, row in enumerate(rows):
        for place, tile in enumerate(row):
            if number:
                _blend(rows[number - 1][place], tile, ramps[0], -2)
            if place:
                _blend(row[place - 1], tile, ramps[1], -1)
        strips.append(torch.cat([tile[..., : limits[0], : limits[1]] for tile in row], dim=-1))
    return torch.cat(strips, dim=-2)


def _blend(before: Tensor, after: Tensor, extent: int, axis: int) -> None:
    extent = min(before.shape[axis], after.shape[axis], extent)
    if not extent:
        return
    weight = torch.arange(extent, device=after.device, dtype=after.dtype) / extent
    weight = weight[:, None] if axis == -2 else weight
    start = after.narrow(axis, 0, extent)
    start.copy_(before.narrow(axis, before.shape[axis] - extent, extent) * (1 - weight) + start * weight)
