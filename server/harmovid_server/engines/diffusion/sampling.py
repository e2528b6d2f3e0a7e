"""The latents of one shot on their way from noise to the network's answer: one step of the sampler after the other.

    sampling = Sampling(transformer, description, text, controls, conditions)
    for _ in sampling.steps():                # other jobs get their turn between two steps
        state = sampling.state()              # arrays and numbers; `restore` continues after this step, to the bit
    sampling.latents

If memory runs out, sampling starts again once with a smaller window (`memory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.base import State, StateValue
from harmovid_server.engines.diffusion.description import Description
from harmovid_server.engines.diffusion.memory import smaller_window
from harmovid_server.engines.diffusion.noise import seeded_noise
from harmovid_server.engines.diffusion.positions import positions
from harmovid_server.engines.diffusion.schedule import LinearSampler, make_sampler
from harmovid_server.engines.diffusion.windows import over_windows, spans
from harmovid_server.runtimes.base import Network

Float32 = npt.NDArray[np.float32]

_SAMPLER = "sampler."


@dataclass(frozen=True)
class Controls:
    """The engine's options."""

    sampler: str
    steps: int
    seed: int
    window: int
    overlap: int
    detail: str


class Sampling:
    """See the module.

    In a shot of one window, a linear sampler's latents stay on the device from one step to the next.

    Args:
        text: `(1, tokens, width)` embedding of the prompt.
        conditions: `(1, channels - C, T, h, w)` of the whole shot.
        step: the network of a linear sampler's step (`runtimes.onnx_step`); None to take steps on the host.
    """

    def __init__(
        self,
        transformer: Network,
        description: Description,
        text: Float32,
        controls: Controls,
        conditions: Float32,
        step: Optional[Network] = None,
    ) -> None:
        self._transformer, self._description = transformer, description
        self._text, self._controls = _constant(text), controls
        self._step = step
        self._placed: Dict[Tuple[int, ...], Dict[str, npt.NDArray[Any]]] = {}
        self._padding = description.front_padding(conditions.shape[2])
        # A new array, which nobody writes to.
        self._conditions = np.concatenate([conditions[:, :, :1]] * self._padding + [conditions], axis=2)
        self._conditions.setflags(write=False)
        # Half of a window that is longer than the shot would be no smaller.
        self._first_window = min(controls.window, (conditions.shape[2] - 1) * description.temporal + 1)
        self._begin(self._first_window)

    def _begin(self, window: int) -> None:
        """Start at the first step, in windows of this many frames."""
        description, controls = self._description, self._controls
        self._window, self._index = window, 0
        size = description.latents_of(window)
        size += description.front_padding(size)
        overlap = min(-(-controls.overlap // description.temporal), size - 1)
        total = self._conditions.shape[2]
        windows = spans(total, size, overlap)
        self._predict = over_windows(self._predicted, self._conditions, windows)
        self._in_one_window = len(windows) == 1
        self._latents: Any = None
        self._sampler = make_sampler(description.scheduler, controls.sampler, controls.steps, controls.seed)
        noise = seeded_noise((description.channels, *self._conditions.shape[3:]), total, controls.seed)
        self._timeline: Any = self._sampler.start(noise, self._conditions[:, : description.channels])

    @property
    def latents(self) -> Float32:
        """The latents `(1, C, T, h, w)` as they are now."""
        return self._on_host()[:, :, self._padding :]

    def _on_host(self) -> Float32:
        """Return the timeline as an array, from the device if it is there."""
        timeline = self._timeline
        return np.asarray(timeline if isinstance(timeline, np.ndarray) else timeline.numpy(), np.float32)

    def steps(self) -> Iterator[None]:
        """Do the steps that are left; an item after each.

        Raises:
            EngineFailed: memory has run out twice.
        """
        while self._index < len(self._sampler.times):
            try:
                self._timeline = self._stepped()
            # Runtimes have no exception class of their own for it.
            except Exception as error:
                self._begin(smaller_window(error, self._window, self._description, first=self._first_window))
                continue
            self._index += 1
            yield

    def _stepped(self) -> Any:
        """Return the timeline after the next step."""
        time = self._sampler.times[self._index]
        if self._step is not None and self._in_one_window and isinstance(self._sampler, LinearSampler):
            return self._stepped_on_device(self._step, self._sampler.weights(self._index), time)
        return self._sampler.step(self._index, self._predict(self._timeline, time), self._timeline)

    def _stepped_on_device(self, step: Network, weights: Tuple[float, float], time: float) -> Any:
        if self._latents is None:
            self._latents = np.concatenate([self._timeline, self._conditions], axis=1)
        inputs = self._inputs(self._latents, self._conditions.shape[2:], time)
        prediction = self._transformer(inputs, ["prediction"])["prediction"]
        keep, gain = (np.array([weight], np.float32) for weight in weights)
        made = step(
            {
                "sample": self._timeline, "prediction": prediction, "conditions": self._conditions,
                "keep": keep, "gain": gain,
            },
            ["moved", "latents"],
        )  # fmt: skip
        self._latents = made["latents"]
        return made["moved"]

    def _predicted(self, latents: Float32, time: float) -> Float32:
        inputs = self._inputs(latents, latents.shape[2:], time)
        return np.asarray(self._transformer(inputs)["prediction"], np.float32)

    def _inputs(self, latents: Any, shape: Tuple[int, ...], time: float) -> Dict[str, Any]:
        """Return the transformer's inputs for `latents` of `shape` (T, h, w), arrays or values on the device."""
        if shape not in self._placed:
            made = positions(self._description.positions, *shape)
            self._placed[shape] = {name: _constant(value) for name, value in made.items()}
        constant = {"text": self._text, **self._placed[shape]}
        return {"latents": latents, "times": np.array([time], np.float32), **constant}

    def state(self) -> State:
        """Return the timeline with the steps done, and what the sampler keeps."""
        kept: Dict[str, StateValue] = {
            _SAMPLER + name: value for name, value in self._sampler.state().items()
        }
        return {"step": self._index, "window": self._window, "timeline": self._on_host(), **kept}

    def restore(self, state: Mapping[str, StateValue]) -> None:
        """Restore what `state` returned."""
        self._begin(int(state["window"]))  # type: ignore[arg-type]
        self._index = int(state["step"])  # type: ignore[arg-type]
        self._timeline = np.asarray(state["timeline"], np.float32)
        if self._index:
            self._sampler.restore(
                {
                    name[len(_SAMPLER) :]: np.asarray(value)
                    for name, value in state.items()
                    if name.startswith(_SAMPLER)
                }
            )


def _constant(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy that cannot be written to: runtimes keep it on the device between steps."""
    made = array.copy()
    made.setflags(write=False)
    return made
