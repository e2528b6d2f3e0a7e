"""LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018), v0.1.

    distance = Lpips.from_files((Path("alexnet-owt-7be5be79.pth"), Path("alex.pth")))
    distance(shown, truth_shown, mask)

The network's features are normalised per pixel, their squared differences weighted per channel and averaged. The
published weights are read in their own layouts: torchvision's AlexNet or VGG-16 (`features.N.weight`), or the saved
LPIPS model (`net.sliceK.N.weight`), and the linear layers (`linK.model.1.weight`). Neither package is needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from harmovid_training.device import best_device
from harmovid_training.metrics.degrade import Array
from harmovid_training.metrics.weights import MetricUnavailable, fingerprint, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""The metric's own input scaling, of pictures in -1..1 (v0.1)."""
EPSILON = 1e-10

FEATURE = re.compile(r"(?:features|net\.slice\d)\.(\d+)\.(weight|bias)")
LINEAR = re.compile(r"lins?\.?(\d)\.model\.1\.weight")


@dataclass(frozen=True)
class Layout:
    """A feature network: its convolutions by their number in torchvision's list, and where features are taken.

    Attributes:
        kernel: of the first convolution, by which the network is recognised.
        convolutions: number, stride and padding.
        pools: numbers of convolutions that a max-pool comes before.
        pool: kernel and stride of it.
        taps: numbers of convolutions after whose ReLU features are taken.
    """

    name: str
    kernel: int
    convolutions: Tuple[Tuple[int, int, int], ...]
    pools: Tuple[int, ...]
    pool: Tuple[int, int]
    taps: Tuple[int, ...]


ALEX = Layout(
    "AlexNet", 11, ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)), (3, 6), (3, 2), (0, 3, 6, 8, 10)
)
VGG = Layout(
    "VGG-16", 3, tuple((number, 1, 1) for number in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
    (5, 10, 17, 24), (2, 2), (2, 7, 14, 21, 28),
)  # fmt: skip


class Lpips:
    """The distance of two views, 0 for equal ones.

    Args:
        tensors: the weights by their published names.
        identity: of the weights, stored with results.

    Raises:
        MetricUnavailable: tensors are missing or fit no known network.
    """

    def __init__(self, tensors: Mapping[str, Tensor], identity: str = "") -> None:
        self._device = best_device()
        features: Dict[Tuple[int, str], Tensor] = {}
        self._linear: Dict[int, Tensor] = {}
        for name, value in tensors.items():
            if found := FEATURE.fullmatch(name):
                features[int(found[1]), found[2]] = value.float().to(self._device)
            elif found := LINEAR.fullmatch(name):
                self._linear[int(found[1])] = value.float().reshape(-1).to(self._device)
        first = features.get((0, "weight"))
        fitting = [each for each in (ALEX, VGG) if first is not None and first.shape[-1] == each.kernel]
        if not fitting:
            raise MetricUnavailable(
                "LPIPS: no AlexNet or VGG-16 features among the weights.",
                fix="Give torchvision's alexnet-owt-7be5be79.pth (or vgg16-397923af.pth) with --lpips.",
            )
        self.layout, self._features = fitting[0], features
        self.identity = f"{self.layout.name} {identity}".strip()
        self._check()

    @classmethod
    def from_files(cls, files: Sequence[Path]) -> Lpips:
        """Return the metric with weights from local files."""
        return cls(read_tensors(files), fingerprint(files))

    def _check(self) -> None:
        wanted = [number for number, _, _ in self.layout.convolutions]
        if any((number, kind) not in self._features for number in wanted for kind in ("weight", "bias")):
            raise MetricUnavailable(
                f"LPIPS: the {self.layout.name} weights are incomplete.", fix="Fetch them again."
            )
        for layer, number in enumerate(self.layout.taps):
            weight = self._linear.get(layer)
            if weight is None or len(weight) != len(self._features[number, "bias"]):
                raise MetricUnavailable(
                    f"LPIPS: no linear layer {layer} that fits {self.layout.name}.",
                    fix="Give the published alex.pth or vgg.pth (v0.1) as well, with another --lpips.",
                )

    def __call__(self, shown: Array, truth: Array, mask: Optional[Array] = None) -> float:
        """Return the mean distance over the frames of two views `(T, H, W, 3)` in 0..1, inside `mask` `(T, H, W)`."""
        import torch

        values, shares = [], []
        with torch.no_grad():
            for index in range(len(truth)):
                matte = None if mask is None else torch.from_numpy(mask[index])[None, None].to(self._device)
                distance, share = self._distance(shown[index], truth[index], matte)
                values.append(distance * share)
                shares.append(share)
        return float(np.sum(values) / max(np.sum(shares), 1e-9))

    def _distance(self, one: Array, other: Array, matte: Optional[Tensor]) -> Tuple[float, float]:
        """Return a frame's distance and its weight."""
        from torch.nn import functional as nnf

        pairs = zip(self._taps(one), self._taps(other))
        total = 0.0
        for layer, (a, b) in enumerate(pairs):
            square = ((a - b) ** 2 * self._linear[layer].view(1, -1, 1, 1)).sum(1, keepdim=True)
            if matte is None:
                total += float(square.mean())
            else:
                weight = nnf.adaptive_avg_pool2d(matte, square.shape[-2:])
                total += float((square * weight).sum() / weight.sum().clamp(min=1e-9))
        return total, 1.0 if matte is None else float(matte.mean())

    def _taps(self, shown: Array) -> List[Any]:
        """Return the normalised features `(1, C, h, w)` of one view."""
        import torch
        from torch.nn import functional as nnf

        picture = torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1), np.float32))[None] * 2 - 1
        shift, scale = (torch.tensor(values).view(1, 3, 1, 1).to(self._device) for values in (SHIFT, SCALE))
        x = (picture.to(self._device) - shift) / scale
        taps = []
        for number, stride, padding in self.layout.convolutions:
            if number in self.layout.pools:
                x = nnf.max_pool2d(x, *self.layout.pool)
            weight, bias = (self._features[number, kind] for kind in ("weight", "bias"))
            x = nnf.relu(nnf.conv2d(x, weight, bias, stride, padding))
            if number in self.layout.taps:
                taps.append(x / (x.pow(2).sum(1, keepdim=True).sqrt() + EPSILON))
        return taps
