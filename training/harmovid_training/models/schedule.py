"""Prediction targets and noise schedules of the backbones: v-prediction with zero terminal SNR, or flow matching.

    noisy = schedule.noisy(clean, noise, times)
    loss = mean((model(noisy, ...) - schedule.target(clean, noise, times)) ** 2)     # eq. 2 and 5 of the paper
    clean = schedule.estimate(prediction, noisy, times)

The paper defines the loss on the noise; CogVideoX predicts v = sqrt(a) noise - sqrt(1 - a) clean instead (Salimans and
Ho 2022), because at zero terminal SNR a prediction of the noise does not determine the picture. diffusers' training
scripts define the same loss on the clean latents with weight 1 / (1 - a), which equals the squared error of v; a test
compares both.
"""

from __future__ import annotations

from typing import Any, Mapping, Protocol

import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler, FlowMatchEulerDiscreteScheduler
from harmovid.errors import InputError, OptionError
from torch import Tensor

from harmovid_training.models.samplers import DdimSampler, DpmSampler, FlowSampler, OneStepSampler, Sampler

TRAIN_STEPS = 1000
"""Timesteps of both schedules' training."""

ONE_STEP_TIME = 399
"""Timestep at which a one-step student takes the encoded composite as if it were its noisy latents: DOVE's choice for
CogVideoX (arXiv 2505.16239, section 3.2). A network without pretraining learns faster at an earlier one, where its
first guess is the composite itself."""


class Schedule(Protocol):
    """Noise, target and samplers of one backbone; times are `(B,)` as its transformer takes them."""

    prediction: str
    samplers: tuple[str, ...]
    one_step_time: int

    def sample_times(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw `(count,)` training times on the CPU."""

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return `clean` with `noise` of that time."""

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Return the network's target."""

    def estimate(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return the clean latents that follow from a prediction."""

    def sampler(self, name: str, steps: int) -> Sampler:
        """Return a sampler ready for its first step."""


class VSchedule:
    """CogVideoX: v-prediction, scaled linear betas, SNR shift, zero terminal SNR.

    Args:
        config: the scheduler's own file.
        one_step_time: see `ONE_STEP_TIME`.
    """

    prediction: str = "v_prediction"
    samplers: tuple[str, ...] = ("ddim", "dpm", "one-step")

    def __init__(self, config: Mapping[str, Any], one_step_time: int = ONE_STEP_TIME) -> None:
        self.config = dict(config)
        self.one_step_time = one_step_time
        self.scheduler = CogVideoXDDIMScheduler.from_config(self.config)
        if self.scheduler.config.prediction_type != self.prediction:
            raise InputError(
                f"this scheduler predicts {self.scheduler.config.prediction_type}.",
                fix="CogVideoX models come with prediction_type v_prediction.",
            )

    def sample_times(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Schedule`; uniform over the timesteps."""
        return torch.randint(0, TRAIN_STEPS, (count,), generator=generator)

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """See `Schedule`."""
        signal, spread = self._mix(clean, times)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """See `Schedule`; v."""
        signal, spread = self._mix(clean, times)
        return signal * noise - spread * clean

    def estimate(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """See `Schedule`."""
        signal, spread = self._mix(noisy, times)
        return signal * noisy - spread * prediction

    def _mix(self, like: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        # At least single precision, like diffusers: 1 - a becomes 0 in bfloat16.
        product = self.scheduler.alphas_cumprod.to(like.device, torch.float32)[times.to(like.device)]
        shape = (-1,) + (1,) * (like.ndim - 1)
        return (product**0.5).to(like.dtype).view(shape), ((1 - product) ** 0.5).to(like.dtype).view(shape)

    def sampler(self, name: str, steps: int) -> Sampler:
        """See `Schedule`; `ddim`, `dpm` (SDE-DPM-Solver++ 2M) or `one-step`."""
        if name == "one-step":
            return OneStepSampler(self.estimate, self.one_step_time)
        if name == "dpm":
            return DpmSampler(CogVideoXDPMScheduler.from_config(self.config), steps)
        if name == "ddim":
            return DdimSampler(CogVideoXDDIMScheduler.from_config(self.config), steps)
        raise _unknown(name, self.samplers)


class FlowSchedule:
    """Wan: straight paths from data to noise, velocity = noise - clean, times are 1000 sigma.

    Args:
        config: the scheduler's own file: flow-match Euler, or UniPC with flow sigmas.
        scheduler: the diffusers class that the file names.
    """

    prediction: str = "flow"
    one_step_time: int = ONE_STEP_TIME
    samplers: tuple[str, ...] = ("flow", "euler", "one-step")

    def __init__(self, config: Mapping[str, Any], scheduler: Any = FlowMatchEulerDiscreteScheduler) -> None:
        self.config = dict(config)
        self.scheduler = scheduler
        self.shift = float(self.config.get("flow_shift", self.config.get("shift", 1.0)))

    def sample_times(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Schedule`; uniform sigmas, shifted towards noise by the model's own shift, as in its samplers."""
        plain = torch.rand(count, generator=generator)
        return TRAIN_STEPS * self.shift * plain / (1 + (self.shift - 1) * plain)

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """See `Schedule`."""
        sigma = self._sigma(clean, times)
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """See `Schedule`; the velocity."""
        return noise - clean

    def estimate(self, prediction: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """See `Schedule`."""
        return noisy - self._sigma(noisy, times) * prediction

    def _sigma(self, like: Tensor, times: Tensor) -> Tensor:
        return (
            (times.to(like.device, torch.float32) / TRAIN_STEPS)
            .to(like.dtype)
            .view((-1,) + (1,) * (like.ndim - 1))
        )

    def sampler(self, name: str, steps: int) -> Sampler:
        """See `Schedule`; `flow` is the scheduler that comes with the model, `euler` the plain one."""
        if name == "one-step":
            return OneStepSampler(self.estimate, self.one_step_time)
        if name == "flow":
            return FlowSampler(self.scheduler.from_config(self.config), steps)
        if name == "euler":
            return FlowSampler(FlowMatchEulerDiscreteScheduler(shift=self.shift), steps)
        raise _unknown(name, self.samplers)


def _unknown(name: str, known: tuple[str, ...]) -> OptionError:
    return OptionError(
        f"there is no sampler {name!r} for this model.", fix=f"Use one of: {', '.join(known)}."
    )
