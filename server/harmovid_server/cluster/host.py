"""The engine host of a worker whose engines run in actors on other machines.

    host = ClusterHost(engines.load(), pool, wait_s=600.0)
    session = host.start(host.engine("deflicker"), shot, stopped)

A session stays with one actor. When that is lost, every call raises `EngineLostError`, and the job starts again from
its checkpoint, with a session elsewhere. Actors take one call at a time, in the order in which they are asked.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Protocol, Sequence

from harmovid.errors import EngineFailed, EngineUnknown, HarmoVidError
from harmovid.job import EngineInfo

from harmovid_server.cluster.messages import answers_of, new_session, pack_frame, pack_shot
from harmovid_server.engines.base import Answer, Described, ProxyFrame, ShotInfo, ShotSession, State
from harmovid_server.logs import current_job
from harmovid_server.worker.host import EngineLostError

LOOK_S = 0.25
"""How often a job that waits for an actor looks again."""

IDLE_CHECK_S = 60.0
"""How often actors are asked to close engines that nobody uses."""


class Actor(Protocol):
    """One engine actor, as `pool.RayActor` is."""

    @property
    def machine(self) -> str:
        """Name of the machine it runs on."""

    def call(self, op: str, *arguments: Any) -> Any:
        """Have it do something, wait, and return the answer.

        Raises:
            HarmoVidError: what was raised there. EngineLostError: it is gone, or cannot be reached.
        """

    def post(self, op: str, *arguments: Any) -> None:
        """Have it do something some time; what becomes of that is not heard of."""

    def leave(self) -> None:
        """Count one session less."""


class Pool(Protocol):
    """The actors of one worker, as `pool.ActorPool` has them.

    Attributes:
        problem: why the last actor was lost or could not be used; "" where none was.
    """

    problem: str

    def take(self) -> Optional[Actor]:
        """Return the living actor with the fewest sessions, for one more; None while there is none."""

    def ready(self) -> Sequence[Actor]:
        """Return the actors that are there, as far as is known."""

    def close(self) -> None:
        """End all actors."""


class JobsEngine:
    """An engine as one job sees it: what its actor says of it counts, not what other machines have installed."""

    def __init__(self, engine: Described) -> None:
        self.info = engine.info
        self.proxy_lines = engine.proxy_lines
        self.runtime: Mapping[str, str] = {}

    def update(self, said: Dict[str, Any], machine: str) -> None:
        """Take what an actor says once it has loaded the engine."""
        self.info = EngineInfo.from_dict(said["info"])
        self.proxy_lines = said["proxy_lines"]
        self.runtime = {**said["runtime"], "machine": machine}


class RemoteSession:
    """A `ShotSession` whose calls go to an actor."""

    def __init__(self, actor: Actor, session: str) -> None:
        self.actor = actor
        self._session = session

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Push a frame there; return the answers that are final now."""
        return answers_of(self._call("push", pack_frame(frame)))

    def finish(self) -> Iterable[Answer]:
        """Return the answers that are owed; an iterator where they are made one by one."""
        answers = self._call("finish")
        return self._one_by_one() if answers is None else answers_of(answers)

    def _one_by_one(self) -> Iterator[Answer]:
        while answers := answers_of(self._call("next")):
            yield from answers

    def state(self) -> State:
        """Return the state of the session there."""
        state: State = self._call("state")
        return state

    def restore(self, state: State) -> None:
        """Restore the session there."""
        self._call("restore", state)

    def close(self) -> None:
        """Close the session there some time."""
        self.actor.post("close", self._session)

    def _call(self, op: str, *arguments: Any) -> Any:
        return self.actor.call(op, self._session, *arguments)


class ClusterHost:
    """See `worker.host.Host`."""

    def __init__(
        self,
        described: Iterable[Described],
        pool: Pool,
        wait_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is to be offered.

        Args:
            described: the engines as they are installed here; they are never loaded here.
            pool: what they run in.
            wait_s: how long a job waits for an actor before it fails.
            clock: tells seconds.
        """
        self.on_activated: Callable[[EngineInfo], None] = lambda info: None
        self._engines = {engine.info.name: engine for engine in described}
        self._pool = pool
        self._wait_s = wait_s
        self._clock = clock
        self._told: Dict[str, EngineInfo] = {}
        self._checked_s = clock()
        self._checking: Optional[threading.Thread] = None

    def infos(self) -> List[EngineInfo]:
        """Return what there is, as it is installed here."""
        return [engine.info for engine in self._engines.values()]

    def engine(self, name: str) -> JobsEngine:
        """Return an engine for one job; raise `EngineUnknown`."""
        if name not in self._engines:
            raise EngineUnknown(
                f"there is no engine {name!r} in this worker.",
                fix="There are " + ", ".join(self._engines) + ".",
            )
        return JobsEngine(self._engines[name])

    def start(self, engine: Described, shot: ShotInfo, stopped: Callable[[], bool]) -> ShotSession:
        """Open a session in the actor that has the fewest; wait for one while there is none."""
        actor = self._take(stopped)
        session = new_session(current_job())
        try:
            said = actor.call("open", session, engine.info.name, pack_shot(shot))
        except (HarmoVidError, EngineLostError):
            actor.leave()
            raise
        if isinstance(engine, JobsEngine):
            engine.update(said, actor.machine)
        self._tell(engine)
        return RemoteSession(actor, session)

    def _take(self, stopped: Callable[[], bool]) -> Actor:
        until_s = self._clock() + self._wait_s
        while (actor := self._pool.take()) is None:
            if stopped():
                raise CancelledError
            if self._clock() >= until_s:
                why = f" ({self._pool.problem})" if self._pool.problem else ""
                raise EngineFailed(
                    f"no engine actor was there within {self._wait_s:g} s{why}.",
                    fix="`ray status` says what the cluster has free and what is asked of it.",
                )
            time.sleep(LOOK_S)
        return actor

    def _tell(self, engine: Described) -> None:
        """Pass on what an actor says of an engine where that is news."""
        runtime = {name: value for name, value in engine.runtime.items() if name != "machine"}
        info = replace(engine.info, runtime=runtime)
        if self._told.get(info.name) != info:
            self._told[info.name] = info
            self.on_activated(info)

    def end(self, name: str, session: ShotSession) -> None:
        """Close a session, and count it no more."""
        session.close()
        if isinstance(session, RemoteSession):
            session.actor.leave()

    @contextmanager
    def turn(self, name: str, where: str) -> Iterator[None]:
        """Do nothing: the actor gives the turns, and turns an engine's faults into errors of ours."""
        yield

    def close_idle(self) -> None:
        """Have every actor close what nobody uses, now and then, by a thread: a network may be slow."""
        if self._clock() - self._checked_s < IDLE_CHECK_S or (self._checking and self._checking.is_alive()):
            return
        self._checked_s = self._clock()
        self._checking = threading.Thread(target=self._close_idle, daemon=True)
        self._checking.start()

    def _close_idle(self) -> None:
        for actor in self._pool.ready():
            with suppress(EngineLostError):
                actor.post("close_idle")

    def close(self) -> None:
        """End all actors."""
        self._pool.close()
