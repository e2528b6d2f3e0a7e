"""Messages between a worker and its engine actors: plain values, bytes and arrays, no classes of HarmoVid.

    frame_of(pack_frame(frame)) == frame
    answers_of(pack_answers(answers)) == answers

So both sides need to agree on the messages only, not on classes. Larger arrays are passed in Ray's object store, and
read there without a copy.
"""

from __future__ import annotations

import uuid
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.pixels.field import LightingField

from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo, State
from harmovid_server.worker.checkpoint import plain

Plain = Dict[str, Any]
PackedAnswer = Tuple[int, bytes, Plain, Optional[npt.NDArray[Any]]]


def new_session(job: str) -> str:
    """Return a unique id that contains the job's id, for the log."""
    return f"{job}/{uuid.uuid4().hex}"


def job_of(session: str) -> str:
    """Return the job that a session belongs to."""
    return session.partition("/")[0]


def pack_shot(shot: ShotInfo) -> Plain:
    """Return a shot's frames, options and layers."""
    return {
        "frames": list(shot.frames), "options": dict(shot.options), "layers": list(shot.layers),
        "wants_pictures": shot.wants_pictures,
    }  # fmt: skip


def shot_of(packed: Plain) -> ShotInfo:
    """Return what `pack_shot` has packed."""
    return ShotInfo(
        tuple(packed["frames"]), packed["options"], tuple(packed["layers"]), packed["wants_pictures"]
    )


def pack_frame(frame: ProxyFrame) -> Plain:
    """Return a proxy with its arrays as they are."""
    return {
        "number": frame.number, "images": dict(frame.images), "mattes": dict(frame.mattes), "box": list(frame.box),
    }  # fmt: skip


def frame_of(packed: Plain) -> ProxyFrame:
    """Return what `pack_frame` has packed; its arrays cannot be written to."""
    x0, y0, x1, y1 = packed["box"]
    return ProxyFrame(packed["number"], packed["images"], packed["mattes"], (x0, y0, x1, y1))


def pack_answers(answers: Iterable[Optional[Answer]]) -> List[PackedAnswer]:
    """Return answers with their fields as bytes (docs/lighting-field.md); None, a part of the work, is left out."""
    return [
        (answer.number, answer.field.to_bytes(), plain(answer.report), answer.picture)
        for answer in answers
        if answer is not None
    ]


def answers_of(packed: Iterable[PackedAnswer]) -> List[Answer]:
    """Return what `pack_answers` has packed."""
    return [
        Answer(number, LightingField.from_bytes(field), report, picture)
        for number, field, report, picture in packed
    ]


def own_state(state: State) -> State:
    """Return a session's state with arrays that it may keep and write to."""
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in state.items()}
