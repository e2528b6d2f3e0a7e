"""Samplers of diffusion models in numpy, equal to those of training.

    sampler = make_sampler(manifest.scheduler, "ddim", steps=8)
    timeline = sampler.start(noise, composite)
    for index, time in enumerate(sampler.times):
        timeline = sampler.step(index, predict(timeline, time), timeline)

Arrays are latents `(1, C, T, h, w)` float32. The bundle's manifest holds the noise schedule as numbers, so only
the steps are computed here; tests compare them with the training package.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Protocol, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import OptionError

from harmovid_server.engines.diffusion.multistep import TRAIN_STEPS, DpmSampler, UniPcSampler, trailing_times

Float32 = npt.NDArray[np.float32]


class Sampler(Protocol):
    """See the module. `times` are the timesteps, inputs of the transformer."""

    times: List[float]

    def start(self, noise: Float32, composite: Float32) -> Float32:
        """Return the timeline before the first step, from unit noise and the encoded composite."""

    def step(self, index: int, prediction: Float32, sample: Float32) -> Float32:
        """Return the timeline after step `index`."""

    def state(self) -> Dict[str, npt.NDArray[Any]]:
        """Return what the sampler keeps between two steps besides the timeline."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore what `state` returned after a step; the next one follows."""


class LinearSampler:
    """A sampler whose step is a weighted sum of sample and prediction; it keeps nothing between two steps."""

    def weights(self, index: int) -> Tuple[float, float]:
        """Return the weights of sample and prediction in step `index`."""
        raise NotImplementedError

    def start(self, noise: Float32, composite: Float32) -> Float32:
        """See `Sampler`: noise alone."""
        return noise

    def step(self, index: int, prediction: Float32, sample: Float32) -> Float32:
        """See `Sampler`."""
        keep, gain = self.weights(index)
        return np.asarray(np.float32(keep) * sample + np.float32(gain) * prediction, np.float32)

    def state(self) -> Dict[str, npt.NDArray[Any]]:
        """See `Sampler`."""
        return {}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """See `Sampler`."""


class DdimSampler(LinearSampler):
    """Deterministic DDIM, for networks that predict v (Song et al. 2020; Salimans and Ho 2022).

    Args:
        signal: `(1000,)` share of the clean signal's power at each timestep ("alphas_cumprod").
        steps: number of steps, evenly spaced, starting at the last timestep ("trailing").
    """

    def __init__(self, signal: npt.NDArray[np.float64], steps: int) -> None:
        self.times = trailing_times(steps)
        self._signal = signal
        self._stride = TRAIN_STEPS // steps

    def weights(self, index: int) -> Tuple[float, float]:
        """See `LinearSampler`."""
        time = int(self.times[index])
        before = time - self._stride
        here, there = self._signal[time], self._signal[before] if before >= 0 else 1.0
        noise = ((1 - there) / (1 - here)) ** 0.5
        clean = there**0.5 - here**0.5 * noise
        # The clean latents are sqrt(here) * sample - sqrt(1 - here) * prediction.
        return float(noise + clean * here**0.5), float(-clean * (1 - here) ** 0.5)


class EulerSampler(LinearSampler):
    """Euler steps along straight paths, for networks that predict a velocity (flow matching).

    Args:
        shift: how far the times are shifted towards noise.
    """

    def __init__(self, shift: float, steps: int) -> None:
        ends = _shifted(np.array([1.0, 1 / TRAIN_STEPS]), shift)
        sigmas = _shifted(np.linspace(ends[0], ends[1], steps), shift)
        self.times = [float(time) for time in (sigmas * TRAIN_STEPS).astype(np.float32)]
        self._sigmas = [*sigmas.astype(np.float32), np.float32(0)]

    def weights(self, index: int) -> Tuple[float, float]:
        """See `LinearSampler`."""
        return 1.0, float(self._sigmas[index + 1] - self._sigmas[index])


class OneStepSampler(LinearSampler):
    """A one-step student: from the encoded composite to the answer, without noise.

    Args:
        scheduler: of the manifest.
    """

    def __init__(self, scheduler: Mapping[str, Any]) -> None:
        time = int(scheduler["one_step_time"])
        self.times = [float(time)]
        if scheduler["prediction"] == "flow":
            self._weights = 1.0, -time / TRAIN_STEPS
        else:
            power = float(scheduler["alphas_cumprod"][time])
            self._weights = power**0.5, -((1 - power) ** 0.5)

    def start(self, noise: Float32, composite: Float32) -> Float32:
        """See `Sampler`: the composite; the noise is not used."""
        return composite

    def weights(self, index: int) -> Tuple[float, float]:
        """See `LinearSampler`."""
        return self._weights


def make_sampler(scheduler: Mapping[str, Any], name: str, steps: int, seed: int = 0) -> Sampler:
    """Return a new sampler.

    Args:
        scheduler: of the manifest.
        seed: of the noise that a sampler adds between steps.

    Raises:
        OptionError: the model does not have this sampler, or does not support this number of steps.
    """
    known = tuple(scheduler["samplers"])
    if name not in known:
        raise OptionError(
            f"there is no sampler {name!r} for this model.", fix=f"Use one of: {', '.join(known)}."
        )
    if name == "one-step":
        if steps != 1:
            raise OptionError(f"a one-step student cannot take {steps} steps.", fix="Set steps to 1.")
        return OneStepSampler(scheduler)
    if name == "euler":
        return EulerSampler(float(scheduler["shift"]), steps)
    if name == "unipc":
        return UniPcSampler(float(scheduler["shift"]), steps, int(scheduler["unipc_order"]))
    if name == "dpm":
        return DpmSampler(np.asarray(scheduler["alphas_cumprod"], np.float64), steps, seed)
    return DdimSampler(np.asarray(scheduler["alphas_cumprod"], np.float64), steps)


def _shifted(sigmas: npt.NDArray[np.float64], shift: float) -> npt.NDArray[np.float64]:
    return shift * sigmas / (1 + (shift - 1) * sigmas)
