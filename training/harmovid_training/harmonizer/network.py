"""The harmonizer: from small pictures of a composite and its matte to a lighting field.

Two parts, exported separately so that a server keeps only small state per frame:

- `Encoder`, per frame: colours, matte and the backbone's features in; one vector, its trust (a weight), and 8 x 8 local
  features of the subject's box out. It never sees the plate behind the foreground.
- `Head` (`head.py`), per answer: the trust-weighted mean of the vectors and of the local features of the frames seen
  so far in; a quadratic curve, a bilateral grid of gains over the subject's box and a confidence out.

Vectors are averaged over time before the head reads them, because a shot has one look, however many frames it has.

The encoder has a compact part, convolutions that were trained earlier on their own, and a semantic part that reads the
backbone. `Measured` holds the features of both that need no training any more; they are computed once and kept on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from harmovid_training.data.batches import subject_box
from harmovid_training.harmonizer.constants import (
    ANCHOR_STOPS,
    BINS,
    CHROMA_BINS,
    CODE_GREY,
    CODE_STOPS,
    KEYS,
    LOCAL,
    LOW_STOPS,
    POOLS_DROPOUT,
    QUANTILES,
    STAGES,
    STEM,
    UNIT_STOPS,
    VALUES,
    VECTOR,
)
from harmovid_training.harmonizer.head import Fields, Head
from harmovid_training.harmonizer.layers import (
    ResidualBlock,
    convolution,
    histograms,
    init_small,
    perceptron,
    pooled,
    quantiles,
)
from harmovid_training.harmonizer.semantic import Semantic, box_places, cells_of

__all__ = ["Encoder", "Fields", "Harmonizer", "Head", "Measured", "subject_box"]
GREY = 0.18


@dataclass(frozen=True)
class Measured:
    """Fixed features of `n` pictures: the input of the trained layers.

    Attributes:
        pools: means and deviations of the compact part's features. counts: histograms. facts: quantiles, exposure.
        local: `(n, LOCAL, rows, columns)` features at the subject's box. cells: the light of places (`semantic`).
        box: `(n, 4)` the subject's x0, y0, x1, y1 as shares of the picture.
        stride8, stride16, stride32: features of the backbone.
    """

    pools: Tensor
    counts: Tensor
    facts: Tensor
    local: Tensor
    cells: Tensor
    box: Tensor
    stride8: Tensor
    stride16: Tensor
    stride32: Tensor


class _Likeness(nn.Module):
    """Attention from places of the foreground to similar places of the plate: the same road, the same skin.

    It works on features at an eighth of the size. The values are features and the plate's colour minus the foreground's
    colour: by how much similar things differ.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, KEYS, 1)
        self.key = nn.Conv2d(channels, KEYS, 1)
        self.value = nn.Conv2d(channels, VALUES, 1)

    def forward(self, x: Tensor, colours: Tensor, masks: Tensor) -> Tensor:
        """Return (n, 2 * (VALUES + 4)): mean and deviation over the foreground.

        Args:
            x: (n, c, h, w) features. colours: (n, 6, h, w) sums of foreground's and plate's colour.
            masks: (n, 2, h, w) their shares.
        """
        inside, outside = masks.flatten(2).chunk(2, 1)
        own = colours[:, :3].flatten(2) / (inside + 0.02)
        behind = colours[:, 3:].flatten(2) / (outside + 0.02)
        logits = torch.bmm(self.query(x).flatten(2).transpose(1, 2), self.key(x).flatten(2)) / KEYS**0.5
        logits = logits + torch.log(outside + 1e-4)
        found = torch.logsumexp(logits, 2, keepdim=True)
        share = torch.exp(logits - found).transpose(1, 2)
        read = torch.bmm(torch.cat([self.value(x).flatten(2), behind], 1), share)
        apart = torch.cat([read[:, :VALUES], read[:, VALUES:] - own, found.transpose(1, 2) * 0.2], 1)
        weight = inside + 1e-4
        weight = (weight / weight.sum(2, keepdim=True)).transpose(1, 2)
        mean = torch.bmm(apart, weight)
        deviation = (torch.bmm(apart * apart, weight) - mean * mean).clamp_min(0).add(1e-4).sqrt()
        return torch.cat([mean, deviation], 2).flatten(1)


class Encoder(nn.Module):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = STAGES
        self.stem = nn.Sequential(convolution(5, STEM, 2), convolution(STEM, a))
        self.fine = nn.Sequential(convolution(a, b, 2), ResidualBlock(b))
        self.middle = nn.Sequential(convolution(b, c, 2), ResidualBlock(c), ResidualBlock(c))
        self.coarse = nn.Sequential(convolution(c, d, 2), ResidualBlock(d), ResidualBlock(d))
        self.likeness = _Likeness(c)
        self.local = nn.Conv2d(b + c + 5, LOCAL, 1)
        pools = 4 * sum(STAGES) + 2 * (VALUES + 4)
        counts = 2 * (6 * BINS + CHROMA_BINS**2 + 7)
        self.mix = nn.Sequential(nn.LayerNorm(pools), nn.Linear(pools, VECTOR))
        self.count = nn.Linear(counts, VECTOR)
        self.out = nn.Sequential(nn.ReLU(), nn.Linear(VECTOR, VECTOR + 1))
        # A skip connection for the statistics: what depends on them linearly is learned at once.
        self.direct = nn.Linear(counts, VECTOR + 1)
        facts = 8 * len(QUANTILES) + 2
        self.facts = perceptron(facts, VECTOR, VECTOR)
        self.plain_facts = nn.Linear(facts, VECTOR)
        init_small(self.facts[2], 1e-3, 0.0)
        init_small(self.plain_facts, 1e-3, 0.0)
        self.semantic = Semantic()

    def forward(
        self, codes: Tensor, matte: Tensor, coverage: Tensor, box: Tensor, anchor: Tensor,
        stride8: Tensor, stride16: Tensor, stride32: Tensor,
    ) -> Tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return vector (n, VECTOR), trust (n, 1) above 0, local (n, LOCAL, GRID_ROWS, GRID_COLUMNS).

        Args:
            codes: (n, 3, 72, 96) model-space codes. matte, coverage: (n, 1, 72, 96) in 0..1.
            box: (n, 4) the subject's x0, y0, x1, y1 as shares of the picture. anchor: (n,) linear.
            stride8, stride16, stride32: the backbone's features of the picture at twice the size.
        """
        return self.judged(self.measured(codes, matte, coverage, box, anchor, (stride8, stride16, stride32)))

    def measured(
        self, codes: Tensor, matte: Tensor, coverage: Tensor, box: Tensor, anchor: Tensor,
        features: Tuple[Tensor, Tensor, Tensor],
    ) -> Measured:  # fmt: skip
        """Return the fixed features of the pictures; arguments as of `forward`."""
        z = ((codes - CODE_GREY) * (CODE_STOPS / UNIT_STOPS)).clamp(LOW_STOPS / UNIT_STOPS, 2.5)
        away = (1 - fn.max_pool2d(matte, 5, 1, 2)) * coverage
        stem = self.stem(torch.cat([z, matte, away], 1))
        fine = self.fine(stem)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        masks, pools = torch.cat([matte, away, z * matte, z * away], 1), []
        for x in (stem, fine, middle, coarse):
            masks = fn.avg_pool2d(masks, 3, 2, 1)
            pools.append(pooled(x, masks[:, :2]))
            if x is middle:
                pools.append(self.likeness(x, masks[:, 2:], masks[:, :2]))
        exposure = torch.log2(anchor / GREY).clamp(-ANCHOR_STOPS, ANCHOR_STOPS)
        size = torch.log2(matte.mean((1, 2, 3)) + 0.01)
        facts = [quantiles(z, matte, away), torch.stack([exposure, size], 1) / UNIT_STOPS]
        return Measured(
            torch.cat(pools, 1), histograms(z, matte, away), torch.cat(facts, 1),
            self._local(z, matte, away, fine, middle, box), cells_of(z, matte, away), box, *features,
        )  # fmt: skip

    def judged(self, seen: Measured) -> Tuple[Tensor, Tensor, Tensor]:
        """Return vector, trust and local features, as `forward`."""
        features = (seen.stride8, seen.stride16, seen.stride32)
        mixture, vector, local = self.semantic(features, seen.cells, seen.box)
        pools = fn.dropout(seen.pools, POOLS_DROPOUT, self.training)
        mixture = mixture + self.mix(pools) + self.count(seen.counts) + self.facts(seen.facts)
        both = self.out(mixture) + self.direct(seen.counts)
        vector = both[:, :VECTOR] + vector + self.plain_facts(seen.facts)
        return vector, fn.softplus(both[:, VECTOR:]) + 0.02, seen.local + local

    def _local(
        self, z: Tensor, matte: Tensor, away: Tensor, fine: Tensor, middle: Tensor, box: Tensor
    ) -> Tensor:
        """Return features read at the cells of the subject's box: conv features and the masked colour there."""
        weight = fn.avg_pool2d(matte, 8, 4, 2)
        colour = fn.avg_pool2d(z * matte, 8, 4, 2) / (weight + 0.02)
        parts = [fine, torch.cat([colour, weight, fn.avg_pool2d(away, 8, 4, 2)], 1), middle]
        places = box_places(box)
        read = [fn.grid_sample(p, places, padding_mode="border", align_corners=False) for p in parts]
        local: Tensor = self.local(torch.cat(read, 1))
        return local


class Harmonizer(nn.Module):
    """Encoder and head together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = Head()

    def forward(self, seen: Measured, frames: int = 1) -> Fields:
        """Return one answer per clip of `frames` consecutive rows of `seen`."""
        return Fields(*self.head(*self.averaged(seen, frames)))

    def averaged(self, seen: Measured, frames: int = 1) -> Tuple[Tensor, Tensor]:
        """Return the trust-weighted means of vectors and local features, one per clip."""
        vector, trust, local = self.encoder.judged(seen)
        share = trust.reshape(-1, frames, 1)
        share = share / share.sum(1, keepdim=True)
        mean = (vector.reshape(-1, frames, VECTOR) * share).sum(1)
        return mean, (local.reshape(-1, frames, *local.shape[1:]) * share[..., None, None]).sum(1)
