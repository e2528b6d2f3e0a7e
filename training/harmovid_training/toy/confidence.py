"""The answer: how much of a network's change of light is applied to the input's own pixels, clip by clip.

    slow = slow_change(given, result, mask)            # in stops
    confidence = fitted([known(...), ...])             # on scenes that are neither trained on nor tested on
    answer = applied(given, slow, confidence, mask)

The **slow change** is one for the whole clip: stops that are linear in the log2 light of the three channels, which is
the part of a relighting that does not depend on the place. A light of these scenes does not change during a clip, so
what differs from frame to frame is the network's error; its local part is hardly better than none at this size
(docs/log.md). Such a change keeps all detail of the input.

Where a network predicts a small change, most of it is the network's own error; a large change is mostly right. So the
strength grows from 0 to `most` with the size of the change. The three numbers come from a search among those that do
little harm to mild looks; the product's harmonizer has a small network for the same purpose (docs/harmonize.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Sequence

import numpy as np
import numpy.typing as npt
from harmovid.pixels.apply.fast import field_stops
from harmovid.pixels.fitting.fit import fit_field

from harmovid_training.metrics.degrade import to_stops
from harmovid_training.metrics.quality import view
from harmovid_training.stages.pairs import Float32

LOW, WIDTH = tuple(step / 10 for step in range(11)), (0.05, 0.1, 0.2, 0.4, 0.6)
MOST = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Values of the search, in stops except for the shares `MOST`."""

HARM_DB = 0.25
"""Largest mean loss in PSNR on the mild looks of the search: half of the bar, because they are few."""

STRENGTHS = np.linspace(0, max(MOST), 25)
"""Strengths at which the search measures a clip; between them it interpolates."""

EVERY = 4
"""The search uses one frame in this many."""


@dataclass(frozen=True)
class Confidence:
    """See the module.

    Attributes:
        low, high: sizes of a change, in stops, at which the strength is 0 and at which it is `most`.
        most: largest strength; above 1 where a network's changes are too small.
    """

    low: float = -1.0
    high: float = 0.0
    most: float = 1.0

    def strength(self, size: float) -> float:
        """Return how much of a change of this size, in stops, is taken."""
        return self.most * float(np.clip((size - self.low) / (self.high - self.low), 0, 1))


CERTAIN = Confidence()
"""Applies every change completely."""


@dataclass(frozen=True)
class Known:
    """What the search knows of a clip.

    Attributes:
        size: of its slow change, in stops.
        gains: in PSNR over the input, at each of `STRENGTHS`.
        mild: whether it is a clip with a mild look.
    """

    size: float
    gains: npt.NDArray[np.float64]
    mild: bool = False


def slow_change(given: Float32, result: Float32, mask: Float32) -> Float32:
    """Return the slow change from `given` to `result` in stops, `(T, H, W, 3)`: least squares over all masked pixels of
    the clip; 0 outside the mask."""
    inside, slow = mask > 0, np.zeros(given.shape, np.float32)
    before, after = to_stops(given[inside]), to_stops(result[inside])
    terms = np.concatenate([np.ones_like(before[:, :1]), before], axis=1)
    slow[inside] = terms @ np.linalg.lstsq(terms, after - before, rcond=None)[0]
    return slow


def carried(given: Float32, result: Float32, mask: Float32) -> Float32:
    """Return `given` with the whole change to `result` as the product represents it: a lighting field per frame."""
    made, box = given.copy(), (0, 0, given.shape[2], given.shape[1])
    for index, (before, after, matte) in enumerate(zip(given, result, mask)):
        field = fit_field(before, after, box=box, weights=matte, trusted=False)
        made[index] = before * np.exp2(field_stops(before, field, origin=(0, 0), mask=matte))
    return made


def size_of(slow: Float32, mask: Float32) -> float:
    """Return the size of a slow change inside the mask: its root mean square, in stops."""
    return float(np.sqrt(np.square(slow[mask > 0]).mean()))


def applied(given: Float32, slow: Float32, confidence: Confidence, mask: Float32) -> Float32:
    """Return `given` with the slow change at the strength of the confidence."""
    strength = np.float32(confidence.strength(size_of(slow, mask)))
    return np.asarray(given * np.exp2(strength * slow), np.float32)


def known(given: Float32, slow: Float32, mask: Float32, truth: Float32, mild: bool = False) -> Known:
    """Return what the search needs of a clip, its slow change and the truth."""
    inside = mask[::EVERY] > 0
    light, stops = given[::EVERY][inside], slow[::EVERY][inside]
    shown = view(truth[::EVERY][inside])
    errors = [
        np.square(view(light * np.exp2(np.float32(one) * stops)) - shown).mean() + 1e-9 for one in STRENGTHS
    ]
    return Known(size_of(slow, mask), 10 * np.log10(errors[0] / np.array(errors, np.float64)), mild)


def fitted(clips: Sequence[Known]) -> Confidence:
    """Return the confidence with the highest mean gain on known clips among those that do little harm to mild looks, or
    the least harmful one."""
    tried = [Confidence(low, low + width, most) for low, width, most in product(LOW, WIDTH, MOST)]
    gains = np.array(
        [[np.interp(one.strength(clip.size), STRENGTHS, clip.gains) for clip in clips] for one in tried]
    )
    mild = np.array([clip.mild for clip in clips])
    harm = -gains[:, mild].mean(1) if mild.any() else np.zeros(len(tried))
    allowed = harm <= max(HARM_DB, harm.min())
    return tried[int(np.where(allowed, gains.mean(1), -np.inf).argmax())]
