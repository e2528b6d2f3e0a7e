"""The engine host of a cluster's worker, without Ray: assignment of actors, waiting, losses, and reports."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import Any, Dict, List, Optional, Sequence

import pytest
from fakes.engines_for_tests import MemoryEngine
from harmovid.errors import EngineFailed, EngineUnknown
from harmovid.job import EngineInfo
from harmovid_server.cluster.host import IDLE_CHECK_S, LOOK_S, ClusterHost
from harmovid_server.engines.base import ShotInfo
from harmovid_server.worker.host import EngineLostError

SHOT = ShotInfo((1, 2), MemoryEngine.info.check_options({}), ("plate",))


class FakeActor:
    """An actor that answers `open`, and is lost when it should be. It takes no other call."""

    machine = "node-7"

    def __init__(self, version: str = "1", lost: bool = False, broken: bool = False) -> None:
        self.sessions = 1
        self.posted: List[str] = []
        self.version, self.lost, self.broken = version, lost, broken

    def call(self, op: str, *arguments: Any) -> Any:
        """Answer `open`."""
        assert (op, len(arguments)) == ("open", 3)
        if self.lost:
            raise EngineLostError("node-7: gone")
        if self.broken:
            raise EngineFailed("weights are damaged.")
        info = {**MemoryEngine.info.to_dict(), "version": self.version}
        return {"info": info, "proxy_lines": 4, "runtime": {"device": "cuda:0"}}

    def post(self, op: str, *arguments: Any) -> None:
        """Note it."""
        self.posted.append(op)

    def leave(self) -> None:
        """Count."""
        self.sessions -= 1


class FakePool:
    """Gives its actors one after the other; None is "none there yet"."""

    problem = "node-7 died"

    def __init__(self, *actors: Optional[FakeActor]) -> None:
        self.actors = list(actors)
        self.closed = False

    def take(self) -> Optional[FakeActor]:
        """Return the next one; nothing after the last one."""
        return self.actors.pop(0) if self.actors else None

    def ready(self) -> Sequence[FakeActor]:
        """Return those that are left."""
        return [actor for actor in self.actors if actor is not None]

    def close(self) -> None:
        """Note it."""
        self.closed = True


def host(pool: FakePool, wait_s: float = 60.0) -> ClusterHost:
    """Return a host that offers the engine `memory`."""
    return ClusterHost([MemoryEngine()], pool, wait_s)


def never() -> bool:
    """Never stop."""
    return False


def test_a_job_waits_for_an_actor_and_hears_what_it_runs_on() -> None:
    """Until an actor is free it is requested again; its description of the engine is used for the job and reported."""
    actor = FakeActor(version="2")
    made = host(FakePool(None, None, actor))
    told: List[EngineInfo] = []
    made.on_activated = told.append
    engine, other = made.engine("memory"), made.engine("memory")
    session = made.start(engine, SHOT, never)
    assert (engine.info.version, dict(engine.runtime)) == ("2", {"device": "cuda:0", "machine": "node-7"})
    assert (other.info.version, dict(other.runtime)) == ("1", {})
    assert [(info.version, info.runtime) for info in told] == [("2", {"device": "cuda:0"})]
    made.end("memory", session)
    assert (actor.posted, actor.sessions) == (["close"], 0)


def test_news_is_reported_once() -> None:
    """A second actor with the same description is not reported again."""
    made = host(FakePool(FakeActor(), FakeActor(), FakeActor(version="2")))
    told: List[EngineInfo] = []
    made.on_activated = told.append
    for _ in range(3):
        made.start(made.engine("memory"), SHOT, never)
    assert [info.version for info in told] == ["1", "2"]


def test_a_stopped_job_does_not_wait_on() -> None:
    """Cancelled while there is no actor: it leaves as a stopped job does."""
    with pytest.raises(CancelledError):
        host(FakePool()).start(MemoryEngine(), SHOT, lambda: True)


def test_waiting_has_an_end_that_says_why() -> None:
    """After `ray_wait_s` the job fails, with what was wrong with the last actor and what to do."""
    made = host(FakePool(), wait_s=2 * LOOK_S)
    with pytest.raises(
        EngineFailed, match=r"no engine actor was there within 0.5 s \(node-7 died\)"
    ) as raised:
        made.start(made.engine("memory"), SHOT, never)
    assert "ray status" in raised.value.fix


@pytest.mark.parametrize(
    ("broken", "error"), [({"lost": True}, EngineLostError), ({"broken": True}, EngineFailed)]
)
def test_a_session_that_does_not_open_is_not_counted(broken: Dict[str, bool], error: type[Exception]) -> None:
    """An actor that dies while it loads an engine, or cannot load it, keeps no session."""
    actor = FakeActor(**broken)
    made = host(FakePool(actor))
    with pytest.raises(error):
        made.start(made.engine("memory"), SHOT, never)
    assert actor.sessions == 0


def test_actors_close_idle_engines_now_and_then() -> None:
    """Asked several times a second, it asks every actor that is there once a minute, in a thread."""
    actor, now = FakeActor(), [0.0]
    made = ClusterHost([MemoryEngine()], FakePool(actor), 60.0, clock=lambda: now[0])
    made.close_idle()
    assert made._checking is None
    for _ in range(2):
        now[0] += IDLE_CHECK_S
        for _ in range(3):
            made.close_idle()
        assert made._checking is not None
        made._checking.join()
    assert actor.posted == ["close_idle", "close_idle"]


def test_unknown_engines_and_the_end() -> None:
    """The error of an unknown engine lists the known ones; `close` ends the actors."""
    pool = FakePool()
    made = host(pool)
    with pytest.raises(EngineUnknown, match="nil") as raised:
        made.engine("nil")
    assert "memory" in raised.value.fix
    assert [info.name for info in made.infos()] == ["memory"]
    made.close()
    assert pool.closed
