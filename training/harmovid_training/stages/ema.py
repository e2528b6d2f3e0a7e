"""Averaged weights: a slow copy of what is trained, which samples better than the last step."""

from __future__ import annotations

from typing import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


class Ema:
    """Exponential moving average over trainable parameters, by name, in float32."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], decay: float) -> None:
        self.decay = decay
        self.average = {
            name: weight.detach().float().clone() for name, weight in parameters if weight.requires_grad
        }

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, nn.Parameter]], step: int) -> None:
        """Move towards the weights after `step` steps; the first steps move faster (1 + step) / (10 + step)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, weight in parameters:
            if name in self.average:
                self.average[name].lerp_(weight.detach().float(), 1 - decay)

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Take over a saved average; each process its own part where FSDP has spread the weights."""
        for name, weight in self.average.items():
            value = average[name]
            if isinstance(weight, DTensor):
                value = distribute_tensor(value, weight.device_mesh, weight.placements)
            weight.copy_(value)
