"""From the network's answer to relit pictures and what they are worth, differentiably.

`relight` is the torch twin of applying the exported field (`harmovid.pixels.field`): a curve, then a grid over the
subject's box that sees the pixel as the curve has relit it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from harmovid_training.data.batches import Batch
from harmovid_training.harmonizer.network import (
    GRID_HIGH,
    GRID_LEVELS,
    GRID_LOW,
    HIGH_STOPS,
    LOW_STOPS,
    UNIT_STOPS,
    Fields,
    Harmonizer,
    subject_box,
)

STOPS_LIMIT = 6.0
SHOULDER_START = 0.8
NOISE_SQUARE = 4e-4
"""Squared error in view space below which nobody sees a difference: 34 dB."""
LOG_FLOOR = 3e-3
"""Squared error added before the logarithm in the loss, 25 dB: with less, clips that are almost right rule the
gradients and the network learns to do nothing."""
LOG_SHARE, L1_SHARE, STOPS_SHARE, GRID_SHARE = 0.1, 4.0, 0.2, 0.003
CODE_BREAK, SLOPE, OFFSET = 0.0078125, 10.5402377416545, 0.0729055341958355
LUMA = (0.2126, 0.7152, 0.0722)


def to_codes(linear: Tensor, anchor: Tensor) -> Tensor:
    """Return model-space codes of linear `(n, 3, h, w)`; the torch twin of `harmovid.pixels.model_space.to_model`."""
    x = linear * (0.18 / anchor)[:, None, None, None]
    return torch.where(
        x <= CODE_BREAK, SLOPE * x + OFFSET, (torch.log2(x.clamp_min(CODE_BREAK)) + 9.72) / 17.52
    )


def view(linear: Tensor) -> Tensor:
    """Return the display value, a soft shoulder and the sRGB curve; the twin of `evaluate.metrics.view`."""
    over = (linear - SHOULDER_START).clamp_min(0)
    room = 1 - SHOULDER_START
    soft = (linear.clamp_max(SHOULDER_START) + room * over / (over + room)).clamp(0, 1)
    return torch.where(
        soft <= 0.0031308, 12.92 * soft, 1.055 * soft.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    )


def predict(model: Harmonizer, batch: Batch, frames: int) -> Fields:
    """Return the network's answer to a batch, one per clip."""
    codes = to_codes(batch.composite, batch.anchor)
    return model(codes, batch.matte, torch.ones_like(batch.matte), subject_box(batch.matte), frames)


def field_stops(batch: Batch, fields: Fields, frames: int, local: bool = True) -> Tensor:
    """Return the stops `(n, 3, h, w)` that an answer gives every pixel, before its gate."""
    stops = _curve_stops(batch, fields.coeffs.repeat_interleave(frames, 0))
    if not local:
        return stops
    relit = batch.composite * torch.exp2(stops)
    return stops + _grid_stops(relit, batch, fields.grid.repeat_interleave(frames, 0))


def _curve_stops(batch: Batch, coeffs: Tensor) -> Tensor:
    y = torch.log2(
        (batch.composite / batch.anchor[:, None, None, None]).clamp(2.0**LOW_STOPS, 2.0**HIGH_STOPS)
    )
    t = y / UNIT_STOPS
    r, g, b = t.unbind(1)
    terms = torch.stack([torch.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r], 1)
    stops = torch.bmm(coeffs, terms.flatten(2)).reshape(t.shape)
    return stops.clamp(-STOPS_LIMIT, STOPS_LIMIT)


def _grid_stops(relit: Tensor, batch: Batch, grid: Tensor) -> Tensor:
    n, _, h, w = relit.shape
    luma = (relit * torch.tensor(LUMA)[:, None, None]).sum(1)
    level = torch.log2((luma / batch.anchor[:, None, None]).clamp(2.0**GRID_LOW, 2.0**GRID_HIGH))
    z = (level - GRID_LOW) / (GRID_HIGH - GRID_LOW) * (GRID_LEVELS - 1)
    box = subject_box(batch.matte)
    rows = (torch.arange(h) + 0.5) / h
    columns = (torch.arange(w) + 0.5) / w
    y = (rows[None] - box[:, 1:2]) / (box[:, 3:4] - box[:, 1:2]) * 2 - 1
    x = (columns[None] - box[:, 0:1]) / (box[:, 2:3] - box[:, 0:1]) * 2 - 1
    places = torch.stack(
        [x[:, None, :].expand(n, h, w), y[:, :, None].expand(n, h, w), (2 * z + 1) / GRID_LEVELS - 1], -1
    )
    read = fn.grid_sample(grid, places[:, None], padding_mode="border", align_corners=False)
    return read[:, :, 0]


def squared_error(batch: Batch, stops: Tensor, frames: int) -> Tensor:
    """Return `(clips,)` mean squared error in view space over the foreground, after relighting by `stops`."""
    result = view(batch.composite * torch.exp2(stops))
    square = (result - view(batch.truth)).square().mean(1, keepdim=True)
    return _masked(square, batch.covered, frames)


def gain_db(batch: Batch, stops: Tensor, frames: int) -> Tensor:
    """Return `(clips,)` dB gained over the composite as it is; errors below sight count as just seen."""
    before = squared_error(batch, torch.zeros_like(stops), frames) + NOISE_SQUARE
    return 10 * torch.log10(before / (squared_error(batch, stops, frames) + NOISE_SQUARE))


def loss(batch: Batch, fields: Fields, frames: int) -> Tensor:
    """Return the training loss: log of the squared error, absolute error in view space, a little in stops."""
    stops = field_stops(batch, fields, frames)
    result = batch.composite * torch.exp2(stops)
    shown, wanted = view(result), view(batch.truth)
    square = _masked((shown - wanted).square().mean(1, keepdim=True), batch.covered, frames)
    absolute = _masked((shown - wanted).abs().mean(1, keepdim=True), batch.covered, frames)
    floor = 2.0**-8
    apart = (torch.log2(result.clamp_min(floor)) - torch.log2(batch.truth.clamp_min(floor))).abs()
    unequal = _masked(apart.mean(1, keepdim=True), batch.covered, frames)
    quality = LOG_SHARE * torch.log(square + LOG_FLOOR) + L1_SHARE * absolute + STOPS_SHARE * unequal
    return quality.mean() + GRID_SHARE * fields.grid.square().mean()


def _masked(values: Tensor, weight: Tensor, frames: int) -> Tensor:
    total = (values * weight).sum((1, 2, 3)).reshape(-1, frames).sum(1)
    return total / weight.sum((1, 2, 3)).reshape(-1, frames).sum(1).clamp_min(1e-3)
