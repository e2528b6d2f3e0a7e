"""Samplers behind one interface: a step computes the next, less noisy timeline from the prediction for the whole one.

    sampler = schedule.sampler("ddim", steps=50)
    x = sampler.start(noise, composite)
    for index, time in enumerate(sampler.times):
        x = sampler.step(index, predict(x, time), x)

The numbers are diffusers' own: each class wraps its scheduler. Only for some numbers of steps, such as 61, rounding
gives CogVideoX's schedulers one time too many, -1, which would undo the sampling; it is left out. A sampler keeps the
history of one sampling and is used once.
"""

from __future__ import annotations

from typing import Any, Callable, Protocol

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler
from torch import Tensor


class Sampler(Protocol):
    """See the module. `times` are `(steps,)` timesteps as the transformer takes them."""

    times: Tensor

    def start(self, noise: Tensor, composite: Tensor) -> Tensor:
        """Return the timeline before the first step, from unit noise and the encoded composite."""

    def step(self, index: int, prediction: Tensor, sample: Tensor) -> Tensor:
        """Return the timeline after step `index`."""


class DdimSampler:
    """CogVideoX DDIM, eta 0: deterministic."""

    def __init__(self, scheduler: CogVideoXDDIMScheduler, steps: int) -> None:
        scheduler.set_timesteps(steps)
        self.scheduler = scheduler
        self.times: Tensor = scheduler.timesteps[:steps]

    def start(self, noise: Tensor, composite: Tensor) -> Tensor:
        """See `Sampler`."""
        return noise * self.scheduler.init_noise_sigma

    def step(self, index: int, prediction: Tensor, sample: Tensor) -> Tensor:
        """See `Sampler`."""
        moved: Tensor = self.scheduler.step(prediction.float(), self.times[index], sample, return_dict=False)[
            0
        ]
        return moved.to(sample.dtype)


class DpmSampler:
    """CogVideoX SDE-DPM-Solver++ (2M): its own noise comes from `generator`, seeded by the caller."""

    def __init__(self, scheduler: CogVideoXDPMScheduler, steps: int) -> None:
        scheduler.set_timesteps(steps)
        self.scheduler = scheduler
        self.times: Tensor = scheduler.timesteps[:steps]
        self.generator: torch.Generator | None = None
        self._before: Tensor | None = None

    def start(self, noise: Tensor, composite: Tensor) -> Tensor:
        """See `Sampler`."""
        return noise * self.scheduler.init_noise_sigma

    def step(self, index: int, prediction: Tensor, sample: Tensor) -> Tensor:
        """See `Sampler`."""
        back = self.times[index - 1] if index else None
        # Time before channels, as in diffusers' pipeline, so that the noise has the same order.
        moved, self._before = self.scheduler.step(
            prediction.float().transpose(1, 2), self._before, self.times[index], back, sample.transpose(1, 2),
            generator=self.generator, return_dict=False,
        )  # fmt: skip
        return torch.as_tensor(moved).transpose(1, 2).to(sample.dtype)


class FlowSampler:
    """Any diffusers scheduler for flow matching (Euler, UniPC with flow sigmas)."""

    def __init__(self, scheduler: Any, steps: int) -> None:
        scheduler.set_timesteps(steps)
        self.scheduler = scheduler
        self.times: Tensor = scheduler.timesteps

    def start(self, noise: Tensor, composite: Tensor) -> Tensor:
        """See `Sampler`."""
        return noise

    def step(self, index: int, prediction: Tensor, sample: Tensor) -> Tensor:
        """See `Sampler`."""
        moved: Tensor = self.scheduler.step(prediction, self.times[index], sample, return_dict=False)[0]
        return moved


class OneStepSampler:
    """A one-step student: starts from the encoded composite, without noise, and ends after one prediction."""

    def __init__(self, estimate: Callable[[Tensor, Tensor, Tensor], Tensor], time: int) -> None:
        self.times = torch.tensor([time])
        self._estimate = estimate

    def start(self, noise: Tensor, composite: Tensor) -> Tensor:
        """See `Sampler`; the noise is not used."""
        return composite

    def step(self, index: int, prediction: Tensor, sample: Tensor) -> Tensor:
        """See `Sampler`."""
        return self._estimate(prediction, sample, self.times.expand(len(sample)))
