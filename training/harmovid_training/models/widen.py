"""More input channels for a pretrained patch embedding, with zero weights: at step 0 the function is unchanged.

New channels go after the old ones. In both kinds of embedding the channel is the slowest index of a patch: in a
convolution `(E, C, *patch)` and in CogVideoX 1.5's linear layer over `C * pt * p * p` features.
"""

from __future__ import annotations

from typing import TypeVar, cast

import torch
from harmovid.errors import InputError
from torch import nn

Conv = TypeVar("Conv", nn.Conv2d, nn.Conv3d)


def widened_conv(layer: Conv, channels: int, keep: int) -> Conv:
    """Return a convolution over `channels` inputs whose first `keep` have the weights of `layer`, the rest zero."""
    _check(layer.in_channels, channels, keep)
    made = type(layer)(
        channels,
        layer.out_channels,
        cast("int", layer.kernel_size),
        stride=cast("int", layer.stride),
        padding=cast("int", layer.padding),
        bias=layer.bias is not None,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        made.weight.zero_()
        made.weight[:, :keep] = layer.weight[:, :keep]
        if layer.bias is not None and made.bias is not None:
            made.bias.copy_(layer.bias)
    return made


def widened_linear(layer: nn.Linear, channels: int, keep: int, patch_values: int) -> nn.Linear:
    """Return a linear layer over flattened patches of `channels` channels; weights as `widened_conv`.

    Args:
        patch_values: latents in one patch of one channel.
    """
    _check(layer.in_features // patch_values, channels, keep)
    made = nn.Linear(
        channels * patch_values,
        layer.out_features,
        bias=layer.bias is not None,
        device=layer.weight.device,
        dtype=layer.weight.dtype,
    )
    with torch.no_grad():
        made.weight.zero_()
        made.weight[:, : keep * patch_values] = layer.weight[:, : keep * patch_values]
        if layer.bias is not None:
            made.bias.copy_(layer.bias)
    return made


def _check(present: int, channels: int, keep: int) -> None:
    if keep > present or channels < keep:
        raise InputError(
            f"a patch embedding of {present} channels cannot become one of {channels} that keeps {keep}.",
            fix="Widen a model that has not been widened yet.",
        )
