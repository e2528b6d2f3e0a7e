"""The deflicker engine in this process as a callable on clips: through its public contract, as a worker runs it.

result = engine_run(deflicker.create(), reports)(frames, mask)
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import numpy as np
import numpy.typing as npt
from harmovid.pixels.apply.fast import apply_field
from harmovid_evaluate.methods import Run
from harmovid_server.engines.base import Answer, Engine, ProxyFrame, ShotInfo

Array = npt.NDArray[np.float32]
Options = Mapping[str, Any]


def answers_of(
    engine: Engine, frames: Array, mask: Optional[Array], options: Optional[Options] = None
) -> List[Answer]:
    """Push a clip through one session of the engine; return its answers in frame order.

    Args:
        engine: activated.
        frames: `(T, H, W, 3)` scene-linear, at proxy size.
        mask: `(T, H, W)` or None, given as the layer "mask".
        options: of the engine; others have their defaults.

    Raises:
        RuntimeError: a frame has no answer.
    """
    count, height, width, _ = frames.shape
    checked = engine.info.check_options(dict(options or {}))
    layers = ("plate",) if mask is None else ("plate", "mask")
    session = engine.start(ShotInfo(tuple(range(count)), checked, layers))
    everything = np.ones((height, width), np.float32)
    found: Dict[int, Answer] = {}
    for number, frame in enumerate(frames):
        mattes = {"coverage": everything} if mask is None else {"coverage": everything, "mask": mask[number]}
        pushed = ProxyFrame(number, {"plate": frame}, mattes, (0, 0, width, height))
        found.update({answer.number: answer for answer in session.push(pushed)})
    found.update({answer.number: answer for answer in session.finish() if answer})
    if sorted(found) != list(range(count)):
        raise RuntimeError(f"the engine answered {len(found)} of {count} frames.")
    return [found[number] for number in range(count)]


def engine_run(
    engine: Engine, reports: Optional[List[Mapping[str, Any]]] = None, options: Optional[Options] = None
) -> Run:
    """Return the engine as a `Run`; frames are at proxy size, and the fields are applied to them.

    Args:
        engine: activated.
        reports: filled with the frames' reports of the last run.
        options: of the engine; others have their defaults.
    """

    def run(frames: Array, mask: Optional[Array]) -> Array:
        answers = answers_of(engine, frames, mask, options)
        if reports is not None:
            reports[:] = [answer.report for answer in answers]
        relit = [
            apply_field(frame, answer.field, origin=(0, 0), mask=None if mask is None else mask[t])[0]
            for t, (frame, answer) in enumerate(zip(frames, answers))
        ]
        return np.stack(relit)

    return run
