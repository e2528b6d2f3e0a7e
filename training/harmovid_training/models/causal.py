"""CogVideoX's causal convolutions shaped for streaming and export: caches where there is something to remember.

    streamable(vae)             # in place; weights and their names stay

diffusers' convolution of one frame keeps its whole input as a "cache" that nothing ever reads, which is most of the
memory between two chunks; and it cuts large inputs by their size, which no exporter can follow. The results are the
same bit for bit, a test holds both together.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d
from torch import Tensor, nn


class CausalConv3d(nn.Module):
    """A convolution over time that looks back only; `conv` is that of the module it stands for."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv
        self.reach = int(conv.kernel_size[0]) - 1

    def forward(self, inputs: Tensor, conv_cache: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the convolved chunk `(B, C, T, H, W)` and the last frames that the next chunk needs, None without.

        Args:
            inputs: `(B, C, T, H, W)`.
            conv_cache: the last `reach` input frames of the chunk before; the first frame repeated where None.
        """
        if not self.reach:
            return self._convolved(inputs), None
        before = inputs[:, :, :1].expand(-1, -1, self.reach, -1, -1) if conv_cache is None else conv_cache
        inputs = torch.cat([before, inputs], dim=2)
        # Cloned: a view would keep the whole chunk alive.
        return self._convolved(inputs), inputs[:, :, -self.reach :].clone()

    def _convolved(self, inputs: Tensor) -> Tensor:
        # Outside an export diffusers' own convolution may cut what is too large for one call of the GPU's library.
        if torch.compiler.is_exporting():
            return nn.Conv3d.forward(self.conv, inputs)
        return torch.as_tensor(self.conv(inputs))


def streamable(vae: Any) -> None:
    """Replace the causal convolutions of an `AutoencoderKLCogVideoX`, in place."""
    for parent in list(vae.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CogVideoXCausalConv3d) and child.pad_mode != "replicate":
                setattr(parent, name, CausalConv3d(child.conv))
