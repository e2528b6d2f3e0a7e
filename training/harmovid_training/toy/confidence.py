"""How far a network's change of light is believed: none, some, or all of it, clip by clip.

    change = change_of(given, result, mask)            # the field, as stops: its curves, and what is local
    confidence = fitted(cases)                         # on scenes that are neither trained on nor tested on
    answer = applied(given, change, confidence, mask)

A small change that a network wants is mostly its own error, a large one mostly right. So the strength grows from 0 to
`most` with the size of the change, and the local part is taken at a share of its own. Four numbers, chosen by a grid
search; the product's harmonizer does the same with a network of its own (docs/harmonize.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Sequence

import numpy as np
from harmovid.pixels.apply.fast import field_stops
from harmovid.pixels.field.exr_channels import global_part
from harmovid.pixels.fitting.fit import fit_field

from harmovid_training.metrics.degrade import to_stops
from harmovid_training.metrics.quality import view
from harmovid_training.stages.pairs import Float32

LOCAL = (0.0, 0.25, 0.5, 0.75, 1.0)
LOW, WIDTH, MOST = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.05, 0.2, 0.4, 0.6), (0.6, 0.7, 0.8, 0.9, 1.0)
"""What the grid search tries; stops but for the shares `LOCAL` and `MOST`."""

EVERY = 4
"""Of a clip's frames, one in so many is looked at in the search."""


@dataclass(frozen=True)
class Change:
    """A clip's change of light in stops, `(T, H, W, 3)`: of the whole clip's colours, and of places."""

    whole: Float32
    local: Float32


@dataclass(frozen=True)
class Confidence:
    """See the module.

    Attributes:
        low, high: sizes of a change, in stops, at which the strength is 0 and at which it is `most`.
        most: largest strength.
        local: share of the local part, times the strength.
    """

    low: float = -1.0
    high: float = 0.0
    most: float = 1.0
    local: float = 1.0

    def strength(self, size: float) -> float:
        """Return how much of a change of this size, in stops, is taken."""
        return self.most * float(np.clip((size - self.low) / (self.high - self.low), 0, 1))


FULL = Confidence()
"""All of every change: the field as it is."""


@dataclass(frozen=True)
class Known:
    """A clip of the search: what was given, the change that a network wants, and what is right."""

    given: Float32
    change: Change
    mask: Float32
    truth: Float32


def change_of(given: Float32, result: Float32, mask: Float32) -> Change:
    """Return the change of light from `given` to `result` as the product carries it: a lighting field per frame."""
    whole, local = np.zeros((2, *given.shape), np.float32)
    box = (0, 0, given.shape[2], given.shape[1])
    for index, (before, after, matte) in enumerate(zip(given, result, mask)):
        field = fit_field(before, after, box=box, weights=matte, trusted=False)
        whole[index] = field_stops(before, global_part(field), origin=(0, 0), mask=matte)
        local[index] = field_stops(before, field, origin=(0, 0), mask=matte) - whole[index]
    return Change(whole, local)


def size_of(change: Change, mask: Float32) -> float:
    """Return the size of a change inside the mask: the root mean square of its curves, in stops."""
    return float(np.sqrt(np.square(change.whole[mask > 0]).mean()))


def applied(given: Float32, change: Change, confidence: Confidence, mask: Float32) -> Float32:
    """Return `given` with as much of a change as the confidence takes."""
    strength = np.float32(confidence.strength(size_of(change, mask)))
    stops = strength * (change.whole + np.float32(confidence.local) * change.local)
    return np.asarray(given * np.exp2(stops), np.float32)


def fitted(cases: Sequence[Known]) -> Confidence:
    """Return the confidence that serves known clips best: the local share by the error that is left when each clip's
    mean is free, the rest by the mean gain in PSNR."""
    few = [_Pixels(case) for case in cases]
    local = min(LOCAL, key=lambda share: np.mean([one.uneven(share) for one in few]))
    tried = [Confidence(low, low + width, most, local) for low, width, most in product(LOW, WIDTH, MOST)]
    return max(tried, key=lambda one: np.mean([case.gain(one) for case in few]))


class _Pixels:
    """A known clip's masked pixels of every few frames."""

    def __init__(self, case: Known) -> None:
        inside = case.mask[::EVERY] > 0
        self._given, self._truth = case.given[::EVERY][inside], case.truth[::EVERY][inside]
        self._whole, self._local = case.change.whole[::EVERY][inside], case.change.local[::EVERY][inside]
        self._size = size_of(case.change, case.mask)
        self._wanted = to_stops(self._truth) - to_stops(self._given)
        self._shown = view(self._truth)
        self._plain = self._error(self._given)

    def uneven(self, share: float) -> float:
        """Return the error in stops that is left of the whole change when its mean is free."""
        left = self._wanted - self._whole - np.float32(share) * self._local
        return float(np.square(left - left.mean(0)).mean())

    def gain(self, one: Confidence) -> float:
        """Return the gain in PSNR over what was given."""
        stops = np.float32(one.strength(self._size)) * (self._whole + np.float32(one.local) * self._local)
        return 10 * float(np.log10(self._plain / self._error(self._given * np.exp2(stops))))

    def _error(self, result: Float32) -> float:
        return float(np.square(view(result) - self._shown).mean()) + 1e-9
