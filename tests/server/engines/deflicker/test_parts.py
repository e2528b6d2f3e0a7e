"""A part of a shot that is seen with the frames beside it gets the light that it has in the whole."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from harmovid.context import Context
from harmovid.frames import FrameRange
from harmovid.pixels.apply.tiles import apply_field
from harmovid_server.engines.base import ProxyFrame, ShotInfo
from harmovid_server.engines.deflicker import DeflickerEngine
from harmovid_server.engines.deflicker.session import FULL, QUICK
from harmovid_server.runtimes.base import RuntimeSettings

FRAMES = FrameRange(range(1001, 1089))
PART = FrameRange(range(1065, 1073))
FITS_STOPS, ALONE_STOPS = 0.001, 0.02
SIZE = (36, 48)


@lru_cache(maxsize=1)
def shot() -> dict[int, np.ndarray]:
    """Return a locked-off shot with white flicker of 0.3 stops and a slow walk of its own light."""
    rng = np.random.default_rng(4)
    scene = np.kron(rng.uniform(0.1, 0.6, (9, 12, 3)), np.ones((4, 4, 1)))
    stops = rng.normal(0, 0.3, len(FRAMES)) + np.cumsum(rng.normal(0, 0.005, len(FRAMES)))
    pictures = {}
    for i, number in enumerate(FRAMES):
        seen = scene + rng.normal(0, 0.003, scene.shape)
        pictures[number] = (seen.clip(0.003) * 2.0 ** stops[i]).astype(np.float32)
    return pictures


def levels(numbers: FrameRange) -> dict[int, float]:
    """Return the level of each frame, corrected by a job that sees these frames, in stops."""
    engine = DeflickerEngine()
    engine.activate(RuntimeSettings())
    options = engine.info.check_options({"quick": True, "motion": "still", "local": 0.0})
    session = engine.start(ShotInfo(tuple(numbers), options, ("plate",)))
    mattes = {"coverage": np.ones(SIZE, np.float32)}
    answers = []
    for number in numbers:
        frame = ProxyFrame(number, {"plate": shot()[number]}, mattes, (0, 0, SIZE[1], SIZE[0]))
        answers += session.push(frame)
    answers += session.finish()
    session.close()
    results = {a.number: apply_field(shot()[a.number], a.field, origin=(0, 0))[0] for a in answers}
    return {number: float(np.log2(picture).mean()) for number, picture in results.items()}


def furthest(part: dict[int, float], whole: dict[int, float]) -> float:
    """Return the largest difference of the part's frames."""
    return max(abs(part[number] - whole[number]) for number in PART)


def test_a_part_with_handles_fits_the_whole() -> None:
    """With as many frames as a window and a block before it, from whole blocks on, it fits; alone it does not.

    That is what the engine asks for with `quick`; without, it is the same of its large windows.
    """
    info = DeflickerEngine.info
    assert (info.handles_for({"quick": False}), info.handle_step) == (FULL.handles, FULL.block)
    assert FULL.block % QUICK.block == 0
    context = Context(info.handles_for({"quick": True}), QUICK.block).frames(PART, FRAMES)
    whole = levels(FRAMES)

    assert FRAMES[0] < min(context) < PART[0]
    assert furthest(levels(FrameRange([*context, *PART])), whole) < FITS_STOPS
    assert furthest(levels(PART), whole) > ALONE_STOPS
