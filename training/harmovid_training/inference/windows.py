"""Windows over a long timeline: temporal MultiDiffusion (Bar-Tal et al. 2023, along time).

    predict = over_windows(model, conditions, spans(total, size, overlap))

Every step predicts in each window and averages the predictions where windows overlap, then one sampler step moves the
whole timeline. As a sampler step is the same affine map of prediction and sample for every frame, this equals averaging
the moved latents, which is how MultiDiffusion is written; and samplers with a memory (DPM, UniPC) keep one history.

The average weighs a window's middle most and its ends least: what a model says of the first latents of a window it has
no past for, and CogVideoX took the first latent of a clip for one frame in training.
"""

from __future__ import annotations

from typing import Callable, Protocol

import torch
from harmovid.errors import InputError
from torch import Tensor


class Predictor(Protocol):
    """A conditioned model, `models.model.ConditionedModel` or a stand-in of tests."""

    def __call__(self, noisy: Tensor, conditions: Tensor, timesteps: Tensor) -> Tensor:
        """Return a prediction like `noisy`, `(B, C, T, h, w)`."""


def spans(total: int, size: int, overlap: int) -> list[slice]:
    """Return windows of `size` latents that cover `total`, each sharing at least `overlap` with the one before.

    The last one ends with the timeline, so it may overlap more; a timeline not longer than a window is one window.

    Raises:
        InputError: windows that do not advance.
    """
    if not 0 <= overlap < size:
        raise InputError(
            f"windows of {size} latents cannot overlap by {overlap}.",
            fix="Let them overlap by less than a window.",
        )
    if total <= size:
        return [slice(0, total)]
    starts = [*range(0, total - size, size - overlap), total - size]
    return [slice(start, start + size) for start in starts]


def over_windows(
    model: Predictor, conditions: Tensor, windows: list[slice], device: torch.device | str = "cpu"
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function (timeline, time) -> prediction that averages over windows.

    Args:
        conditions: `(B, channels, T, h, w)`; may lie on the CPU, one window at a time goes to the device.
        device: of the model.
    """
    sums = torch.zeros(conditions.shape[2])
    for window in windows:
        sums[window] += weights(window)

    def predict(timeline: Tensor, time: Tensor) -> Tensor:
        total = torch.zeros_like(timeline)
        times = time.expand(len(timeline)).to(device)
        for window in windows:
            seen = timeline[:, :, window].to(device), conditions[:, :, window].to(device)
            share = (weights(window) / sums[window]).to(total).view(1, 1, -1, 1, 1)
            total[:, :, window] += share * model(*seen, times).to(total)
        return total

    return predict


def weights(window: slice) -> Tensor:
    """Return the weights of a window's latents, `(size,)`: a triangle, 1 at both ends."""
    place = torch.arange(window.stop - window.start)
    return torch.minimum(place + 1, place.flip(0) + 1).float()
