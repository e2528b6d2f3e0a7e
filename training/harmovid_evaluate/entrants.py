"""The rows of the table: methods that take a case and return frames.

    for entrant in entrants:
        if case.task in entrant.tasks:
            frames = entrant.run(case)

Classical methods are here; our engines are in `engine_rows`, networks in `network_rows`, other people's methods in
`outside`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Protocol, Tuple

import numpy as np
from harmovid.errors import InputError
from harmovid_training.metrics.degrade import Array

from harmovid_evaluate.cases import Case
from harmovid_evaluate.ffmpeg import TMIDEQUALIZER, run_filter
from harmovid_evaluate.harmonize_methods import log_mean_gently, reinhard_log
from harmovid_evaluate.methods import mean_std
from harmovid_evaluate.testsets import DEFLICKER, HARMONIZE

AS_IS = "composite as it is"
ORIGINAL = "the original"
"""A reference row, not a method: the truth, or if it is unknown the video whose motion should be kept."""
SIGMA_FRAMES = 10.0
"""Over which the statistical deflicker smooths."""


class Absent(InputError):
    """This method has no result for this case, which is not a failure. The message says why, and how to change that."""


class Entrant(Protocol):
    """One row.

    Attributes:
        name: in the table.
        tasks: the tasks that it can do.
        key: fingerprint of its settings; results with another key are not reused.
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def tasks(self) -> Tuple[str, ...]:
        """See the class."""

    @property
    def key(self) -> str:
        """See the class."""

    def run(self, case: Case) -> Array:
        """Return `(T, H, W, 3)` scene-linear frames of the case's size.

        Raises:
            Absent: it has no result for this case.
            HarmoVidError: it failed.
        """


@dataclass(frozen=True)
class Plain:
    """A method that is a function of a case."""

    name: str
    tasks: Tuple[str, ...]
    function: Callable[[Case], Array]
    key: str = "1"

    def run(self, case: Case) -> Array:
        """See `Entrant`."""
        return self.function(case)


def _tmidequalizer(case: Case) -> Array:
    changed = run_filter(case.composite, TMIDEQUALIZER[0])
    # The filter takes no mask, but only the foreground may change.
    return only_foreground(case, changed)


def only_foreground(case: Case, changed: Array) -> Array:
    """Return the input with `changed` inside the mask: for methods whose result is valid on the foreground only."""
    weight = case.mask[..., None]
    mixed = case.composite + (changed - case.composite) * weight
    return np.where(weight > 0, mixed, case.composite).astype(np.float32)


CLASSICAL: Dict[str, Plain] = {
    each.name: each
    for each in (
        Plain(AS_IS, (HARMONIZE, DEFLICKER), lambda case: case.composite),
        Plain(
            ORIGINAL, (HARMONIZE, DEFLICKER),
            lambda case: case.reference if case.truth is None else case.truth,
        ),
        Plain("Reinhard, log light", (HARMONIZE,), lambda case: reinhard_log(case.composite, case.mask)),
        Plain("log mean x 0.3", (HARMONIZE,), lambda case: log_mean_gently(case.composite, case.mask)),
        Plain(
            "mean and deviation over time", (DEFLICKER,),
            lambda case: mean_std(case.composite, case.mask, SIGMA_FRAMES),
        ),
        Plain("ffmpeg tmidequalizer", (DEFLICKER,), _tmidequalizer),
    )
}  # fmt: skip
"""By name; all of them are rows unless the user names some."""
