"""Averaged weights (EMA) of the trained parameters, which give better samples than those of the last step."""

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
        """Update with the weights after `step` steps; the decay is at most (1 + step) / (10 + step)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, weight in parameters:
            if name in self.average:
                self.average[name].lerp_(weight.detach().float(), 1 - decay)

    def load(self, average: Mapping[str, Tensor]) -> None:
        """Load a saved average; where FSDP has sharded the weights each process takes its own shard."""
        for name, weight in self.average.items():
            value = average[name]
            if isinstance(weight, DTensor):
                value = distribute_tensor(value, weight.device_mesh, weight.placements)
            weight.copy_(value)
