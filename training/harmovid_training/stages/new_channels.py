"""A learning rate of their own for the input channels that widening has added.

They start at zero, and AdamW moves a weight by about its learning rate each step: at 1e-5 they move by 0.012 at most in
1,200 steps, and a higher rate would damage the pretrained weights of the same layer. So each step's update is scaled
for the new channels alone, which for AdamW equals a learning rate of their own.

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
    """See the module; where FSDP has sharded the weights it works on each process's own shard.

    Args:
        times: the ratio of their learning rate to the others'.
    """

    def __init__(self, backbone: Backbone, times: float) -> None:
        self._backbone, self._times = backbone, times
        self._kept: Tensor | None = None

    @torch.no_grad()
    def before(self) -> None:
        """Keep the weights as they are before the optimizer's step."""
        self._kept = self._added().clone()

    @torch.no_grad()
    def after(self) -> None:
        """Scale the step of the new channels."""
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
