"""The engines of one actor, without Ray: they answer as engines here do, and nothing but plain values pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
from fakes.engines_for_tests import MemoryEngine
from harmovid.errors import EngineFailed, EngineUnknown, from_wire
from harmovid_server import engines
from harmovid_server.cluster.actor import EngineActor
from harmovid_server.cluster.messages import (
    answers_of,
    frame_of,
    pack_answers,
    pack_frame,
    pack_shot,
    shot_of,
)
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo

SHOT = ShotInfo((1, 2, 3, 4), MemoryEngine.info.check_options({}), ("plate",))


@pytest.fixture(autouse=True)
def memory_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `engines.load` return the engine whose answers depend on all earlier frames."""
    monkeypatch.setattr(engines, "load", lambda names, folders: [MemoryEngine(), EndlessEngine()])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


class EndlessEngine(MemoryEngine):
    """Yields its remaining answers one by one, after a part of the work that gives none."""

    info = MemoryEngine.info.__class__(**{**MemoryEngine.info.__dict__, "name": "endless"})

    def start(self, shot: ShotInfo) -> Any:
        """Open a session whose `finish` is an iterator."""
        session = super().start(shot)
        owed = session.finish
        session.finish = lambda: iter([None, *owed()])  # type: ignore[assignment,method-assign,return-value]
        return session


def proxy(number: int) -> ProxyFrame:
    """Return a read-only proxy whose level depends on its number."""
    image = np.full((4, 6, 3), number / 16, np.float32)
    image.setflags(write=False)
    return ProxyFrame(number, {"plate": image}, {"coverage": np.ones((4, 6), np.float32)}, (0, 0, 60, 40))


def actor() -> EngineActor:
    """Return an actor."""
    return EngineActor((), (), {"device": "cpu"})


def opened(made: EngineActor, engine: str = "memory", session: str = "s", **options: Any) -> Any:
    """Open a session; return the reply."""
    shot = ShotInfo(SHOT.frames, MemoryEngine.info.check_options(options), SHOT.layers)
    return made.call("open", session, engine, pack_shot(shot))["answer"]


def numbers(reply: Any) -> List[int]:
    """Return the frames of a packed list of answers."""
    return [answer.number for answer in answers_of(reply["answer"])]


def test_packing_is_exact() -> None:
    """Shots, frames and answers come out as they went in, and consist of plain values, bytes and arrays."""
    assert shot_of(pack_shot(SHOT)) == SHOT
    frame = proxy(3)
    again = frame_of(pack_frame(frame))
    assert (again.number, again.box) == (frame.number, frame.box)
    assert again.images["plate"] is frame.images["plate"]
    session = MemoryEngine().start(SHOT)
    (answer,) = [answer for number in (1, 2, 3) for answer in session.push(proxy(number))]
    picture = np.ones((4, 6, 3), np.float32)
    ((number, field, report, shown),) = pack_answers([None, replace(answer, picture=picture)])
    assert (number, type(field), report) == (1, bytes, {"stops": float(answer.report["stops"])})
    (same,) = answers_of([(number, field, report, shown)])
    assert same.field.to_bytes() == answer.field.to_bytes()
    assert same.picture is picture


def test_a_session_there_answers_as_one_here() -> None:
    """The same frames give bit-identical answers; the first session loads the engine and gets its runtime."""
    made, here = actor(), MemoryEngine().start(SHOT)
    said = opened(made)
    assert (said["info"]["name"], said["proxy_lines"], said["runtime"]["device"]) == ("memory", 4, "cpu")
    there: List[Answer] = []
    expected: List[Answer] = []
    for number in SHOT.frames:
        there += answers_of(made.call("push", "s", pack_frame(proxy(number)))["answer"])
        expected += here.push(proxy(number))
    there += answers_of(made.call("finish", "s")["answer"])
    expected += here.finish()
    assert [answer.number for answer in there] == list(SHOT.frames)
    assert [a.field.to_bytes() for a in there] == [a.field.to_bytes() for a in expected]


def test_a_state_that_is_read_only_can_be_restored_and_worked_on() -> None:
    """A restored state arrives in shared memory: the session gets its own arrays and gives the same answers."""
    made = actor()
    opened(made)
    for number in (1, 2):
        made.call("push", "s", pack_frame(proxy(number)))
    state = made.call("state", "s")["answer"]
    state["waiting"].setflags(write=False)
    opened(made, session="next")
    made.call("restore", "next", state)
    for number in (3, 4):
        replies = [made.call("push", name, pack_frame(proxy(number)))["answer"] for name in ("s", "next")]
        assert replies[0] == replies[1]


def test_an_end_that_is_made_one_by_one_comes_one_by_one() -> None:
    """`finish` says so, `next` gives one answer each, none for a part of the work, and says when it is over."""
    made = actor()
    opened(made, engine="endless")
    for number in (1, 2):
        assert numbers(made.call("push", "s", pack_frame(proxy(number)))) == []
    assert made.call("finish", "s") == {"answer": None}
    assert [numbers(made.call("next", "s")) for _ in range(3)] == [[], [1], [2]]
    assert made.call("next", "s") == {"answer": None}


def test_faults_are_errors_of_ours_in_plain_words() -> None:
    """Errors of an engine, of a missing engine and of an unknown session can all be raised at the caller."""
    made = actor()
    opened(made, break_at=2)
    made.call("push", "s", pack_frame(proxy(1)))
    error = from_wire(made.call("push", "s", pack_frame(proxy(2)))["error"])
    assert isinstance(error, EngineFailed)
    assert "on frame 2 (ValueError: the lamp is broken)" in error.message
    assert isinstance(from_wire(made.call("open", "t", "nil", pack_shot(SHOT))["error"]), EngineUnknown)
    assert isinstance(from_wire(made.call("state", "gone")["error"]), EngineFailed)
    with pytest.raises(ValueError, match="no operation"):
        made.call("__init__")


def test_closing_twice_closes_once() -> None:
    """Closing a session closes it in the engine; closing it again, or an unknown one, does nothing."""
    made = actor()
    opened(made)
    engine = made._host.engine("memory")
    assert isinstance(engine, MemoryEngine)
    assert engine.open == 1
    for _ in range(2):
        assert made.call("close", "s") == {"answer": None}
    assert engine.open == 0
