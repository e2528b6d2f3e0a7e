"""The losses: the paper's diffusion loss, and the two stages of a one-step student.

The student follows DOVE (arXiv 2505.16239): the encoded composite is taken as the noisy latents at one fixed noise
time, and one prediction gives the clean latents. It is trained on pairs, first with the error of its latents, then with
the error of its decoded pictures and of their differences from frame to frame. There are no new modules and no second
network. As HarmoVid's data are pairs, it needs no teacher; with one (`teacher.TeacherBatches`) the targets are the
teacher's samples and nothing else changes. DOVE's perceptual term (DISTS) is left out: its weights are not in this
package.
"""

from __future__ import annotations

from typing import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from harmovid_training.inference.windows import Predictor
from harmovid_training.models.codec import Cache, Codec
from harmovid_training.models.schedule import Schedule
from harmovid_training.stages.batches import LatentBatch

EDGES = 0.5
"""Weight of each of the three kinds of difference in `latent_and_edges`; of white error a difference has twice the
square."""

Objective = Callable[[Predictor, Schedule, LatentBatch, int], Tensor]
"""Takes a model (wrapped by Accelerate or not), its schedule, a batch and the run's seed; returns the loss."""


def diffusion(model: Predictor, schedule: Schedule, batch: LatentBatch, seed: int) -> Tensor:
    """Return the paper's loss, eq. 2 and 5; noise and times depend on the seed and the sample's index only."""
    noises, times = [], []
    for index in batch.indices:
        generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
        times.append(schedule.sample_times(1, generator))
        noises.append(torch.randn(batch.clean.shape[1:], generator=generator))
    noise, time = torch.stack(noises).to(batch.clean), torch.cat(times).to(batch.clean.device)
    noisy = schedule.noisy(batch.clean, noise, time)
    predicted = model(noisy, batch.conditions, time)
    return (predicted.float() - schedule.target(batch.clean, noise, time).float()).square().mean()


def one_step(model: Predictor, schedule: Schedule, batch: LatentBatch) -> Tensor:
    """Return the student's clean latents."""
    time = torch.full((len(batch.clean),), schedule.one_step_time, device=batch.clean.device)
    return schedule.estimate(model(batch.composite, batch.conditions, time), batch.composite, time)


def latent_regression(model: Predictor, schedule: Schedule, batch: LatentBatch, seed: int) -> Tensor:
    """Return the student's first loss: mean square error of the latents."""
    return (one_step(model, schedule, batch) - batch.clean).float().square().mean()


def latent_and_edges(model: Predictor, schedule: Schedule, batch: LatentBatch, seed: int) -> Tensor:
    """Return the error of the latents plus that of their differences to the next latent along x, y and time.

    A viewer notices wrong edges and flicker more than an even error of brightness; the plain squared error gives the
    even error the larger weight.
    """
    error = (one_step(model, schedule, batch) - batch.clean).float()
    steps = [error.diff(dim=axis) for axis in (2, 3, 4) if error.shape[axis] > 1]
    return error.square().mean() + EDGES * sum(
        (step.square().mean() for step in steps), torch.zeros(()).to(error)
    )


def pixel_regression(codec: Codec, crop: int = 0) -> Objective:
    """Return the student's second loss: mean square errors of decoded pictures and of their differences over time.

    Chunks of the decoder are recomputed in the backward pass, so that only one chunk's activations are held.

    Args:
        crop: side in pixels of the part that is decoded, at a place drawn from the sample's index; 0 decodes all.
    """

    def loss(model: Predictor, schedule: Schedule, batch: LatentBatch, seed: int) -> Tensor:
        made, clean = (
            each[:, :, batch.padding :] for each in (one_step(model, schedule, batch), batch.clean)
        )
        if crop:
            rows, columns = _window(made.shape[-2:], crop // codec.spatial, seed, batch.indices[0])
            made, clean = made[..., rows, columns], clean[..., rows, columns]
        made = decoded(codec, made)
        with torch.no_grad():
            truth = decoded(codec, clean)
        picture = (made - truth).square().mean()
        return picture + (made.diff(dim=2) - truth.diff(dim=2)).square().mean()

    return loss


def decoded(codec: Codec, latents: Tensor) -> Tensor:
    """Return pictures with gradients on the latents' device, chunk by chunk (`Codec.decode` gives no gradients)."""
    weight = next(codec.vae.parameters())
    whole = codec.unscaled(latents.to(weight.device, weight.dtype))
    cuts = [0, *range(codec.first_latents, whole.shape[2], codec.next_latents), whole.shape[2]]
    cache: Cache = None
    parts = []
    for start, stop in zip(cuts, cuts[1:]):
        if torch.is_grad_enabled() and whole.requires_grad:
            pictures, cache = checkpoint(
                codec.decode_chunk, whole[:, :, start:stop], cache, use_reentrant=False
            )
        else:
            pictures, cache = codec.decode_chunk(whole[:, :, start:stop], cache)
        parts.append(pictures)
    return torch.cat(parts, dim=2).float().to(latents.device)


def _window(size: torch.Size, side: int, seed: int, index: int) -> tuple[slice, slice]:
    """Return rows and columns of a part of `side` latents, or of all where there are fewer."""
    generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**63)
    starts = [int(torch.randint(max(whole - side, 0) + 1, (), generator=generator)) for whole in size]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)
