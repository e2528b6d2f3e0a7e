"""Engine hosts, which run a job's engine: their interface, and the one that runs engines in this process.

    host = EngineHost(engines.load(), settings)
    session = host.start(host.engine("deflicker"), shot)
    with host.turn("deflicker", "on frame 1001"):
        answers = list(session.push(frame))
    host.close()

`harmovid_server.cluster` has the host that runs them on other machines.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import (
    Callable,
    ContextManager,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Protocol,
    Set,
    TypeVar,
)

from harmovid.errors import EngineFailed, EngineUnknown, HarmoVidError
from harmovid.job import EngineInfo

from harmovid_server.engines.base import Described, Engine, ShotInfo, ShotSession
from harmovid_server.logs import about
from harmovid_server.runtimes.base import ANY, RuntimeSettings

log = logging.getLogger("harmovid.worker")

IDLE_S = 600.0
"""An engine that no job has used for this long frees its networks and memory; the next job loads it again."""


T = TypeVar("T")


def named(engines: Mapping[str, T], name: str) -> T:
    """Return an engine by name; raise `EngineUnknown`, which names those that there are."""
    if name not in engines:
        raise EngineUnknown(
            f"there is no engine {name!r} in this worker.", fix="There are " + ", ".join(engines) + "."
        )
    return engines[name]


class EngineLostError(Exception):
    """The process that ran a job's engine is gone, with its sessions: the job continues from its last checkpoint."""


class Host(Protocol):
    """Engines by name. Every method may be called from any thread.

    Attributes:
        on_activated: called with an engine's description, including what it really runs on, once it is loaded,
            and again when it has loaded a new version of its bundle.
    """

    on_activated: Callable[[EngineInfo], None]

    def infos(self) -> List[EngineInfo]:
        """Return the engines' descriptions, for the `hello` to main."""

    def engine(self, name: str) -> Described:
        """Return the description of an engine for one job; raise `EngineUnknown`."""

    def start(self, engine: Described, shot: ShotInfo, stopped: Callable[[], bool]) -> ShotSession:
        """Open a session for a shot on the engine returned by `engine`; its description is valid from then on.

        Args:
            stopped: called while waiting for a free place on other machines; if it returns True, give up.

        Raises:
            EngineFailed: the weights cannot be loaded, or the engine raises any other error.
            EngineLostError: the process that should run it is gone.
            CancelledError: it was stopped.
        """

    def end(self, name: str, session: ShotSession) -> None:
        """Close a session that `start` has opened; errors are only logged."""

    def turn(self, name: str, where: str) -> ContextManager[None]:
        """Wait for the turn to call an engine's session, and keep it for the `with` block.

        Args:
            name: the engine's, for the error.
            where: "on frame 1001", for the error.

        Raises:
            EngineFailed: the block raises an exception that is neither HarmoVid's own nor `EngineLostError`.
        """

    def close_idle(self) -> object:
        """Close engines that no job has used for long, without waiting. Called several times a second."""

    def close(self) -> None:
        """Close all engines; no job may use one any more."""


class FairLock:
    """A lock that is granted first come, first served. Not re-entrant.

    With a plain lock, a thread that has just released it could take it again at once, and a job with quick frames would
    starve one with slow frames.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: Deque[threading.Event] = deque()

    def __enter__(self) -> FairLock:
        with self._guard:
            if not self._taken:
                self._taken = True
                return self
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                # The lock is passed on and never free in between, so no other thread can take it.
                self._waiting.popleft().set()
            else:
                self._taken = False


class EngineHost:
    """The host whose engines run in this process: activated when first needed, called one at a time. See `Host`."""

    def __init__(
        self,
        engines: Iterable[Engine],
        settings: RuntimeSettings = ANY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take engines that have not been activated.

        Args:
            settings: devices that they may use.
            clock: a clock in seconds.
        """
        self.settings = settings
        self.on_activated: Callable[[EngineInfo], None] = lambda info: None
        self._engines: Dict[str, Engine] = {engine.info.name: engine for engine in engines}
        self._active: Set[str] = set()
        self._told: Dict[str, EngineInfo] = {}
        self._clock = clock
        self._sessions: Dict[str, int] = dict.fromkeys(self._engines, 0)
        self._used_s: Dict[str, float] = {}
        self._closing: Optional[threading.Thread] = None
        self._lock = FairLock()

    def infos(self) -> List[EngineInfo]:
        """Return the engines' descriptions, for the `hello` to main."""
        return [engine.info for engine in self._engines.values()]

    def engine(self, name: str) -> Engine:
        """Return an engine; raise `EngineUnknown`."""
        return named(self._engines, name)

    def start(
        self, engine: Described, shot: ShotInfo, stopped: Callable[[], bool] = lambda: False
    ) -> ShotSession:
        """Open a session for a shot; activate the engine if necessary. Waits only for its turn.

        Raises:
            EngineFailed: the weights cannot be loaded, or the engine raises any other error.
        """
        name = engine.info.name
        loaded = self.engine(name)
        with self.turn(name, "while it was started"):
            if name not in self._active:
                loaded.activate(self.settings)
                self._active.add(name)
                log.info("engine loaded", extra=about(engine=name, **loaded.runtime))
            session = loaded.start(shot)
            self._tell(loaded)
            self._sessions[name] += 1
            return session

    def _tell(self, engine: Engine) -> None:
        """Call `on_activated` if the engine's description has changed."""
        info = replace(engine.info, runtime=dict(engine.runtime))
        if self._told.get(info.name) != info:
            self._told[info.name] = info
            self.on_activated(info)

    def end(self, name: str, session: ShotSession) -> None:
        """Close a session that `start` has opened; errors are only logged."""
        with suppress(HarmoVidError), self.turn(name, "while its session was closed"):
            try:
                session.close()
            finally:
                self._sessions[name] -= 1
                self._used_s[name] = self._clock()

    def close_idle(self) -> Optional[threading.Thread]:
        """Close engines that no job has used for `IDLE_S`, in a thread, because a running call may take a while.

        Returns:
            the thread, if there is something to close.
        """
        if self._closing is not None and self._closing.is_alive():
            return self._closing
        due = [name for name in list(self._active) if self._is_idle(name)]
        if not due:
            return None
        self._closing = threading.Thread(target=self._close, args=(due, self._is_idle), daemon=True)
        self._closing.start()
        return self._closing

    def _is_idle(self, name: str) -> bool:
        return not self._sessions[name] and self._clock() - self._used_s.get(name, self._clock()) >= IDLE_S

    def close(self) -> None:
        """Close every engine that was activated; no job may use one any more."""
        self._close(sorted(self._active), lambda name: True)

    def _close(self, names: Iterable[str], still: Callable[[str], bool]) -> None:
        """Close the active engines for which `still` is true when their turn has come."""
        for name in names:
            with suppress(HarmoVidError), self.turn(name, "while it was closed"):
                if name in self._active and still(name):
                    self._active.discard(name)
                    self._engines[name].close()
                    log.info("engine closed", extra=about(engine=name))

    @contextmanager
    def turn(self, name: str, where: str) -> Iterator[None]:
        """Wait for the turn to call an engine, first come, first served, and keep it for the `with` block.

        Args:
            name: the engine's, for the error.
            where: "on frame 1001", for the error.

        Raises:
            EngineFailed: the block raises an exception other than HarmoVid's own.
        """
        with self._lock:
            try:
                yield
            except HarmoVidError:
                raise
            # An engine is third-party code: its exceptions fail the job, not this process.
            except Exception as error:
                log.exception("engine failed", extra=about(engine=name, where=where))
                raise EngineFailed(
                    f"engine {name} failed {where} ({type(error).__name__}: {error}).",
                    fix="The server's log has the details; try another engine, or other options.",
                ) from error
