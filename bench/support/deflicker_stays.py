"""The bench's rows of what is not flicker and must stay: fades, dissolves, steps, outliers, scales, empty frames.

Every row is the level that the engine adds to the worst frame that counts, in stops; nothing but `outliers` and
`scale` flickers.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from harmovid_evaluate.clips import Clip
from harmovid_evaluate.methods import Run
from harmovid_training.metrics.degrade import exposure, gained
from harmovid_training.metrics.quality import unview, view

from support.deflicker_compare import OURS
from support.deflicker_films import Rows

Array = npt.NDArray[np.float32]
Indices = Sequence[int]

FADES = (8, 24)
"""Lengths of fades and dissolves in frames."""
STEP_STOPS, FLASH_STOPS, DARK_STOPS = 0.7, 2.0, -0.7
FLASH_EVERY, DARK_EVERY = 17, 8
SCALES = (0.001, 1000.0)
EMPTY = (3, 7, 8)
"""Frames that are black."""


def stays_rows(pair: Tuple[Clip, Optional[Clip]], ours: Run, seed: int) -> Rows:
    """Return a row per kind for a clip, and for dissolves into another one of its size.

    Args:
        pair: the clip, and the one after it.
        ours: the engine.
        seed: of the flicker under `scale` and `empty frames`.
    """
    clip, after = pair
    frames = clip.frames
    found: Dict[str, float] = {}
    for count in (count for count in FADES if 4 * count <= 3 * len(frames)):
        found[f"fade to black, {count} frames of light"] = _kept(ours, _faded(frames, count, gained_in_light))
        found[f"fade to black, {count} frames of code"] = _kept(ours, _faded(frames, count, gained_in_code))
        if after is not None and after.frames.shape == frames.shape:
            found[f"dissolve, {count} frames"] = _kept(ours, _dissolved(frames, after.frames, count))
    found["step"] = _kept(ours, _stepped(frames, STEP_STOPS))
    for what, stops, every in (("flash", FLASH_STOPS, FLASH_EVERY), ("dark frame", DARK_STOPS, DARK_EVERY)):
        odd = np.arange(len(frames)) % every == every // 2
        disturbed = gained(frames, np.where(odd, stops, 0.0)[:, None, None, None])
        found[f"{what} in every {every}th, the others"] = _kept(
            ours, disturbed, np.flatnonzero(~odd).tolist()
        )
    flickering = exposure(frames, np.random.default_rng(seed))
    plain = ours(flickering, None)
    for scale in SCALES:
        scaled = ours((flickering * scale).astype(np.float32), None) / scale
        found[f"scale {scale:g}, difference"] = _worst(scaled.astype(np.float32), plain)
    found["empty frames, the others"] = _beside_empty(ours, flickering)
    return [
        {"test": "stays", "what": f"{clip.name}, {what}", "numbers": {OURS: {"worst_stops": worst}}}
        for what, worst in found.items()
    ]


def gained_in_light(frames: Array, share: Array) -> Array:
    """Return frames times a share of their light."""
    return (frames * share).astype(np.float32)


def gained_in_code(frames: Array, share: Array) -> Array:
    """Return frames times a share of their display values."""
    return unview(view(frames) * share)


def _faded(frames: Array, count: int, gain: Callable[[Array, Array], Array]) -> Array:
    """Return frames that go to black at the end."""
    share = np.clip((len(frames) - 1 - np.arange(len(frames))) / count, 0, 1).astype(np.float32)
    return gain(frames, share[:, None, None, None])


def _dissolved(frames: Array, after: Array, count: int) -> Array:
    """Return frames that dissolve into another clip in the middle, both moving."""
    start = (len(frames) - count) // 2
    share = np.clip((np.arange(len(frames)) - start) / count, 0, 1).astype(np.float32)[:, None, None, None]
    return ((1 - share) * frames + share * after).astype(np.float32)


def _stepped(frames: Array, stops: float) -> Array:
    return gained(frames, np.where(np.arange(len(frames)) < len(frames) // 2, 0, stops)[:, None, None, None])


def _kept(ours: Run, frames: Array, among: Optional[Indices] = None) -> float:
    return _worst(ours(frames, None), frames, among)


def _beside_empty(ours: Run, frames: Array) -> float:
    """Return by how much black frames in a shot change the others' results."""
    pictures = [index for index in range(len(frames)) if index not in EMPTY]
    holed = frames.copy()
    holed[list(EMPTY)] = 0
    return _worst(ours(holed, None)[pictures], ours(frames[pictures], None))


def _worst(result: Array, source: Array, among: Optional[Indices] = None) -> float:
    """Return the change of level of the worst frame, over lit pixels; frames without any do not count."""
    numbers: List[float] = []
    for index in range(len(source)) if among is None else among:
        lit = source[index] > 1e-6 * float(source.max())
        if lit.any():
            numbers.append(abs(float(np.median(np.log2(result[index][lit] / source[index][lit])))))
    return max(numbers)
