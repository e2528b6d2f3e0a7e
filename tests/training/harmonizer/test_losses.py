"""Training processes pixels like the product: codes, boxes and fields, torch against core and server."""

from __future__ import annotations

import numpy as np
import torch
from harmovid.pixels.apply.tiles import apply_field
from harmovid.pixels.colour.model_space import to_model
from harmovid.pixels.field import Curve, Grid, LightingField
from harmovid_training.data.batches import Batch, subject_box
from harmovid_training.harmonizer import constants as numbers
from harmovid_training.harmonizer.head import Fields
from harmovid_training.harmonizer.losses import (
    Points,
    every_point,
    field_stops,
    gain_db,
    loss,
    needed,
    negative_log_likelihood,
    to_codes,
    view,
)
from harmovid_training.metrics import quality

NEED = torch.full((2, 1), 0.5)
OPEN, ERRORS = torch.ones(2, len(numbers.VARIANTS), 3), torch.zeros(2, 2, numbers.ERRORS)


def made(count: int = 2, height: int = 24, width: int = 32) -> Batch:
    """Return a batch with a box as matte and truth half a stop over the composite."""
    rng = torch.Generator().manual_seed(1)
    composite = 0.2 * torch.exp2(torch.randn(count, 3, height, width, generator=rng))
    matte = torch.zeros(count, 1, height, width)
    matte[:, :, 6:18, 8:20] = 1
    truth = torch.where(matte > 0, composite * 2**0.5, composite)
    return Batch(
        composite, truth, matte, matte, torch.ones_like(matte), torch.tensor([0.15, 0.3]),
        torch.ones(count), torch.arange(count),
    )  # fmt: skip


def answer(seed: int = 2) -> Fields:
    """Return small random fields for two clips."""
    rng = torch.Generator().manual_seed(seed)
    grid = 0.5 * torch.randn(
        2, 3, numbers.GRID_LEVELS, numbers.GRID_ROWS, numbers.GRID_COLUMNS, generator=rng
    )
    return Fields(0.2 * torch.randn(2, 3, 10, generator=rng), grid, 0.5 * OPEN, NEED, ERRORS)


def subject(batch: Batch) -> Points:
    """Return the pixels that the batch's matte covers."""
    points, inside = every_point(batch), batch.matte[0].flatten() > 0
    return Points(
        points.composite[:, :, inside], points.truth[:, :, inside], points.weight[:, :, inside], points.x[:, inside],
        points.y[:, inside], points.anchor,
    )  # fmt: skip


def test_codes_are_those_of_model_space() -> None:
    """The torch implementation gives core's codes within float rounding, from black to highlights."""
    linear = torch.tensor([0.0, 1e-4, 0.01, 0.18, 1.0, 40.0]).reshape(1, 1, 1, 6).expand(1, 3, 1, 6)
    codes = to_codes(linear, torch.tensor([0.09]))
    wanted = to_model(linear.permute(0, 2, 3, 1).numpy(), 0.09)

    np.testing.assert_allclose(codes.permute(0, 2, 3, 1).numpy(), wanted, atol=1e-6)


def test_the_view_is_that_of_the_metrics() -> None:
    """Training uses the same display curve as evaluation."""
    linear = torch.linspace(0, 5, 200)

    np.testing.assert_allclose(view(linear).numpy(), quality.view(linear.numpy()), atol=2e-6)


def test_stops_are_those_of_the_exported_field() -> None:
    """A curve and a grid applied in training equal core's field made of the same numbers, within 0.01 stops."""
    batch, fields = made(), answer()
    stops = field_stops(batch, fields)
    for i in range(2):
        powers = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
        anchor = float(batch.anchor[i])
        box = subject_box(batch.matte)[i].numpy() * [32, 24, 32, 24]
        level = float(np.log2(anchor))
        field = LightingField((
            Curve(fields.coeffs[i].numpy() / numbers.UNIT_STOPS**powers, anchor, numbers.LOW_STOPS, numbers.HIGH_STOPS),
            Grid(
                fields.grid[i].permute(2, 3, 1, 0).numpy(), tuple(box), level + numbers.GRID_LOW,
                level + numbers.GRID_HIGH,
            ),
        ))  # fmt: skip
        linear = batch.composite[i].permute(1, 2, 0).contiguous().numpy()
        wanted = np.log2(apply_field(linear, field, origin=(0, 0))[0] / linear)
        found = stops[i].permute(1, 2, 0).numpy()
        # Training limits the curve to 6 stops, which these fields do not reach.
        np.testing.assert_allclose(found, wanted, atol=0.01)


def test_the_right_answer_costs_least() -> None:
    """Half a stop in the right direction gains many dB and lowers the loss; the wrong sign raises it."""
    batch, costs = made(), []
    for stops in (0.5, 0.0, -0.5):
        coeffs = torch.zeros(2, 3, 10)
        coeffs[:, :, 0] = stops
        fields = Fields(coeffs, torch.zeros_like(answer().grid), OPEN, NEED, ERRORS)
        costs.append(float(loss(subject(batch), fields)))

    assert costs[0] < costs[1] < costs[2]
    points = subject(batch)
    assert float(gain_db(points, torch.full_like(points.composite, 0.5)).min()) > 5


def test_a_gate_of_nothing_is_no_change() -> None:
    """Gates of 0 give zero stops; gates of 1 give the answer itself; each variant has its own."""
    batch, fields = made(), answer()
    gate = OPEN * torch.tensor([0.0, 1.0, 1.0])[:, None]
    mixed = Fields(fields.coeffs, fields.grid, gate, NEED, ERRORS)

    assert not field_stops(batch, mixed.gated(0)).any()
    torch.testing.assert_close(field_stops(batch, mixed.gated(1)), field_stops(batch, fields))


def test_the_need_is_how_far_off_the_composite_is() -> None:
    """For an error of half a stop, predicting half a stop has a lower loss than a quarter or a whole one."""
    points, fields = subject(made()), answer()
    costs = [
        float(loss(points, Fields(fields.coeffs, fields.grid, fields.gate, scale * NEED, ERRORS)))
        for scale in (1.0, 0.5, 2.0)
    ]

    assert costs[0] < min(costs[1:])


def test_the_error_foretold_is_judged_by_what_is_needed() -> None:
    """For an exposure error of half a stop, the right prediction costs less and a wrong one more at smaller
    deviations."""
    wanted = needed(subject(made()))
    torch.testing.assert_close(wanted, torch.tensor([[0.5, 0, 0, 0]]).expand(2, 4), atol=2e-3, rtol=0)

    def cost(mean: torch.Tensor, spread: float) -> float:
        return float(negative_log_likelihood(torch.stack([mean, torch.full_like(mean, spread)], 1), wanted))

    assert cost(wanted, -2.0) < cost(wanted, 0.0)
    assert cost(wanted + 1, -2.0) > cost(wanted + 1, 0.0)
