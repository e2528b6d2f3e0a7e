"""A job's checkpoint: the engine's state and the answers that are not yet written, as one npz file without pickle.

    save(folder / STATE, Checkpoint("deflicker 1", position=1042, display=(0, 0, 1920, 1080), state=session.state()))
    found = load(folder / STATE, engine="deflicker 1")

With the inputs of the frames after `position`, and of the answers not yet written, a job continues as if it had not
been interrupted.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import HarmoVidError
from harmovid.pixels.field import LightingField

from harmovid_server.engines.base import Answer, State
from harmovid_server.spool import PART

STATE = "state.npz"
"""File name in the job's folder (docs/architecture.md, 4)."""

FORMAT_VERSION = 1

_HEAD = "head"
_ARRAY = "state/"
_ANSWER = "answer/"
_PICTURE = "picture/"
_PLAIN = (bool, int, float, str)

MAX_TEXT = 200
MAX_ITEMS = 64
MAX_DEPTH = 4
"""Limits of a report; engines may put any values into theirs."""


class Result(NamedTuple):
    """A result in `out/`: frame number, size in bytes, CRC-32."""

    frame: int
    size: int
    crc: int


@dataclass(frozen=True)
class Checkpoint:
    """The data that a job needs to continue.

    Attributes:
        engine: name and version; the state of another version cannot be used.
        position: the last frame that was pushed.
        display: the shot's display window, from its first good frame.
        state: the state of the engine's session after that push.
        answers: answers of the session whose results are not yet in `out/`.
        facts: by frame, the measured facts of frames that are pushed but not yet in `out/`.
        owed: frames that were pushed and that the session has not answered yet.
        results: the latest ones; main may have missed them.
    """

    engine: str
    position: int
    display: Tuple[int, ...]
    state: State
    answers: List[Answer] = field(default_factory=list)
    facts: Dict[int, Dict[str, Any]] = field(default_factory=dict)
    owed: List[int] = field(default_factory=list)
    results: List[Result] = field(default_factory=list)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint under a temporary name and rename it; raise `OSError` if there is no space.

    Raises:
        TypeError: the engine's state holds something that is neither plain nor an array of plain numbers.
    """
    arrays, values = _split(checkpoint.state)
    head = {
        "version": FORMAT_VERSION,
        "engine": checkpoint.engine,
        "position": checkpoint.position,
        "display": list(checkpoint.display),
        "state": values,
        "answers": [[answer.number, plain(answer.report)] for answer in checkpoint.answers],
        "facts": [[number, facts] for number, facts in checkpoint.facts.items()],
        "owed": checkpoint.owed,
        "results": checkpoint.results,
    }
    members: Dict[str, npt.NDArray[Any]] = {_HEAD: _bytes_array(json.dumps(head).encode())}
    members.update({_ARRAY + name: array for name, array in arrays.items()})
    for answer in checkpoint.answers:
        members[f"{_ANSWER}{answer.number}"] = _bytes_array(answer.field.to_bytes())
        if answer.picture is not None:
            members[f"{_PICTURE}{answer.number}"] = answer.picture
    unfinished = path.with_name(path.name + PART)
    with open(unfinished, "wb") as stream:
        np.savez(stream, **members)  # type: ignore[arg-type]
    unfinished.replace(path)


def load(path: Path, engine: str) -> Optional[Checkpoint]:
    """Return the checkpoint that `save` wrote, or None if it is missing, damaged, or of another
    engine.
    """
    try:
        # Opened here, because numpy leaves a file open that it cannot read.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as members:
            head = json.loads(members[_HEAD].tobytes())
            if head["version"] != FORMAT_VERSION or head["engine"] != engine:
                return None
            state: State = dict(head["state"])
            state.update({n[len(_ARRAY) :]: members[n] for n in members.files if n.startswith(_ARRAY)})
            answers = [
                Answer(
                    number,
                    LightingField.from_bytes(members[f"{_ANSWER}{number}"].tobytes()),
                    report,
                    members.get(f"{_PICTURE}{number}"),
                )
                for number, report in head["answers"]
            ]
            return Checkpoint(
                engine,
                position=head["position"],
                display=tuple(head["display"]),
                state=state,
                answers=answers,
                facts={number: dict(found) for number, found in head["facts"]},
                owed=list(head["owed"]),
                results=[Result(*result) for result in head["results"]],
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, HarmoVidError):
        return None


def _split(state: State) -> Tuple[Dict[str, npt.NDArray[Any]], Dict[str, Any]]:
    arrays: Dict[str, npt.NDArray[Any]] = {}
    plain: Dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, (np.ndarray, np.generic)):
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise TypeError(f"the engine's state {name!r} holds Python objects")
            arrays[name] = array
        elif value is None or isinstance(value, _PLAIN):
            plain[name] = value
        else:
            raise TypeError(f"the engine's state {name!r} is a {type(value).__name__}")
    return arrays, plain


def _bytes_array(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return `value` as None, booleans, finite numbers, text, short lists, and maps with text keys.

    Engines may put any values into their reports; other values become text, and long ones are cut.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth and isinstance(value, Mapping):
        return {str(k)[:MAX_TEXT]: plain(v, depth - 1) for k, v in list(value.items())[:MAX_ITEMS]}
    if depth and isinstance(value, (list, tuple)):
        return [plain(item, depth - 1) for item in value[:MAX_ITEMS]]
    return str(value)[:MAX_TEXT]
