"""The harmonizer's head: from a shot's mean vector and local features to the answer and its confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Tensor, nn

from harmovid_training.harmonizer.constants import (
    DROPOUT,
    ERRORS,
    GATE_FACTS,
    GATE_LIMIT,
    GRID_COLUMNS,
    GRID_LEVELS,
    GRID_ROWS,
    LOCAL,
    SMALL_STOPS,
    VARIANTS,
    VECTOR,
)
from harmovid_training.harmonizer.layers import init_small

ERROR_LOW, ERROR_HIGH = -3.0, 2.0
"""Range of the predicted error, log of stops."""
EXPECTED = VARIANTS.index("expected")


@dataclass(frozen=True)
class Fields:
    """What the head answers.

    Attributes:
        coeffs: `(n, 3, 10)` in stops per `UNIT_STOPS` terms. grid: `(n, 3, levels, rows, columns)` in stops.
        gate: `(n, len(VARIANTS), 3)` 0..GATE_LIMIT: the confidence of each variant: the share to apply of the curve's
            part common to all channels, of the differences between channels, and of the grid.
        need: `(n, 1)` predicted error of the composite in stops, RMS over the foreground; at least about `SMALL_STOPS`.
        errors: `(n, 2, ERRORS)` predicted stops of exposure, red over green, blue over green and contrast, and the
            logarithm of the deviation of each.
    """

    coeffs: Tensor
    grid: Tensor
    gate: Tensor
    need: Tensor
    errors: Tensor

    def gated(self, variant: int = EXPECTED) -> Fields:
        """Return the answer with a variant's confidence applied."""
        common = self.coeffs.mean(1, keepdim=True)
        luma, colour, local = self.gate[:, variant, :, None, None].unbind(1)
        coeffs = common * luma + (self.coeffs - common) * colour
        return Fields(
            coeffs, self.grid * local[..., None, None], torch.ones_like(self.gate), self.need, self.errors
        )


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
        self.errors = nn.Linear(VECTOR, 2 * ERRORS)
        # Few inputs and one layer: with the whole vector as input it overfits (docs/harmonize.md).
        self.gate = nn.Sequential(
            nn.BatchNorm1d(GATE_FACTS, affine=False), nn.Linear(GATE_FACTS, 3 * len(VARIANTS))
        )
        nn.init.normal_(self.curve.weight, std=0.01)
        nn.init.zeros_(self.curve.bias)
        nn.init.normal_(self.plain.weight, std=0.01)
        init_small(self.places[2], 0.003, 0.0)
        init_small(self.errors, 0.01, 0.0)
        init_small(self.gate[1], 0.0, math.log(1 / (GATE_LIMIT - 1)))
        rows = torch.linspace(-1, 1, GRID_ROWS)[:, None].expand(GRID_ROWS, GRID_COLUMNS)
        columns = torch.linspace(-1, 1, GRID_COLUMNS)[None].expand(GRID_ROWS, GRID_COLUMNS)
        self.register_buffer("position", torch.stack([rows, columns])[None], persistent=False)

    def forward(self, vector: Tensor, local: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return coeffs, grid, gate, need and errors, as `Fields` has them."""
        body = self.body(vector)
        coeffs = (self.curve(body) + self.plain(vector)).reshape(-1, 3, 10)
        scale, shift = self.film(body)[:, :, None, None].chunk(2, 1)
        position: Tensor = self.get_buffer("position")
        position = position.expand(local.shape[0], 2, GRID_ROWS, GRID_COLUMNS)
        grid = self.places(torch.cat([local * (1 + scale) + shift, position], 1))
        grid = grid.reshape(-1, 3, GRID_LEVELS, GRID_ROWS, GRID_COLUMNS)
        need = torch.exp(self.need(body))
        mean, spread = self.errors(body).split(ERRORS, 1)
        errors = torch.stack([mean, spread.clamp(ERROR_LOW, ERROR_HIGH)], 1)
        facts = gate_facts(coeffs, grid, need, errors)
        # Detached: the confidence is calibrated afterwards, on scenes that nothing else was trained on (calibrate.py).
        gate = GATE_LIMIT * torch.sigmoid(self.gate(facts.detach())).reshape(-1, len(VARIANTS), 3)
        return coeffs, grid, gate, need, errors


def gate_facts(coeffs: Tensor, grid: Tensor, need: Tensor, errors: Tensor) -> Tensor:
    """Return the gate's inputs (n, GATE_FACTS): the answer itself, its sizes, the need, and the predicted errors.

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
    mean, spread = errors.unbind(1)
    sure = torch.log(mean.abs() / torch.exp(spread) + 0.1)
    return torch.cat([
        coeffs.flatten(1), torch.stack(plain, 1), torch.log(sizes + SMALL_STOPS), torch.log(need), mean, spread, sure,
    ], 1)  # fmt: skip
