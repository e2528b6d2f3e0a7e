"""The two networks of the paper as two conditionings of one model: which latents are concatenated to the noisy target.

    deflicker (eq. 2, 3)    [z_t | E(composite) | mask]                  16 + 16 + 1 = 33 channels
    harmovid  (eq. 5, 6)    [z_t | E(composite) | E(background) | mask]  16 + 16 + 16 + 1 = 49 channels

The mask is reduced to latent resolution as **coverage**: the mean over exactly the pixels and frames that a latent
stands for: `spatial` x `spatial` pixels, one frame for the first latent and `temporal` frames for each later
one. A hard edge that cuts a latent in half becomes 0.5, and a soft matte keeps its total. Values stay in 0..1; the
widened patch embedding learns their scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

import torch
from harmovid.errors import InputError
from torch import Tensor
from torch.nn.functional import avg_pool2d

from harmovid_training.models.backbone import Geometry


@dataclass(frozen=True)
class Conditioning:
    """The conditioning inputs of a network.

    Attributes:
        name: of the network.
        pictures: which encoded pictures are concatenated, in this order; the mask follows them.
    """

    name: str
    pictures: tuple[str, ...]

    def channels(self, geometry: Geometry) -> int:
        """Return the transformer's input channels: noisy latents, pictures, one mask."""
        return geometry.channels * (1 + len(self.pictures)) + 1

    def assemble(self, latents: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """Return `(B, channels - C, T, h, w)`: the channels to concatenate after the noisy latents.

        Args:
            latents: encoded pictures by name, `(B, C, T, h, w)`; names that are not in `pictures` are ignored.
            mask: `(B, 1, T, h, w)` from `latent_mask`.
        """
        missing = [name for name in self.pictures if name not in latents]
        if missing:
            raise InputError(f"the {self.name} network needs {' and '.join(missing)}, which is not given.")
        parts = [latents[name] for name in self.pictures]
        return torch.cat([*parts, mask.to(parts[0])], dim=1)


DEFLICKER = Conditioning("deflicker", ("composite",))
HARMOVID = Conditioning("harmovid", ("composite", "background"))
CONDITIONINGS = {one.name: one for one in (DEFLICKER, HARMOVID)}


def latent_mask(mask: Tensor, geometry: Geometry, first: bool = True) -> Tensor:
    """Return the coverage of each latent, `(B, 1, T', h, w)` in 0..1; see the module.

    Args:
        mask: `(B, 1, T, H, W)` in 0..1. T is `temporal * k + 1` where `first` is set, else `temporal * k`.
        first: whether frame 0 is the clip's first frame, which has a latent of its own.
    """
    batch, _, frames, height, width = mask.shape
    lead = 1 if first else 0
    if (frames - lead) % geometry.temporal:
        raise InputError(f"a mask of {frames} frames does not fit latents of {geometry.temporal} frames.")
    small = avg_pool2d(mask.reshape(batch * frames, 1, height, width).float(), geometry.spatial)
    small = small.view(batch, 1, frames, *small.shape[-2:])
    later = small[:, :, lead:].reshape(batch, 1, -1, geometry.temporal, *small.shape[-2:]).mean(3)
    return torch.cat([small[:, :, :lead], later], dim=2)
