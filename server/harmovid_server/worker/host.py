"""The interface of engine hosts, which run a job's engine.

There are two: `worker.engine_host` runs engines in this process, `harmovid_server.cluster` on other machines.
"""

from __future__ import annotations

from typing import Callable, ContextManager, List, Protocol

from harmovid.job import EngineInfo

from harmovid_server.engines.base import Described, ShotInfo, ShotSession


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
