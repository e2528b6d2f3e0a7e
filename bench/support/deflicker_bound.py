"""What stands between a deflicker and the truth on flicker of exposure, once every frame's light is measured exactly.

    own = own_course(engine, clip.frames)                            # how the clean clip's own light runs
    left = remaining(METHODS[name], own, exposure_course(count, rng))    # stops, what that method does not take out

What is measured of a flickering frame is the sum of the clip's own light and the flicker. A method that is told the sum
and nothing else has to guess which is which; the rest is error, however well it matches. Courses are `(T, 3)` stops of
r, g, b; only how they run counts, their mean over time is free.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

import numpy as np
import numpy.typing as npt
from harmovid_server.engines.base import Engine, ProxyFrame, ShotInfo
from harmovid_server.engines.deflicker import store, trend
from harmovid_server.engines.deflicker.basis import TERMS
from harmovid_server.engines.deflicker.links import Change
from harmovid_server.engines.deflicker.session import AHEAD_FRAMES, BLOCK_FRAMES, GAPS
from harmovid_server.engines.deflicker.solve import CHANNELS, LINK_STOPS, OUTPUTS
from harmovid_training.metrics.degrade import CHANNEL_STOPS, EXPOSURE_STOPS

Array = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Method = Callable[[Float64, Float64], Float64]
"""The flicker that a method finds in a measured course; what it is told of the clip's own; both by output."""

MOST_FRAMES = BLOCK_FRAMES + AHEAD_FRAMES - 1
"""The engine answers, and forgets, from there on."""
POWER_STOPS2 = np.array(
    [EXPOSURE_STOPS**2 + CHANNEL_STOPS**2 / 3, 2 * CHANNEL_STOPS**2, 2 * CHANNEL_STOPS**2]
)
"""Variance of the protocol's flicker by output."""


def own_course(engine: Engine, clean: Array) -> Float64:
    """Return the course `(T, 3)` of a clean clip's light, mean 0: what the engine's links say of it, and nothing else.

    Links are the changes of light between matched frames at gaps of 1, 2, 4 and 8, all of place left out; the course is
    the one that agrees with them best (least squares by their own errors), without any model of time.

    Args:
        engine: the deflicker, activated.
        clean: `(T, H, W, 3)` scene-linear at proxy size.

    Raises:
        ValueError: the clip is longer than the engine remembers, or is no single shot that can be matched.
    """
    count = len(clean)
    if count > MOST_FRAMES:
        raise ValueError(f"{count} frames are too many: the engine keeps the links of {MOST_FRAMES}.")
    found = _links(engine, clean)
    if len({frame for later, earlier, _ in found for frame in (later, earlier)}) < count:
        raise ValueError("some frames match no others: a cut, or nothing to be followed.")
    system, right = np.zeros((count, count)), np.zeros((count, 3))
    for later, earlier, change in found:
        weight = 1 / (change.variance + LINK_STOPS**2 * (later - earlier))
        ends = np.zeros(count)
        ends[later], ends[earlier] = 1, -1
        system += weight * np.outer(ends, ends)
        # The first row of the products are means of the terms, of which the second to fourth are the outputs.
        right += weight * np.outer(ends, change.here[0, 1:4] - change.there[0, 1:4])
    course = np.linalg.lstsq(system, right, rcond=1e-10)[0] @ CHANNELS.T
    centred: Float64 = course - course.mean(0)
    return centred


def _links(engine: Engine, clip: Array) -> List[Tuple[int, int, Change]]:
    count, height, width, _ = clip.shape
    session = engine.start(ShotInfo(tuple(range(count)), engine.info.check_options({}), ("plate",)))
    everywhere = {"coverage": np.ones((height, width), np.float32)}
    for number, frame in enumerate(clip):
        session.push(ProxyFrame(number, {"plate": frame}, everywhere, (0, 0, width, height)))
    seen = store.unpack_all_seen("seen", session.state(), GAPS)
    return [
        (each.number, each.number - max(gap, 1), change)
        for each in seen
        for gap, change in each.changes.items()
    ]


def nothing_kept(measured: Float64, own: Float64) -> Float64:
    """All that is measured is flicker: the clip's own change is taken out with it."""
    return measured - measured.mean(0)


def engine_model(measured: Float64, own: Float64) -> Float64:
    """The engine's model of time: sizes by maximum likelihood, with its prior for shots (`trend`)."""
    course = np.zeros((len(measured), TERMS, 3))
    course[:, 0] = measured
    model = trend.likeliest(course, 0)
    return np.stack([model.inverse_of(0, output) @ measured[:, output] for output in range(3)], axis=1)


def told_spectrum(measured: Float64, own: Float64) -> Float64:
    """A Wiener filter that is told how strong each frequency (DCT-II) of this very clip's own course is."""
    waves = _waves(len(measured))
    power = (waves @ own) ** 2
    return waves.T @ ((waves @ measured) * POWER_STOPS2 / (POWER_STOPS2 + power))


def told_shape(measured: Float64, own: Float64) -> Float64:
    """The linear filter that leaves the smallest mean square over all flickers, of all there are, for this own course.

    It is told the course but for its sign: a number of mean square 1 times it is what it expects.
    """
    found = measured - measured.mean(0)
    along = (own * found).sum(0) / ((own**2).sum(0) + POWER_STOPS2)
    return found - own * along


METHODS: Dict[str, Method] = {
    "nothing kept": nothing_kept,
    "engine's model": engine_model,
    "told spectrum": told_spectrum,
    "told shape": told_shape,
}


def remaining(method: Method, own: Float64, flicker: Float64) -> Float64:
    """Return what a method leaves on a clip, as a course `(T, 3)` in stops, mean 0.

    Args:
        method: one of `METHODS`.
        own: `own_course`.
        flicker: `(T, 3)` stops.
    """
    told = own @ OUTPUTS.T
    found = method(told + flicker @ OUTPUTS.T, told) @ CHANNELS.T
    left: Float64 = flicker - found
    return left - left.mean(0)


def _waves(count: int) -> Float64:
    """Return the orthonormal DCT-II, `(count - 1, count)`: all frequencies but the constant."""
    at, frequency = np.arange(count) + 0.5, np.arange(1, count)[:, None]
    waves: Float64 = np.sqrt(2 / count) * np.cos(np.pi * frequency * at / count)
    return waves
