"""The engine host of a worker whose engines run in actors on other machines.

    host = ClusterHost(engines.load(), pool, wait_s=600.0)
    session = host.start(host.engine("deflicker"), shot, stopped)

A session stays with one actor. If that is lost, every call raises `EngineLostError`, and the job starts again from its
checkpoint with a session in another actor. Actors handle one call at a time, in the order of the calls.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Protocol, Sequence

from harmovid.errors import EngineFailed, HarmoVidError
from harmovid.job import EngineInfo

from harmovid_server.cluster.messages import answers_of, new_session, pack_frame, pack_shot
from harmovid_server.engines.base import Answer, Described, ProxyFrame, ShotInfo, ShotSession, State
from harmovid_server.logs import current_job
from harmovid_server.worker.host import EngineLostError, named

LOOK_S = 0.25
"""Seconds between two attempts of a waiting job to get an actor."""

IDLE_CHECK_S = 60.0
"""Seconds between two requests to the actors to close unused engines."""


class Actor(Protocol):
    """One engine actor; `pool.RayActor` is the implementation with Ray."""

    @property
    def machine(self) -> str:
        """Name of the machine it runs on."""

    def call(self, op: str, *arguments: Any) -> Any:
        """Call an operation of `EngineActor`, wait, and return the answer.

        Raises:
            HarmoVidError: the error raised in the actor. EngineLostError: it is gone, or cannot be reached.
        """

    def post(self, op: str, *arguments: Any) -> None:
        """Call an operation without waiting for an answer; errors are ignored."""

    def leave(self) -> None:
        """Decrease the number of sessions."""


class Pool(Protocol):
    """The actors of one worker; `pool.ActorPool` is the implementation with Ray.

    Attributes:
        problem: why the last actor was lost or could not be used; "" if none was.
    """

    problem: str

    def take(self) -> Optional[Actor]:
        """Return the running actor with the fewest sessions, and count one more; None if a job has to wait for one."""

    def ready(self) -> Sequence[Actor]:
        """Return the running actors, as far as is known."""

    def close(self) -> None:
        """End all actors."""


class JobsEngine:
    """The description of an engine for one job: that of the job's actor, as soon as the actor has loaded the engine."""

    def __init__(self, engine: Described) -> None:
        self.info = engine.info
        self.proxy_lines = engine.proxy_lines
        self.runtime: Mapping[str, str] = {}

    def update(self, said: Dict[str, Any], machine: str) -> None:
        """Set the description from the actor's answer to `open`."""
        self.info = EngineInfo.from_dict(said["info"])
        self.proxy_lines = said["proxy_lines"]
        self.runtime = {**said["runtime"], "machine": machine}


class RemoteSession:
    """A `ShotSession` whose calls go to an actor."""

    def __init__(self, actor: Actor, session: str) -> None:
        self.actor = actor
        self._session = session

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """See `ShotSession.push`."""
        return answers_of(self._call("push", pack_frame(frame)))

    def finish(self) -> Iterable[Optional[Answer]]:
        """See `ShotSession.finish`; an iterator if the session's own `finish` is one."""
        answers = self._call("finish")
        return self._one_by_one() if answers is None else answers_of(answers)

    def _one_by_one(self) -> Iterator[Optional[Answer]]:
        while (packed := self._call("next")) is not None:
            yield next(iter(answers_of(packed)), None)

    def state(self) -> State:
        """See `ShotSession.state`."""
        state: State = self._call("state")
        return state

    def restore(self, state: State) -> None:
        """See `ShotSession.restore`."""
        self._call("restore", state)

    def close(self) -> None:
        """Close the session in the actor, without waiting for that."""
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
        """Take the engines' descriptions and the actors.

        Args:
            described: the engines as they are installed here; they are never loaded here.
            pool: the actors in which they run.
            wait_s: how long a job waits for an actor before it fails.
            clock: a clock in seconds.
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
        """Return the engines' descriptions, as installed here."""
        return [engine.info for engine in self._engines.values()]

    def engine(self, name: str) -> JobsEngine:
        """Return an engine for one job; raise `EngineUnknown`."""
        return JobsEngine(named(self._engines, name))

    def start(self, engine: Described, shot: ShotInfo, stopped: Callable[[], bool]) -> ShotSession:
        """Open a session in the actor with the fewest sessions; wait if there is no actor."""
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
        """Call `on_activated` if the engine's description has changed."""
        runtime = {name: value for name, value in engine.runtime.items() if name != "machine"}
        info = replace(engine.info, runtime=runtime)
        if self._told.get(info.name) != info:
            self._told[info.name] = info
            self.on_activated(info)

    def end(self, name: str, session: ShotSession) -> None:
        """Close a session, and decrease its actor's number of sessions."""
        session.close()
        if isinstance(session, RemoteSession):
            session.actor.leave()

    @contextmanager
    def turn(self, name: str, where: str) -> Iterator[None]:
        """Do nothing: the actor handles one call at a time, and turns an engine's exceptions into HarmoVid's errors."""
        yield

    def close_idle(self) -> None:
        """Every `IDLE_CHECK_S` ask all actors to close unused engines, in a thread, because a network may be slow."""
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
