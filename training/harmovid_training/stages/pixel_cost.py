"""Memory that a student's pixel stage keeps for the backward pass, counted on the meta device."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor

from harmovid_training.models.codec import CogVideoXCodec
from harmovid_training.stages.config import TrainConfig

TEMPORAL = 4
"""Frames of a latent."""


def pixel_stage_bytes(config: TrainConfig, recompute: bool = True) -> int:
    """Return the bytes that decoding one clip keeps in bfloat16: with `recompute` the tensors between chunks plus those
    of the largest chunk, else the sum over all chunks."""
    with torch.device("meta"):
        codec = CogVideoXCodec(AutoencoderKLCogVideoX().to(torch.bfloat16))
    sides = [min(side, config.crop or side) // codec.spatial for side in (config.height, config.width)]
    count = (config.frames - 1) // TEMPORAL + 1
    latents = torch.empty(1, codec.channels, count, *sides, device="meta", dtype=torch.bfloat16)
    cuts = [0, *range(codec.first_latents, count, codec.next_latents), count]
    inside, between, cache = [], 0, None
    for start, stop in zip(cuts, cuts[1:]):
        part = latents[:, :, start:stop].clone().requires_grad_()
        with _Kept() as kept:
            pictures, cache = codec.decode_chunk(part, cache)
        inside.append(kept.bytes)
        between += _size(part) + 2 * _size(pictures) + _tensors(cache)
    return between + max(inside) if recompute else sum(inside) + between


class _Kept:
    """Adds up the bytes that autograd keeps, each tensor once."""

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[int, Tensor] = {}
        self._hooks: Any = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda kept: kept)

    def _pack(self, kept: Tensor) -> Tensor:
        base = kept if kept._base is None else kept._base
        if id(base) not in self._seen:
            self._seen[id(base)] = base
            self.bytes += _size(base)
        return kept

    def __enter__(self) -> _Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
        self._seen.clear()


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _tensors(held: Any) -> int:
    """Return the bytes of all tensors in nested dictionaries."""
    if isinstance(held, Tensor):
        return _size(held)
    return sum(_tensors(one) for one in held.values()) if isinstance(held, dict) else 0
