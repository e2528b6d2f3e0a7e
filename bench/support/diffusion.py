"""A diffusion bundle's engine in this process, on rendered shots of the toy: proxies, answers, change over time.

engine = open_engine(Path("out/toy-bundles/toy-harmovid"))
proxies = shot_proxies(engine, 400)
stops = mean_stops(answers_of(engine, proxies, window=33), proxies)          # (frames, 3)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Set

import numpy as np
import numpy.typing as npt
from harmovid.pixels.apply.fast import field_stops
from harmovid_server.engines import bundles
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo
from harmovid_server.engines.diffusion import DiffusionEngine
from harmovid_server.engines.diffusion.windows import spans
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_training.toy.shots import toy_shot

Array = npt.NDArray[Any]

SEED = 900_003
"""Of the shot; the toy is not trained on it."""


def open_engine(folder: Path) -> DiffusionEngine:
    """Return the engine of a bundle, loaded on the CPU.

    Raises:
        SystemExit: the bundle is of another kind.
    """
    engine = bundles.create(folder)
    if not isinstance(engine, DiffusionEngine):
        raise SystemExit(f"{folder} is not a diffusion bundle")
    engine.activate(RuntimeSettings(device="cpu"))
    return engine


def shot_proxies(engine: DiffusionEngine, count: int) -> List[ProxyFrame]:
    """Return the proxies of one rendered shot, for the engine's task."""
    shot = toy_shot(SEED, count)
    high, wide = shot.real.shape[1:3]
    everything = np.ones((high, wide), np.float32)
    found = []
    for number in range(count):
        if engine.info.task == "harmonize":
            images = {"fg": shot.real[number], "bg": shot.background[number]}
            mattes = {"matte": shot.mask[number], "coverage": everything}
        else:
            images, mattes = {"plate": shot.real[number]}, {"coverage": everything}
        found.append(ProxyFrame(number, images, mattes, (0, 0, wide, high)))
    return found


def answers_of(engine: DiffusionEngine, proxies: List[ProxyFrame], **options: Any) -> List[Answer]:
    """Push all frames through one session and return its answers."""
    numbers = tuple(one.number for one in proxies)
    session = engine.start(ShotInfo(numbers, engine.info.check_options(options), tuple(proxies[0].images)))
    for one in proxies:
        session.push(one)
    return [answer for answer in session.finish() if answer is not None]


def mean_stops(answers: List[Answer], proxies: List[ProxyFrame]) -> Array:
    """Return what each field does to its frame under the matte, `(frames, 3)` mean stops."""
    means = []
    for answer, proxy in zip(answers, proxies):
        picture = proxy.images.get("fg", proxy.images.get("plate"))
        if picture is None:
            raise ValueError("the engine has neither fg nor plate")
        inside = proxy.mattes.get("matte", proxy.mattes["coverage"]) > 0.5
        means.append(field_stops(picture, answer.field, origin=(0, 0))[inside].mean(axis=0))
    return np.array(means)


def border_changes(engine: DiffusionEngine, count: int, window: int, overlap: int) -> Set[int]:
    """Return the changes between frames i and i + 1 that lie across the start or the end of a window, by i."""
    description = engine._description
    total = description.latents_of(description.legal_frames(count))
    size = description.latents_of(window)
    borders = set()
    for span in spans(total, size, min(-(-overlap // description.temporal), size - 1)):
        # Latent k ends with frame `temporal * k`.
        borders |= {description.temporal * edge for edge in (span.start - 1, span.stop - 1)}
    return {place for place in borders if 0 <= place < count - 1}
