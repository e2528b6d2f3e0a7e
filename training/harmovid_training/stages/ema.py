"""Averaged weights: a slow copy of what is trained, which samples better than the last step."""

from __future__ import annotations

from typing import Iterable, Mapping

import torch
from torch import Tensor, nn


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
        """Take over a saved average."""
        for name, weight in self.average.items():
            weight.copy_(average[name])
