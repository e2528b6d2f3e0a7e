"""The registry and the null engine."""

from __future__ import annotations

import numpy as np
import pytest
from harmovid.errors import EngineUnknown
from harmovid_server import engines
from harmovid_server.engines.base import ProxyFrame, ShotInfo
from harmovid_server.runtimes.base import RuntimeSettings


def frame(number: int) -> ProxyFrame:
    """Return a small grey frame."""
    return ProxyFrame(
        number,
        {"plate": np.full((4, 6, 3), 0.18, np.float32)},
        {"coverage": np.ones((4, 6), np.float32)},
        (0, 0, 6, 4),
    )


def test_unknown_engine_is_named_with_the_known_ones() -> None:
    """Asking for an engine that does not exist raises EngineUnknown and lists those that do."""
    with pytest.raises(EngineUnknown, match="null"):
        engines.load(["nil"])


def test_registry_loads_each_engine_once_by_its_own_name() -> None:
    """Every registered name loads an engine whose description carries that name and a target it takes."""
    loaded = engines.load()
    assert [engine.info.name for engine in loaded] == list(engines.OURS)
    for engine in loaded:
        assert engine.info.target in [layer.name for layer in engine.info.layers]
        sent = {option.name for option in engine.info.options if option.default is not None}
        assert engine.info.check_options({}).keys() == sent


def test_null_answers_each_frame_at_once_with_the_null_field() -> None:
    """Each pushed frame is answered in the same call with an empty field, and nothing is owed at the end."""
    (engine,) = engines.load(["null"])
    engine.activate(RuntimeSettings())
    session = engine.start(ShotInfo((-1, 0, 7), {}, ("plate",)))
    answers = [list(session.push(frame(number))) for number in (-1, 0, 7)]
    assert [[answer.number for answer in each] for each in answers] == [[-1], [0], [7]]
    assert all(each[0].field.parts == () for each in answers)
    assert list(session.finish()) == []


def test_null_state_can_be_restored() -> None:
    """A session restored from the null engine's state goes on answering."""
    (engine,) = engines.load(["null"])
    shot = ShotInfo((1, 2), {}, ("plate",))
    session = engine.start(shot)
    session.push(frame(1))
    other = engine.start(shot)
    other.restore(session.state())
    assert [answer.number for answer in other.push(frame(2))] == [2]
