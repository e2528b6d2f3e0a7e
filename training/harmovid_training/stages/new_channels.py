"""A learning rate of their own for the input channels that widening has added.

They start at zero, and AdamW moves a weight by about its rate each step: at 1e-5 they cannot come far in 1,200 steps,
and a rate that would let them come far would tear at the pretrained rest of the same layer. So each step's move is
lengthened for them alone, which for AdamW is the same as a rate of their own.

    boost = NewChannels(model.backbone, 20.0)
    boost.before(); optimizer.step(); boost.after()
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from harmovid_training.models.backbone import Backbone


class NewChannels:
    """See the module; works on each process's own part where FSDP has spread the weights.

    Args:
        times: how many times the others' rate.
    """

    def __init__(self, backbone: Backbone, times: float) -> None:
        self._backbone, self._times = backbone, times
        self._kept: Tensor | None = None

    @torch.no_grad()
    def before(self) -> None:
        """Remember the weights of before the optimizer's step."""
        self._kept = self._added().clone()

    @torch.no_grad()
    def after(self) -> None:
        """Lengthen the step."""
        if self._kept is not None:
            added = self._added()
            added.copy_(self._kept + self._times * (added - self._kept))

    def _added(self) -> Tensor:
        layer = self._backbone.patch_embedding
        weight = layer.weight.to_local() if isinstance(layer.weight, DTensor) else layer.weight
        keep = self._backbone.geometry.channels
        if isinstance(layer, nn.Linear):
            keep *= math.prod(self._backbone.geometry.patch)
        return torch.as_tensor(weight)[:, keep:]
