"""CogVideoX's convolutions for streaming and export.

    streamable(vae)             # in place; weights and their names stay

- Only causal convolutions over several frames keep a cache. diffusers' convolution over a single frame keeps its whole
  input as a "cache" that is never read, and this is most of the memory between two chunks.
- No convolution splits its input while it is exported. diffusers' splits one that is too large for a call of cuDNN,
  and a size that is free in the exported graph cannot be compared with a limit.

The results are bit-identical to diffusers'; a test compares them.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXCausalConv3d, CogVideoXSafeConv3d
from torch import Tensor, nn


class CausalConv3d(nn.Module):
    """A convolution over time that sees the past only; `conv` is that of the module it replaces."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv
        self.reach = int(conv.kernel_size[0]) - 1

    def forward(self, inputs: Tensor, conv_cache: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the convolved chunk `(B, C, T, H, W)` and the frames that the next chunk needs, or None.

        Args:
            inputs: `(B, C, T, H, W)`.
            conv_cache: the last `reach` input frames of the chunk before; None repeats the first frame.
        """
        if not self.reach:
            return torch.as_tensor(self.conv(inputs)), None
        before = inputs[:, :, :1].expand(-1, -1, self.reach, -1, -1) if conv_cache is None else conv_cache
        inputs = torch.cat([before, inputs], dim=2)
        # Cloned: a view would keep the whole chunk alive.
        return torch.as_tensor(self.conv(inputs)), inputs[:, :, -self.reach :].clone()


class ExportableConv3d(CogVideoXSafeConv3d):  # type: ignore[misc]
    """diffusers' convolution, which splits large inputs, but not while it is exported."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the convolved `(B, C, T, H, W)`."""
        if torch.compiler.is_exporting():
            return nn.Conv3d.forward(self, inputs)
        return torch.as_tensor(super().forward(inputs))


def streamable(vae: Any) -> None:
    """Make all convolutions of an `AutoencoderKLCogVideoX` those of this module, in place."""
    for parent in list(vae.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, CogVideoXCausalConv3d) and child.pad_mode != "replicate":
                setattr(parent, name, CausalConv3d(child.conv))
    for module in vae.modules():
        if type(module) is CogVideoXSafeConv3d:
            module.__class__ = ExportableConv3d  # the same weights under the same names
