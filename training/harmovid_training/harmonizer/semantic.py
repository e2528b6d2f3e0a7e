"""The semantic branch: the content of each place of a picture, and how similar things on the plate are lit.

Features of a network trained on ImageNet (`backbone.py`) describe what a place shows: skin, road, leaves, sky. Each
place
of the foreground attends to similar places of the plate and reads how their colour differs from its own; each place
then
predicts the change for the whole foreground, with a learned weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from harmovid_training.harmonizer.backbone import CHANNELS
from harmovid_training.harmonizer.constants import GRID_COLUMNS, GRID_ROWS, LOCAL, PLACES, VECTOR
from harmovid_training.harmonizer.layers import init_small, perceptron, weighted

WIDTH = 128
HEADS, KEY = 4, 24
EVIDENCE, VOTES = 96, 4
"""Size of a place's prediction, and number of learned weightings of the places."""
DROPOUT, CHANNEL_DROPOUT, JOIN_DROPOUT = 0.1, 0.15, 0.2
"""Shares dropped in training: of single features, of a picture's features in all places at once, and of what was read
from the places. A few hundred pictures are recognised by their features and memorised otherwise."""
CHANNEL_NOISE = 0.2
"""Deviation of the noise that a picture's features get in training, the same in all places."""
LIMIT = 6.0
"""Deviations at which standardised features are clipped."""
FEATURES = sum(CHANNELS)
GLOBAL = 14
SMALL = 0.02


@dataclass(frozen=True)
class Light:
    """Colour statistics of `p` places: the shares of foreground and plate `(n, p, 1)`, mean and deviation of their
    colours `(n, p, 3)`, and the same of the whole picture, repeated for each place, `(n, p, GLOBAL)`."""

    inside: Tensor
    outside: Tensor
    own: Tensor
    own_spread: Tensor
    behind: Tensor
    behind_spread: Tensor
    whole: Tensor


class Semantic(nn.Module):
    """See the module. Adds to the compact encoder's mixture, to its vector and to its local features."""

    def __init__(self) -> None:
        super().__init__()
        for level, channels in enumerate(CHANNELS):
            self.register_buffer(f"mean{level}", torch.zeros(channels))
            self.register_buffer(f"spread{level}", torch.ones(channels))
        self.dropout = nn.Dropout(DROPOUT)
        self.read = nn.Linear(FEATURES, WIDTH)
        self.query = nn.Linear(FEATURES, HEADS * KEY)
        self.key = nn.Linear(FEATURES, HEADS * KEY)
        self.foreground = perceptron(WIDTH + 6 + 4 * HEADS + GLOBAL, WIDTH, EVIDENCE + VOTES)
        self.plate = perceptron(WIDTH + 6 + GLOBAL, WIDTH, EVIDENCE + VOTES)
        pooled = 2 * EVIDENCE * (VOTES + 1) + 2 * FEATURES
        self.normal = nn.LayerNorm(pooled)
        self.join = nn.Sequential(nn.Linear(pooled, VECTOR), nn.ReLU(), nn.Dropout(DROPOUT))
        self.to_mixture = nn.Linear(VECTOR, VECTOR)
        self.to_vector = nn.Linear(VECTOR, VECTOR)
        self.to_local = nn.Linear(WIDTH, LOCAL)
        for layer in (self.to_mixture, self.to_vector, self.to_local):
            init_small(layer, 1e-3, 0.0)

    def forward(
        self, features: Tuple[Tensor, Tensor, Tensor], cells: Tensor, box: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Return the terms to add: to the mixture and the vector (n, VECTOR), to local features (n, LOCAL, rows, cols).

        Args:
            features: of the backbone. cells: `(n, CELL, *PLACES)`. box: as `Encoder` takes it.
        """
        known = self._disturbed(self.standardised(features))
        light = light_of(cells)
        what = fn.relu(self.read(self.dropout(known)))
        found = self.likeness(known, light)
        said = self.foreground(torch.cat([what, light.own, light.own_spread, found, light.whole], 2))
        told = self.plate(torch.cat([what, light.behind, light.behind_spread, light.whole], 2))
        parts: List[Tensor] = []
        for evidence, share in ((said, light.inside), (told, light.outside)):
            parts += _voted(evidence, share)
        parts += [weighted(known, share + 1e-6)[0][:, 0] for share in (light.inside, light.outside)]
        joined = self.join(fn.dropout(self.normal(torch.cat(parts, 1)), JOIN_DROPOUT, self.training))
        local = self.to_local(_at_box(what, box)).permute(0, 3, 1, 2)
        return self.to_mixture(joined), self.to_vector(joined), local

    def _disturbed(self, known: Tensor) -> Tensor:
        """Return the features as training shows them: with noise, and some of them missing in the whole picture."""
        if not self.training:
            return known
        n, _, channels = known.shape
        kept = fn.dropout(known.new_ones(n, 1, channels), CHANNEL_DROPOUT)
        return known * kept + CHANNEL_NOISE * torch.randn(n, 1, channels, device=known.device)

    def standardised(self, features: Tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the features of all places, `(n, places, FEATURES)`, with mean 0 and deviation 1 over the training
        set."""
        level = []
        for number, raw in enumerate(features):
            mean, spread = self.get_buffer(f"mean{number}"), self.get_buffer(f"spread{number}")
            known = (raw - mean[:, None, None]) / spread[:, None, None]
            if tuple(known.shape[-2:]) != PLACES:
                known = fn.interpolate(known, PLACES, mode="bilinear", align_corners=False)
            level.append(known)
        return torch.cat(level, 1).clamp(-LIMIT, LIMIT).flatten(2).transpose(1, 2)

    def likeness(self, known: Tensor, light: Light) -> Tensor:
        """Return `(n, places, 4 * HEADS)`: how far the colour of similar places of the plate is from a place's own, and
        how many similar places there are."""
        n, places, _ = known.shape
        query = self.query(known).reshape(n, places, HEADS, KEY).transpose(1, 2)
        key = self.key(known).reshape(n, places, HEADS, KEY).permute(0, 2, 3, 1)
        logits = query @ key / KEY**0.5 + torch.log(light.outside.transpose(1, 2)[:, None] + 1e-4)
        amount = torch.logsumexp(logits, 3, keepdim=True)
        read = torch.exp(logits - amount) @ light.behind[:, None].expand(-1, HEADS, -1, -1)
        apart = read - light.own[:, None]
        return torch.cat([apart, 0.2 * amount], 3).transpose(1, 2).flatten(2)

    @torch.no_grad()
    def standardise(self, features: Tuple[Tensor, Tensor, Tensor]) -> None:
        """Set the mean and deviation of the standardisation from these features."""
        for number, one in enumerate(features):
            self.get_buffer(f"mean{number}").copy_(one.mean((0, 2, 3)))
            self.get_buffer(f"spread{number}").copy_(one.std((0, 2, 3)) + 1e-3)


def cells_of(z: Tensor, matte: Tensor, away: Tensor) -> Tensor:
    """Return `(n, CELL, *PLACES)` of colours (n, 3, h, w): shares, sums of colours and of squares, by place."""
    planes = torch.cat([matte, away, z * matte, z * away, z * z * matte, z * z * away], 1)
    size = (planes.shape[2] // PLACES[0], planes.shape[3] // PLACES[1])
    return fn.avg_pool2d(planes, size, size)


def light_of(cells: Tensor) -> Light:
    """Return the statistics in `cells` of each place and of the whole picture."""
    flat = cells.flatten(2).transpose(1, 2)
    inside, outside, own, behind, own_square, behind_square = flat.split_with_sizes((1, 1, 3, 3, 3, 3), 2)
    own, own_square = own / (inside + SMALL), own_square / (inside + SMALL)
    behind, behind_square = behind / (outside + SMALL), behind_square / (outside + SMALL)
    parts = [*weighted(own, inside + 1e-5), *weighted(behind, outside + 1e-5)]
    whole = torch.cat([*(part[:, 0] for part in parts), inside.mean(1), outside.mean(1)], 1)
    whole = whole[:, None].expand(-1, flat.shape[1], -1)
    return Light(
        inside, outside, own, _deviation(own, own_square), behind, _deviation(behind, behind_square), whole
    )


def _deviation(mean: Tensor, square: Tensor) -> Tensor:
    return (square - mean * mean).clamp_min(0).add(1e-4).sqrt()


def _voted(evidence: Tensor, share: Tensor) -> List[Tensor]:
    """Return means of the places' predictions under `VOTES` sets of learned weights, and their deviation over all."""
    said, vote = evidence.split_with_sizes((EVIDENCE, VOTES), 2)
    mean, _ = weighted(said, torch.exp(vote.clamp(-LIMIT, LIMIT)) * share + 1e-6)
    _, deviation = weighted(said, share + 1e-6)
    return [mean.flatten(1), deviation.flatten(1)]


def _at_box(what: Tensor, box: Tensor) -> Tensor:
    """Return features of places `(n, places, c)` read at the cells of the subject's box, `(n, rows, columns, c)`."""
    planes = what.transpose(1, 2).reshape(what.shape[0], what.shape[2], *PLACES)
    read: Tensor = fn.grid_sample(planes, box_places(box), padding_mode="border", align_corners=False)
    return read.permute(0, 2, 3, 1)


def box_places(box: Tensor) -> Tensor:
    """Return the centres of the cells of a subject's box in `grid_sample`'s coordinates, `(n, rows, columns, 2)`."""
    n = box.shape[0]
    rows = (torch.arange(GRID_ROWS, device=box.device) + 0.5) / GRID_ROWS
    columns = (torch.arange(GRID_COLUMNS, device=box.device) + 0.5) / GRID_COLUMNS
    y = box[:, 1:2] + (box[:, 3:4] - box[:, 1:2]) * rows
    x = box[:, 0:1] + (box[:, 2:3] - box[:, 0:1]) * columns
    across = x[:, None, :].expand(n, GRID_ROWS, GRID_COLUMNS)
    down = y[:, :, None].expand(n, GRID_ROWS, GRID_COLUMNS)
    return torch.stack([across, down], -1) * 2 - 1
