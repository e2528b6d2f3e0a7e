"""Windows over a long timeline: temporal MultiDiffusion (Bar-Tal et al. 2023, along time).

    predict = over_windows(model, conditions, spans(total, size, overlap))

Every step predicts in each window and averages the predictions where windows overlap; then one sampler step updates the
whole timeline. A sampler step is the same affine map of prediction and sample for every frame, so this equals averaging
the updated latents, which is how the MultiDiffusion paper writes it; and multistep samplers (DPM, UniPC) keep one
history.

The average gives a window's middle the largest weight and its ends the smallest: at a window's start the model has no
past to attend to, and in CogVideoX's training the first latent of a clip stood for one frame, not four.
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
        InputError: the overlap is as large as the window.
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
    """Return a function from timeline and time to the prediction averaged over windows.

    Args:
        conditions: `(B, channels, T, h, w)`; may be on the CPU, as one window at a time is copied to the device.
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
    """Return the weights of a window's latents, `(size,)`: a triangle, 1 at both ends and highest in the middle."""
    place = torch.arange(window.stop - window.start)
    return torch.minimum(place + 1, place.flip(0) + 1).float()
