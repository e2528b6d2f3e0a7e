"""Windows over a long timeline: temporal MultiDiffusion (Bar-Tal et al. 2023, along time), as in training.

    predict = over_windows(network, conditions, spans(total, size, overlap))

Every step predicts in each window and averages where windows overlap, with the highest weight in the middle of a
window, because a model sees no past of its first latents. Then one sampler step is applied to the whole timeline.
"""

from __future__ import annotations

from typing import Callable, List

import numpy as np
import numpy.typing as npt
from harmovid.errors import OptionError

Float32 = npt.NDArray[np.float32]
Predict = Callable[[Float32, float], Float32]
"""Noisy latents with their conditions `(1, channels, T, h, w)`, and the time -> prediction `(1, C, T, h, w)`."""


def spans(total: int, size: int, overlap: int) -> List[slice]:
    """Return windows of `size` latents that cover `total`, each sharing at least `overlap` with the one before.

    The last one ends with the timeline, so it may overlap more. A timeline no longer than a window is one window.

    Raises:
        OptionError: the windows would not advance.
    """
    if not 0 <= overlap < size:
        raise OptionError(
            f"windows of {size} latents cannot overlap by {overlap}.",
            fix="Let them overlap by less than a window.",
        )
    if total <= size:
        return [slice(0, total)]
    starts = [*range(0, total - size, size - overlap), total - size]
    return [slice(start, start + size) for start in starts]


def weights(window: slice) -> Float32:
    """Return the weights of a window's latents, `(size,)`: a triangle, 1 at both ends."""
    place = np.arange(window.stop - window.start)
    return np.asarray(np.minimum(place + 1, place[::-1] + 1), np.float32)


def over_windows(predict: Predict, conditions: Float32, windows: List[slice]) -> Predict:
    """Return a function (timeline, time) -> prediction that averages over windows.

    Args:
        conditions: `(1, channels - C, T, h, w)` of the whole timeline.
    """
    sums = np.zeros(conditions.shape[2], np.float32)
    for window in windows:
        sums[window] += weights(window)

    def averaged(timeline: Float32, time: float) -> Float32:
        total = np.zeros_like(timeline)
        for window in windows:
            seen = np.concatenate([timeline[:, :, window], conditions[:, :, window]], axis=1)
            share = (weights(window) / sums[window]).reshape(1, 1, -1, 1, 1)
            total[:, :, window] += share * predict(seen, time)
        return total

    return averaged
