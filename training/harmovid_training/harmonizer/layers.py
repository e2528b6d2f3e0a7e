"""What the harmonizer's networks have in common: convolutions, masked means, histograms, quantiles."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor, nn

from harmovid_training.harmonizer.constants import (
    BINS,
    CHROMA_BINS,
    CHROMA_STOPS,
    HIGH_STOPS,
    LOW_STOPS,
    QUANTILES,
    UNIT_STOPS,
)


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3 x 3 convolution with normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.05),
        nn.ReLU(),
    )


class ResidualBlock(nn.Module):
    """Two convolutions, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` plus the output of two convolutions."""
        result: Tensor = x + self.second(self.first(x))
        return result


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return two linear layers with ReLU between them."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def init_small(layer: nn.Module, spread: float, bias: float) -> None:
    """Initialise a last layer to almost no effect: weights of deviation `spread`, every bias `bias`."""
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.normal_(layer.weight, std=spread)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, bias)


def weighted(values: Tensor, weights: Tensor) -> Tuple[Tensor, Tensor]:
    """Return means and deviations `(n, g, c)` of values `(n, p, c)` for `g` sets of weights `(n, p, g)`."""
    share = (weights / weights.sum(1, keepdim=True).clamp_min(1e-6)).transpose(1, 2)
    mean = torch.bmm(share, values)
    square = torch.bmm(share, values * values)
    return mean, (square - mean * mean).clamp_min(0).add(1e-4).sqrt()


def pooled(x: Tensor, masks: Tensor) -> Tensor:
    """Return (n, 4c): mean and deviation of features (n, c, h, w) inside and outside, by `masks` (n, 2, h, w)."""
    weight = masks.flatten(2) + 1e-4
    weight = (weight / weight.sum(2, keepdim=True)).transpose(1, 2)
    flat = x.flatten(2)
    mean = torch.bmm(flat, weight)
    square = torch.bmm(flat * flat, weight)
    deviation = (square - mean * mean).clamp_min(0).add(1e-4).sqrt()
    return torch.cat([mean, deviation], 2).flatten(1)


def histograms(z: Tensor, matte: Tensor, away: Tensor) -> Tensor:
    """Return soft histograms of colours and chroma, area, mean and deviation, inside and outside, concatenated."""
    small = z[:, :, ::3, ::3]
    red, green, blue = small[:, 0], small[:, 1], small[:, 2]
    chroma = torch.stack([red - green, blue - green], 1) * (UNIT_STOPS / CHROMA_STOPS)
    values = torch.cat([small, small.mean(1, keepdim=True)], 1)
    middle, half = (LOW_STOPS + HIGH_STOPS) / 2 / UNIT_STOPS, (HIGH_STOPS - LOW_STOPS) / 2 / UNIT_STOPS
    spread = torch.cat([(values - middle) / half, chroma], 1).clamp(-1, 1).flatten(2)
    soft = _tents(spread, BINS).flatten(1, 2)
    pair = _tents(chroma.clamp(-1, 1).flatten(2), CHROMA_BINS)
    both = (pair[:, 0, :, None] * pair[:, 1, None]).flatten(1, 2)
    flat = small.flatten(2)
    weight = torch.cat([matte, away], 1)[:, :, ::3, ::3].flatten(2).transpose(1, 2)
    area = weight.mean(1)
    # All sums over pixels are matrix products with both masks at once.
    share = weight / (weight.sum(1, keepdim=True) + 1e-3)
    mean = torch.bmm(flat, share)
    deviation = (torch.bmm(flat * flat, share) - mean * mean).clamp_min(0).add(1e-4).sqrt()
    every = [torch.bmm(soft, share) * 4, torch.bmm(both, share) * 4, area[:, None], mean, deviation]
    return torch.cat(every, 1).transpose(1, 2).flatten(1)


def quantiles(z: Tensor, matte: Tensor, away: Tensor) -> Tensor:
    """Return (n, 8 * len(QUANTILES)): quantiles of red, green, blue and their mean, inside and outside."""
    small = z[:, :, ::2, ::2]
    values = torch.cat([small, small.mean(1, keepdim=True)], 1).flatten(2)
    ordered, order = values.sort(2)
    found = []
    for mask in (matte, away):
        weight = mask[:, :, ::2, ::2].flatten(2).expand(-1, 4, -1).gather(2, order)
        below = weight.cumsum(2)
        total = below[:, :, -1:].clamp_min(1e-3)
        ranks = torch.stack([(below < share * total).sum(2) for share in QUANTILES], 2)
        found.append(ordered.gather(2, ranks.clamp_max(ordered.shape[2] - 1)))
    return torch.stack(found, 1).flatten(1)


def _tents(values: Tensor, bins: int) -> Tensor:
    """Return (n, c, bins, p): the weight of values (n, c, p) in -1..1 in each of `bins` overlapping triangular bins."""
    centres = torch.linspace(-1, 1, bins, device=values.device)
    scale = (bins - 1) / 2
    return (1 - (values[:, :, None] * scale - centres[:, None] * scale).abs()).clamp_min(0)
