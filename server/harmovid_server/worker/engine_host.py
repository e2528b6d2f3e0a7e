"""The engines of a worker: activated when first needed, called one at a time, their faults turned into
errors.

    room = EngineRoom(engines.load())
    session = room.start("deflicker", shot)
    with room.turn("deflicker", "on frame 1001"):
        answers = list(session.push(frame))
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Dict, Iterable, Iterator, List, Set

from harmovid.errors import EngineFailed, EngineUnknown, HarmoVidError
from harmovid.job import EngineInfo

from harmovid_server.engines.base import Engine, Session, ShotInfo
from harmovid_server.logs import about
from harmovid_server.worker.fair_lock import Turns

log = logging.getLogger("harmovid.worker")


class EngineRoom:
    """The loaded engines by name. Every method may be called from any thread."""

    def __init__(self, engines: Iterable[Engine]) -> None:
        self._engines: Dict[str, Engine] = {engine.info.name: engine for engine in engines}
        self._active: Set[str] = set()
        self._turns = Turns()

    def infos(self) -> List[EngineInfo]:
        """Return what there is, for the `hello` to main."""
        return [engine.info for engine in self._engines.values()]

    def engine(self, name: str) -> Engine:
        """Return an engine; raise `EngineUnknown`."""
        if name not in self._engines:
            raise EngineUnknown(
                f"there is no engine {name!r} in this worker.",
                fix="There are " + ", ".join(self._engines) + ".",
            )
        return self._engines[name]

    def start(self, name: str, shot: ShotInfo) -> Session:
        """Open a session for a shot, on an engine that is activated the first time.

        Raises:
            EngineFailed: weights that do not load, or whatever else the engine raises.
        """
        engine = self.engine(name)
        with self.turn(name, "while it was started"):
            if name not in self._active:
                engine.activate()
                self._active.add(name)
            return engine.start(shot)

    @contextmanager
    def turn(self, name: str, where: str) -> Iterator[None]:
        """Wait for the turn to call an engine, first come, first served, and keep it for the `with` block.

        Args:
            name: the engine's, for the error.
            where: "on frame 1001", for the error.

        Raises:
            EngineFailed: for anything the block raises that is not one of our own errors.
        """
        with self._turns:
            try:
                yield
            except HarmoVidError:
                raise
            # An engine is foreign code, and what breaks in it is its job's error, not this process's.
            except Exception as error:
                log.exception("engine failed", extra=about(engine=name, where=where))
                raise EngineFailed(
                    f"engine {name} failed {where} ({type(error).__name__}: {error}).",
                    fix="The server's log has the details; try another engine, or other options.",
                ) from error
