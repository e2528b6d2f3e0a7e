"""Differentiable relighting by the network's answer, and the losses.

`relight` applies an answer in torch as the product applies the field (`harmovid.pixels.field`): a curve, then a grid
over the subject's box that is indexed with the pixel after the curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from harmovid.pixels.colour import acescct
from torch import Tensor
from torch.nn import functional as fn

from harmovid_training.data.batches import Batch, subject_box
from harmovid_training.harmonizer.constants import (
    GRID_HIGH,
    GRID_LEVELS,
    GRID_LOW,
    HIGH_STOPS,
    LOW_STOPS,
    SMALL_STOPS,
    UNIT_STOPS,
)
from harmovid_training.harmonizer.head import Fields

STOPS_LIMIT = 6.0
SHOULDER_START = 0.8
NOISE_SQUARE = 4e-4
"""Squared error in view space below which a difference is not visible: 34 dB."""
LOG_FLOOR = 3e-3
"""Squared error added before the logarithm in the loss, 25 dB: with less, clips that are almost right dominate the
gradients and the network learns to do nothing."""
SHARE, LOG_SHARE, L1_SHARE, STOPS_SHARE, GRID_SHARE, NEED_SHARE = 0.3, 0.1, 4.0, 0.2, 0.003, 0.03
SHARE_FLOOR = 2e-2
"""Squared error added to the composite's own, 17 dB. With 24 dB, clips that are almost right dominated the gradients
again (docs/log.md)."""
ERROR_SHARE, FAR = 0.05, 8.0
"""Weight of the predicted error's likelihood, and the number of deviations at which an error's cost is limited."""
LUMA = (0.2126, 0.7152, 0.0722)


def to_codes(linear: Tensor, anchor: Tensor) -> Tensor:
    """Return model-space codes of linear `(n, 3, h, w)`; `model_space.to_model` in torch."""
    x = linear * (0.18 / anchor)[:, None, None, None]
    curved = (torch.log2(x.clamp_min(acescct.ACESCCT_LINEAR_BREAK)) + acescct.ACESCCT_STOPS_ABOVE) / (
        acescct.ACESCCT_STOPS_TOTAL
    )
    straight = acescct.ACESCCT_SLOPE * x + acescct.ACESCCT_OFFSET
    return torch.where(x <= acescct.ACESCCT_LINEAR_BREAK, straight, curved)


def view(linear: Tensor) -> Tensor:
    """Return the display value, a soft shoulder and the sRGB curve; `metrics.quality.view` in torch."""
    over = (linear - SHOULDER_START).clamp_min(0)
    room = 1 - SHOULDER_START
    soft = (linear.clamp_max(SHOULDER_START) + room * over / (over + room)).clamp(0, 1)
    return torch.where(
        soft <= 0.0031308, 12.92 * soft, 1.055 * soft.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    )


@dataclass(frozen=True)
class Points:
    """Pixels of a batch on which an answer is measured; one row per picture, `k` pixels each.

    Attributes:
        composite, truth: `(n, 3, k)` linear. weight: `(n, 1, k)` of the pixels: their share of foreground.
        x, y: `(n, k)` places in shares of the subject's box. anchor: `(n,)`.
    """

    composite: Tensor
    truth: Tensor
    weight: Tensor
    x: Tensor
    y: Tensor
    anchor: Tensor


def every_point(batch: Batch) -> Points:
    """Return all pixels of a batch, row by row."""
    n, _, h, w = batch.composite.shape
    index = torch.arange(h * w, device=batch.composite.device)[None].expand(n, h * w)
    flat = [plane.flatten(2) for plane in (batch.composite, batch.truth, batch.covered)]
    return _placed(batch, index, flat[0], flat[1], flat[2])


def drawn_points(batch: Batch, count: int) -> Points:
    """Return `count` pixels of each picture, drawn in proportion to their share of foreground, with equal weights."""
    odds = batch.covered.flatten(1) + 1e-6
    index = torch.multinomial(odds, count, replacement=True)
    spots = index[:, None].expand(-1, 3, -1)
    composite, truth = (plane.flatten(2).gather(2, spots) for plane in (batch.composite, batch.truth))
    return _placed(batch, index, composite, truth, torch.ones_like(composite[:, :1]))


def _placed(batch: Batch, index: Tensor, composite: Tensor, truth: Tensor, weight: Tensor) -> Points:
    h, w = batch.composite.shape[2:]
    x0, y0, x1, y1 = subject_box(batch.matte)[:, :, None].unbind(1)
    x = ((index % w + 0.5) / w - x0) / (x1 - x0)
    y = ((torch.div(index, w, rounding_mode="floor") + 0.5) / h - y0) / (y1 - y0)
    return Points(composite, truth, weight, x, y, batch.anchor)


def field_stops(batch: Batch, fields: Fields, local: bool = True) -> Tensor:
    """Return the stops `(n, 3, h, w)` of an answer for every pixel, before its gate."""
    return point_stops(every_point(batch), fields, local).reshape(batch.composite.shape)


def point_stops(points: Points, fields: Fields, local: bool = True) -> Tensor:
    """Return the stops `(n, 3, k)` of an answer for these pixels, before its gate."""
    stops = _curve_stops(points, fields.coeffs)
    if not local:
        return stops
    relit = points.composite * torch.exp2(stops)
    return stops + _grid_stops(relit, points, fields.grid)


def _curve_stops(points: Points, coeffs: Tensor) -> Tensor:
    y = torch.log2((points.composite / points.anchor[:, None, None]).clamp(2.0**LOW_STOPS, 2.0**HIGH_STOPS))
    r, g, b = (y / UNIT_STOPS).unbind(1)
    terms = torch.stack([torch.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r], 1)
    return torch.bmm(coeffs, terms).clamp(-STOPS_LIMIT, STOPS_LIMIT)


def _grid_stops(relit: Tensor, points: Points, grid: Tensor) -> Tensor:
    luma = (relit * torch.tensor(LUMA, device=relit.device)[:, None]).sum(1)
    level = torch.log2((luma / points.anchor[:, None]).clamp(2.0**GRID_LOW, 2.0**GRID_HIGH))
    z = (level - GRID_LOW) / (GRID_HIGH - GRID_LOW) * (GRID_LEVELS - 1)
    places = torch.stack([points.x * 2 - 1, points.y * 2 - 1, (2 * z + 1) / GRID_LEVELS - 1], -1)
    read = fn.grid_sample(grid, places[:, None, None], padding_mode="border", align_corners=False)
    return read[:, :, 0, 0]


def gain_db(points: Points, stops: Tensor) -> Tensor:
    """Return `(n,)` dB gained by `stops` over the unchanged composite; invisible errors count as just visible."""
    wanted = view(points.truth)
    before = (view(points.composite) - wanted).square().mean((1, 2))
    after = (view(points.composite * torch.exp2(stops)) - wanted).square().mean((1, 2))
    return 10 * torch.log10((before + NOISE_SQUARE) / (after + NOISE_SQUARE))


def loss(points: Points, fields: Fields) -> Tensor:
    """Return the training loss: the remaining share of the squared error in view space, the absolute error, and the
    likelihood loss of the predicted error.

    The share gives mild and strong looks equal weight, as decibels do; for composites without error it measures harm.
    """
    result = points.composite * torch.exp2(point_stops(points, fields))
    shown, wanted = view(result), view(points.truth)
    apart = (shown - wanted).square()
    before = (view(points.composite) - wanted).square()
    left, found, absolute, unequal = (
        values.mean((1, 2))
        for values in (apart, before, (shown - wanted).abs(), _stops_apart(result, points.truth).abs())
    )
    share = left / (found + SHARE_FLOOR)
    quality = (
        SHARE * share + LOG_SHARE * torch.log(left + LOG_FLOOR) + L1_SHARE * absolute + STOPS_SHARE * unequal
    )
    wrong = _stops_apart(points.composite, points.truth).square().mean((1, 2)).sqrt()
    missed = (torch.log(fields.need[:, 0]) - torch.log(wrong + SMALL_STOPS)).abs()
    return (
        quality.mean() + GRID_SHARE * fields.grid.square().mean() + NEED_SHARE * missed.mean()
        + ERROR_SHARE * negative_log_likelihood(fields.errors, needed(points))
    )  # fmt: skip


def needed(points: Points) -> Tensor:
    """Return the needed correction `(n, ERRORS)`: stops of exposure, of red and of blue over green, and of contrast
    (twice the slope of stops over log light)."""
    anchor = points.anchor[:, None, None]
    now, wanted = (
        torch.log2((light / anchor).clamp_min(2.0**LOW_STOPS)) for light in (points.composite, points.truth)
    )
    change = (wanted - now).mean(2)
    luma = now.mean(1)
    spread = luma - luma.mean(1, keepdim=True)
    slope = ((wanted.mean(1) - luma) * spread).mean(1) / (spread.square().mean(1) + 0.1)
    red, green, blue = change.unbind(1)
    return torch.stack([change.mean(1), red - green, blue - green, 2 * slope], 1)


def negative_log_likelihood(errors: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean negative log likelihood of `wanted` `(n, ERRORS)` under the predicted errors, of `Fields`."""
    mean, spread = errors.unbind(1)
    apart = ((wanted - mean) / torch.exp(spread)).clamp(-FAR, FAR)
    return (0.5 * apart.square() + spread).mean()


def _stops_apart(result: Tensor, truth: Tensor) -> Tensor:
    floor = 2.0**-8
    return torch.log2(result.clamp_min(floor)) - torch.log2(truth.clamp_min(floor))
