"""How much of a network's change of light is applied, from none to all of it, clip by clip.

    change = change_of(given, result, mask)            # the field in stops: its curves, and its local part
    confidence = fitted(cases)                         # on scenes that are neither trained on nor tested on
    answer = applied(given, change, confidence, mask)

Where a network predicts a small change, most of it is the network's own error; a large change is mostly right. So the
strength grows from 0 to `most` with the size of the change, and the local part has a factor of its own. The four
numbers come from a grid search; the product's harmonizer has a small network for the same purpose (docs/harmonize.md).
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
"""Values of the grid search, in stops except for the shares `LOCAL` and `MOST`."""

EVERY = 4
"""The search uses one frame in this many."""


@dataclass(frozen=True)
class Change:
    """A clip's change of light in stops, `(T, H, W, 3)`: a global part (curves) and a local part."""

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
"""Applies every change completely: the unscaled field."""


@dataclass(frozen=True)
class Known:
    """A clip of the search: its input, the network's change, and the truth."""

    given: Float32
    change: Change
    mask: Float32
    truth: Float32


def change_of(given: Float32, result: Float32, mask: Float32) -> Change:
    """Return the change of light from `given` to `result` as the product represents it: a lighting field per frame."""
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
    """Return `given` with the change applied at the strength of the confidence."""
    strength = np.float32(confidence.strength(size_of(change, mask)))
    stops = strength * (change.whole + np.float32(confidence.local) * change.local)
    return np.asarray(given * np.exp2(stops), np.float32)


def fitted(cases: Sequence[Known]) -> Confidence:
    """Return the confidence that is best on known clips: the local share has the lowest error after each clip's mean is
    removed, the other numbers the highest mean gain in PSNR."""
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
        """Return the error of the whole change in stops after its mean is removed."""
        left = self._wanted - self._whole - np.float32(share) * self._local
        return float(np.square(left - left.mean(0)).mean())

    def gain(self, one: Confidence) -> float:
        """Return the gain in PSNR over the input."""
        stops = np.float32(one.strength(self._size)) * (self._whole + np.float32(one.local) * self._local)
        return 10 * float(np.log10(self._plain / self._error(self._given * np.exp2(stops))))

    def _error(self, result: Float32) -> float:
        return float(np.square(view(result) - self._shown).mean()) + 1e-9
