"""The latents of one shot on their way from noise to the network's answer: one step of the sampler after the other.

    sampling = Sampling(transformer, description, text, controls, conditions)
    for _ in sampling.steps():                # other jobs get their turn between two steps
        state = sampling.state()              # arrays and numbers; `restore` continues after this step, to the bit
    sampling.latents

If memory runs out, sampling starts again once with a smaller window (`memory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, Mapping, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.engines.base import State, StateValue
from harmovid_server.engines.diffusion.description import Description
from harmovid_server.engines.diffusion.memory import smaller_window
from harmovid_server.engines.diffusion.noise import seeded_noise
from harmovid_server.engines.diffusion.positions import positions
from harmovid_server.engines.diffusion.schedule import make_sampler
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

    Args:
        text: `(1, tokens, width)` embedding of the prompt.
        conditions: `(1, channels - C, T, h, w)` of the whole shot.
    """

    def __init__(
        self,
        transformer: Network,
        description: Description,
        text: Float32,
        controls: Controls,
        conditions: Float32,
    ) -> None:
        self._transformer, self._description = transformer, description
        self._text, self._controls = _constant(text), controls
        self._placed: Dict[Tuple[int, ...], Dict[str, npt.NDArray[Any]]] = {}
        self._padding = description.front_padding(conditions.shape[2])
        self._conditions = np.concatenate([conditions[:, :, :1]] * self._padding + [conditions], axis=2)
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
        self._predict = over_windows(self._network, self._conditions, spans(total, size, overlap))
        self._sampler = make_sampler(description.scheduler, controls.sampler, controls.steps, controls.seed)
        noise = seeded_noise((description.channels, *self._conditions.shape[3:]), total, controls.seed)
        self._timeline = self._sampler.start(noise, self._conditions[:, : description.channels])

    @property
    def latents(self) -> Float32:
        """The latents `(1, C, T, h, w)` as they are now."""
        return self._timeline[:, :, self._padding :]

    def steps(self) -> Iterator[None]:
        """Do the steps that are left; an item after each.

        Raises:
            EngineFailed: memory has run out twice.
        """
        while self._index < len(self._sampler.times):
            try:
                prediction = self._predict(self._timeline, self._sampler.times[self._index])
            # Runtimes have no exception class of their own for it.
            except Exception as error:
                self._begin(smaller_window(error, self._window, self._description, first=self._first_window))
                continue
            self._timeline = self._sampler.step(self._index, prediction, self._timeline)
            self._index += 1
            yield

    def _network(self, latents: Float32, time: float) -> Float32:
        shape = latents.shape[2:]
        if shape not in self._placed:
            made = positions(self._description.positions, *shape)
            self._placed[shape] = {name: _constant(value) for name, value in made.items()}
        constant = {"text": self._text, **self._placed[shape]}
        inputs = {"latents": latents, "times": np.array([time], np.float32), **constant}
        return np.asarray(self._transformer(inputs)["prediction"], np.float32)

    def state(self) -> State:
        """Return the timeline with the steps done, and what the sampler keeps."""
        kept: Dict[str, StateValue] = {
            _SAMPLER + name: value for name, value in self._sampler.state().items()
        }
        return {"step": self._index, "window": self._window, "timeline": self._timeline, **kept}

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
