"""The harmonizer: from small pictures of a composite and its matte to a lighting field.

Two pieces, exported apart so that a server can keep their state small:

- `Encoder`, per frame: codes and matte in, one vector, its trust, and 8 x 8 local features of the subject's box out.
  It never sees the plate behind the foreground.
- `Head`, per answer: the trust-weighted mean of the vectors and of the local features of the frames seen so far in;
  a quadratic curve, a bilateral grid of gains over the subject's box and a confidence out.

Vectors are averaged over time before the head reads them: the look of a shot is one thing, however many frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

CODE_GREY, CODE_STOPS = 0.4135884, 17.52
"""ACEScct code of 0.18 and stops per unit of code: codes of `harmovid.pixels.colour.model_space` become stops."""
UNIT_STOPS = 3.0
"""Stops that read as 1 inside the network."""
LOW_STOPS, HIGH_STOPS = -7.0, 6.0
"""Range of the curve, from the anchor; also where the histograms end."""
GRID_ROWS, GRID_COLUMNS, GRID_LEVELS = 8, 8, 3
GRID_LOW, GRID_HIGH = -4.0, 3.0
"""Luma range of the grid's levels, in stops from the anchor."""
BINS, CHROMA_BINS = 16, 7
CHROMA_STOPS = 2.5
VECTOR = 224
STEM = 16
STAGES = (24, 48, 96, 160)
"""Channels at a half, a quarter, an eighth and a sixteenth of the picture's size."""
KEYS, VALUES = 32, 32
"""Numbers by which places of the foreground look for places of the plate like them, and what they read there."""
LOCAL = 24
GATE_FACTS = 41
DROPOUT = 0.05
GATE_LIMIT, SMALL_STOPS = 1.5, 0.03
"""Largest confidence (the network says too little of what is far off), and what counts as small among its facts."""


@dataclass(frozen=True)
class Fields:
    """What the head answers: `coeffs` (n, 3, 10) in stops per `UNIT_STOPS` terms, `grid` (n, 3, levels, rows,
    columns) in stops, `gate` (n, 3) 0..GATE_LIMIT: the share worth applying of what the channels have in common, of
    what sets them apart, and of the grid. `need` (n, 1): stops that seem to be wrong, RMS over the foreground; never
    less than about `SMALL_STOPS`."""

    coeffs: Tensor
    grid: Tensor
    gate: Tensor
    need: Tensor

    def gated(self) -> Fields:
        """Return the answer with its confidence applied."""
        common = self.coeffs.mean(1, keepdim=True)
        luma, colour, local = self.gate[:, :, None, None].unbind(1)
        coeffs = common * luma + (self.coeffs - common) * colour
        return Fields(coeffs, self.grid * local[..., None, None], torch.ones_like(self.gate), self.need)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.05),
        nn.ReLU(),
    )


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with what two convolutions add."""
        result: Tensor = x + self.second(self.first(x))
        return result


class _Likeness(nn.Module):
    """What the foreground's places find at the places of the plate that are like them: the same road, the same skin.

    Attention from foreground to plate over features at an eighth of the size; what is read is features and the
    plate's own colour, less the foreground's colour there: how far like things differ.
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
    """See the module. Inputs: `codes` (n, 3, h, w), `matte` and `coverage` (n, 1, h, w) in 0..1, `box` (n, 4) the
    subject's x0, y0, x1, y1 as shares of the frame. h and w are any; training uses `data.batches.HEIGHT, WIDTH`."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = STAGES
        self.stem = nn.Sequential(_conv(5, STEM, 2), _conv(STEM, a))
        self.fine = nn.Sequential(_conv(a, b, 2), _Block(b))
        self.middle = nn.Sequential(_conv(b, c, 2), _Block(c), _Block(c))
        self.coarse = nn.Sequential(_conv(c, d, 2), _Block(d), _Block(d))
        self.likeness = _Likeness(c)
        self.local = nn.Conv2d(b + c + 5, LOCAL, 1)
        pooled = 4 * sum(STAGES) + 2 * (VALUES + 4)
        counts = 2 * (6 * BINS + CHROMA_BINS**2 + 7)
        self.mix = nn.Sequential(nn.LayerNorm(pooled), nn.Linear(pooled, VECTOR))
        self.count = nn.Linear(counts, VECTOR)
        self.out = nn.Sequential(nn.ReLU(), nn.Linear(VECTOR, VECTOR + 1))
        # Statistics reach the head by a straight way too: what is linear in them is learned at once.
        self.direct = nn.Linear(counts, VECTOR + 1)

    def forward(
        self, codes: Tensor, matte: Tensor, coverage: Tensor, box: Tensor
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Return vector (n, VECTOR), trust (n, 1) above 0, local (n, LOCAL, GRID_ROWS, GRID_COLUMNS)."""
        z = ((codes - CODE_GREY) * (CODE_STOPS / UNIT_STOPS)).clamp(LOW_STOPS / UNIT_STOPS, 2.5)
        away = (1 - fn.max_pool2d(matte, 5, 1, 2)) * coverage
        stem = self.stem(torch.cat([z, matte, away], 1))
        fine = self.fine(stem)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        masks, pools = torch.cat([matte, away, z * matte, z * away], 1), []
        for x in (stem, fine, middle, coarse):
            masks = fn.avg_pool2d(masks, 3, 2, 1)
            pools.append(_pooled(x, masks[:, :2]))
            if x is middle:
                pools.append(self.likeness(x, masks[:, 2:], masks[:, :2]))
        counts = _counts(z, matte, away)
        vector = self.out(self.mix(torch.cat(pools, 1)) + self.count(counts)) + self.direct(counts)
        return (
            vector[:, :VECTOR],
            fn.softplus(vector[:, VECTOR:]) + 0.02,
            self._local(z, matte, away, fine, middle, box),
        )

    def _local(
        self, z: Tensor, matte: Tensor, away: Tensor, fine: Tensor, middle: Tensor, box: Tensor
    ) -> Tensor:
        """Return features read at the cells of the subject's box: conv features and the masked colour there."""
        n = z.shape[0]
        rows = (torch.arange(GRID_ROWS, device=z.device) + 0.5) / GRID_ROWS
        columns = (torch.arange(GRID_COLUMNS, device=z.device) + 0.5) / GRID_COLUMNS
        y = box[:, 1:2] + (box[:, 3:4] - box[:, 1:2]) * rows
        x = box[:, 0:1] + (box[:, 2:3] - box[:, 0:1]) * columns
        places = torch.stack(
            [
                x[:, None, :].expand(n, GRID_ROWS, GRID_COLUMNS),
                y[:, :, None].expand(n, GRID_ROWS, GRID_COLUMNS),
            ],
            -1,
        )
        weight = fn.avg_pool2d(matte, 8, 4, 2)
        colour = fn.avg_pool2d(z * matte, 8, 4, 2) / (weight + 0.02)
        parts = [fine, torch.cat([colour, weight, fn.avg_pool2d(away, 8, 4, 2)], 1), middle]
        read = [fn.grid_sample(p, places * 2 - 1, padding_mode="border", align_corners=False) for p in parts]
        local: Tensor = self.local(torch.cat(read, 1))
        return local


class Head(nn.Module):
    """See the module. Inputs: `vector` (n, VECTOR) and `local` (n, LOCAL, rows, columns), averaged over frames."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(VECTOR, VECTOR), nn.ReLU(), nn.Dropout(DROPOUT)
        )
        self.curve = nn.Linear(VECTOR, 30)
        self.plain = nn.Linear(VECTOR, 30, bias=False)
        self.film = nn.Linear(VECTOR, 2 * LOCAL)
        self.places = nn.Sequential(
            nn.Conv2d(LOCAL + 2, 2 * LOCAL, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(2 * LOCAL, 3 * GRID_LEVELS, 3, 1, 1),
        )
        self.need = nn.Linear(VECTOR, 1)
        # Few facts and one layer: with the whole vector it learned its scenes by heart (docs/harmonize.md).
        self.gate = nn.Sequential(nn.BatchNorm1d(GATE_FACTS, affine=False), nn.Linear(GATE_FACTS, 3))
        nn.init.normal_(self.curve.weight, std=0.01)
        nn.init.zeros_(self.curve.bias)
        nn.init.normal_(self.plain.weight, std=0.01)
        _still(self.places[2], 0.003, 0.0)
        _still(self.gate[1], 0.0, math.log(1 / (GATE_LIMIT - 1)))
        rows = torch.linspace(-1, 1, GRID_ROWS)[:, None].expand(GRID_ROWS, GRID_COLUMNS)
        columns = torch.linspace(-1, 1, GRID_COLUMNS)[None].expand(GRID_ROWS, GRID_COLUMNS)
        self.register_buffer("position", torch.stack([rows, columns])[None], persistent=False)

    def forward(self, vector: Tensor, local: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return coeffs (n, 3, 10), grid (n, 3, levels, rows, columns), gate (n, 3) and need (n, 1), as `Fields`."""
        body = self.body(vector)
        coeffs = (self.curve(body) + self.plain(vector)).reshape(-1, 3, 10)
        scale, shift = self.film(body)[:, :, None, None].chunk(2, 1)
        position: Tensor = self.get_buffer("position")
        position = position.expand(local.shape[0], 2, GRID_ROWS, GRID_COLUMNS)
        grid = self.places(torch.cat([local * (1 + scale) + shift, position], 1))
        grid = grid.reshape(-1, 3, GRID_LEVELS, GRID_ROWS, GRID_COLUMNS)
        need = torch.exp(self.need(body))
        facts = gate_facts(coeffs, grid, need)
        # Detached: the confidence is calibrated afterwards, on scenes that the rest has not seen (calibrate.py).
        return coeffs, grid, GATE_LIMIT * torch.sigmoid(self.gate(facts.detach())), need


def _still(layer: nn.Module, spread: float, bias: float) -> None:
    """Begin a last layer with next to no effect: weights of `spread`, all biases alike."""
    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        nn.init.normal_(layer.weight, std=spread)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, bias)


def gate_facts(coeffs: Tensor, grid: Tensor, need: Tensor) -> Tensor:
    """Return (n, GATE_FACTS): what the confidence is judged by, the answer itself, how large it is, and the need seen.

    Sizes are logarithms: exposure, colour, contrast and what grows with colour, the grid's mean and its spread.
    """
    common, shift = coeffs.mean(1), grid.mean((1, 2, 3, 4))
    apart = coeffs - common[:, None]
    sizes = torch.stack([
        common[:, 0].abs(), apart[:, :, 0].square().mean(1).sqrt(), common[:, 1:4].sum(1).abs(),
        apart[:, :, 1:4].square().mean((1, 2)).sqrt(), grid.square().mean((1, 2, 3, 4)).sqrt(),
        (grid - shift[:, None, None, None, None]).square().mean((1, 2, 3, 4)).sqrt(),
    ], 1)  # fmt: skip
    plain = [shift, grid.abs().mean((1, 2, 3, 4)), coeffs.abs().mean((1, 2)), common[:, 0]]
    return torch.cat(
        [coeffs.flatten(1), torch.stack(plain, 1), torch.log(sizes + SMALL_STOPS), torch.log(need)], 1
    )


class Harmonizer(nn.Module):
    """Encoder and head together, over clips of the same number of frames."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.head = Head()

    def forward(self, codes: Tensor, matte: Tensor, coverage: Tensor, box: Tensor, frames: int) -> Fields:
        """Return one answer per clip of `frames` consecutive rows of the inputs (as `Encoder` takes them)."""
        return Fields(*self.head(*self.averaged(codes, matte, coverage, box, frames)))

    def averaged(
        self, codes: Tensor, matte: Tensor, coverage: Tensor, box: Tensor, frames: int
    ) -> Tuple[Tensor, Tensor]:
        """Return the trust-weighted means of vectors and local features, one per clip."""
        vector, trust, local = self.encoder(codes, matte, coverage, box)
        share = trust.reshape(-1, frames, 1)
        share = share / share.sum(1, keepdim=True)
        mean = (vector.reshape(-1, frames, VECTOR) * share).sum(1)
        return mean, (local.reshape(-1, frames, *local.shape[1:]) * share[..., None, None]).sum(1)


def subject_box(matte: Tensor) -> Tensor:
    """Return (n, 4): the box of two deviations around the middle of mattes (n, 1, h, w), in shares of the frame."""
    h, w = matte.shape[2:]
    total = matte.sum((1, 2, 3)).clamp_min(1e-3)
    rows = (torch.arange(h, device=matte.device) + 0.5) / h
    columns = (torch.arange(w, device=matte.device) + 0.5) / w
    along_y, along_x = matte.sum((1, 3)), matte.sum((1, 2))
    y, x = (along_y @ rows) / total, (along_x @ columns) / total
    dy = ((along_y @ rows**2) / total - y**2).clamp_min(1e-4).sqrt() * 2
    dx = ((along_x @ columns**2) / total - x**2).clamp_min(1e-4).sqrt() * 2
    return torch.stack([x - dx, y - dy, x + dx, y + dy], 1)


def _pooled(x: Tensor, masks: Tensor) -> Tensor:
    """Return mean and deviation of features (n, c, h, w), inside and outside as `masks` (n, 2, h, w) say, (n, 4c)."""
    weight = masks.flatten(2) + 1e-4
    weight = (weight / weight.sum(2, keepdim=True)).transpose(1, 2)
    flat = x.flatten(2)
    mean = torch.bmm(flat, weight)
    square = torch.bmm(flat * flat, weight)
    deviation = (square - mean * mean).clamp_min(0).add(1e-4).sqrt()
    return torch.cat([mean, deviation], 2).flatten(1)


def _counts(z: Tensor, matte: Tensor, away: Tensor) -> Tensor:
    """Return soft histograms of colours and chroma, area, mean and deviation, inside and outside, side by side."""
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
    # All sums over pixels are products with both masks at once.
    share = weight / (weight.sum(1, keepdim=True) + 1e-3)
    mean = torch.bmm(flat, share)
    deviation = (torch.bmm(flat * flat, share) - mean * mean).clamp_min(0).add(1e-4).sqrt()
    every = [torch.bmm(soft, share) * 4, torch.bmm(both, share) * 4, area[:, None], mean, deviation]
    return torch.cat(every, 1).transpose(1, 2).flatten(1)


def _tents(values: Tensor, bins: int) -> Tensor:
    """Return (n, c, bins, p): how far values (n, c, p) in -1..1 lie in each of `bins` overlapping bins."""
    centres = torch.linspace(-1, 1, bins, device=values.device)
    scale = (bins - 1) / 2
    return (1 - (values[:, :, None] * scale - centres[:, None] * scale).abs()).clamp_min(0)
