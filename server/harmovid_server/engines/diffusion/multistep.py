"""Samplers that use more than one prediction per step: DPM-Solver++ and UniPC, in numpy, equal to those of diffusers.

Both keep a history between steps (`state`), so that a sampling continues where it stopped. They are made by
`schedule.make_sampler`.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.diffusion.noise import Generator

Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

TRAIN_STEPS = 1000
"""Timesteps of every schedule's training."""


def trailing_times(steps: int) -> List[float]:
    """Return `steps` timesteps, evenly spaced, starting at the last one ("trailing")."""
    # Rounding gives the range one time too many for some numbers of steps, such as 61: -1, which would be the noisiest.
    return [float(time) for time in np.round(np.arange(TRAIN_STEPS, 0, -TRAIN_STEPS / steps))[:steps] - 1]


class DpmSampler:
    """SDE-DPM-Solver++ (2M) for networks that predict v, as in CogVideoX (Lu et al. 2022).

    Each step adds noise of its own, from one generator for the whole timeline.

    Args:
        signal: `(1000,)` share of the clean signal's power at each timestep ("alphas_cumprod").
        steps: number of steps. seed: of the noise.
    """

    def __init__(self, signal: Float64, steps: int, seed: int) -> None:
        self.times = trailing_times(steps)
        self._signal = signal
        self._stride = TRAIN_STEPS // steps
        self._generator = Generator(seed)
        self._before: Optional[Float32] = None

    def start(self, noise: Float32, composite: Float32) -> Float32:
        """See `schedule.Sampler`: noise alone."""
        return noise

    def step(self, index: int, prediction: Float32, sample: Float32) -> Float32:
        """See `schedule.Sampler`."""
        time = int(self.times[index])
        before = time - self._stride
        here, there = self._signal[time], self._signal[before] if before >= 0 else 1.0
        clean = np.float32(here**0.5) * sample - np.float32((1 - here) ** 0.5) * prediction
        h = _log_snr(there) - _log_snr(here)
        keep = ((1 - there) / (1 - here)) ** 0.5 * np.exp(-h)
        gain = -np.expm1(-2 * h) * there**0.5
        spread = (1 - there) ** 0.5 * (1 - np.exp(-2 * h)) ** 0.5
        target, noise = clean, self._noise(sample.shape)
        if self._before is not None and before >= 0:
            ratio = (_log_snr(here) - _log_snr(self._signal[int(self.times[index - 1])])) / h
            more = 1 / (2 * ratio)
            target = np.float32(1 + more) * clean - np.float32(more) * self._before
            # diffusers draws the first-order step's noise as well, and does not use it.
            noise = self._noise(sample.shape)
        self._before = clean
        moved = np.float32(keep) * sample + np.float32(gain) * target + np.float32(spread) * noise
        return np.asarray(moved, np.float32)

    def _noise(self, shape: Tuple[int, ...]) -> Float32:
        """Return noise of a timeline's shape, drawn with time before channels, as in diffusers' pipeline."""
        batch, channels, *rest = shape
        drawn = self._generator.draw(int(np.prod(shape))).reshape(batch, rest[0], channels, *rest[1:])
        return np.asarray(drawn.transpose(0, 2, 1, 3, 4), np.float32)

    def state(self) -> Dict[str, Array]:
        """See `schedule.Sampler`."""
        before = {} if self._before is None else {"before": self._before}
        return {**before, **self._generator.state()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """See `schedule.Sampler`."""
        self._before = state.get("before")
        self._generator.restore(state)


def _log_snr(power: float) -> float:
    """Return half the logarithm of signal to noise; infinite at either end."""
    with np.errstate(divide="ignore"):
        return float(np.log(np.sqrt(np.divide(power, 1 - power))))


class UniPcSampler:
    """UniPC on straight paths, for networks that predict a velocity, as in Wan (Zhao et al. 2023).

    Args:
        shift: how far the times are shifted towards noise. steps: number of steps.
        order: of the solver; its B(h) is the paper's second, "bh2".
    """

    def __init__(self, shift: float, steps: int, order: int) -> None:
        plain = np.linspace(1, 1 / TRAIN_STEPS, steps + 1)[:-1]
        sigmas = shift * plain / (1 + (shift - 1) * plain)
        # At exactly 1 the signal is 0 and its logarithm infinite.
        sigmas[0] = min(sigmas[0], 1 - 1e-6)
        self.times = [float(time) for time in (sigmas * TRAIN_STEPS).astype(np.int64)]
        self._sigmas = np.append(sigmas, 0.0).astype(np.float32)
        self._signals = np.float32(1) - self._sigmas
        with np.errstate(divide="ignore"):
            self._logs = np.log(self._signals.astype(np.float64)) - np.log(self._sigmas.astype(np.float64))
        self._order = order
        self._cleans: List[Float32] = []
        self._last: Optional[Float32] = None

    def start(self, noise: Float32, composite: Float32) -> Float32:
        """See `schedule.Sampler`: noise alone."""
        return noise

    def step(self, index: int, prediction: Float32, sample: Float32) -> Float32:
        """See `schedule.Sampler`: corrects the last step with this prediction, then takes the next."""
        clean = np.asarray(sample - self._sigmas[index] * prediction, np.float32)
        if self._last is not None:
            sample = self._moved(index, self._last, self._reached(index - 1), clean)
        self._cleans = [*self._cleans, clean][-self._order :]
        self._last = sample
        return self._moved(index + 1, sample, self._reached(index), None)

    def _reached(self, index: int) -> int:
        """Return the order of step `index`: it grows from 1 at the start and falls to 1 at the end."""
        return min(self._order, len(self.times) - index, index + 1)

    def _moved(self, index: int, sample: Float32, order: int, clean: Optional[Float32]) -> Float32:
        """Return the sample at `index`, from that before it.

        Args:
            clean: the estimate at `index` itself, for the corrector; None for the predictor.
        """
        h = self._logs[index] - self._logs[index - 1]
        ratios = [(self._logs[index - 1 - back] - self._logs[index - 1]) / h for back in range(1, order)]
        base = self._cleans[-1]
        slopes = [
            (self._cleans[-1 - back] - base) / np.float32(ratio) for back, ratio in enumerate(ratios, start=1)
        ]
        if clean is not None:
            slopes.append(np.asarray(clean - base))
        growth = np.expm1(-h)
        signal = float(self._signals[index])
        moved = np.float32(self._sigmas[index] / self._sigmas[index - 1]) * sample
        moved -= np.float32(signal * growth) * base
        for weight, slope in zip(_weights(h, ratios, clean is not None), slopes):
            moved -= np.float32(signal * growth * weight) * slope
        return np.asarray(moved, np.float32)

    def state(self) -> Dict[str, Array]:
        """See `schedule.Sampler`."""
        kept = {f"clean{place}": clean for place, clean in enumerate(self._cleans)}
        return kept if self._last is None else {**kept, "last": self._last}

    def restore(self, state: Mapping[str, Array]) -> None:
        """See `schedule.Sampler`."""
        self._cleans = [state[f"clean{place}"] for place in range(len(state) - ("last" in state))]
        self._last = state.get("last")


def _weights(h: float, ratios: List[float], corrects: bool) -> Float64:
    """Return the weights of the slopes (Zhao et al. 2023, section 3.2): those of low order are 1/2."""
    order = len(ratios) + 1
    if order == (1 if corrects else 2):
        return np.array([0.5])
    if order == 1:
        return np.array([])
    powers, right = [], []
    places = np.array([*ratios, 1.0])
    phi, factorial = np.expm1(-h) / -h - 1, 1.0
    for power in range(1, order + 1):
        powers.append(places ** (power - 1))
        right.append(phi * factorial / np.expm1(-h))
        factorial *= power + 1
        phi = phi / -h - 1 / factorial
    size = order if corrects else order - 1
    return np.asarray(np.linalg.solve(np.array(powers)[:size, :size], np.array(right)[:size]))
