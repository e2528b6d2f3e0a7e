"""What a job needs of whatever runs its engine: an engine host.

There are two: `worker.engine_host` runs engines in this process, `harmovid_server.cluster` on other machines.
"""

from __future__ import annotations

from typing import Callable, ContextManager, List, Protocol

from harmovid.job import EngineInfo

from harmovid_server.engines.base import Described, ShotInfo, ShotSession


class EngineLostError(Exception):
    """What ran a job's engine is gone, and its sessions with it: the job goes on from its last checkpoint."""


class Host(Protocol):
    """Engines by name. Every method may be called from any thread.

    Attributes:
        on_activated: called with an engine's description and what it really runs on in it, once it is loaded, and
            again when it has taken a new version of its bundle.
    """

    on_activated: Callable[[EngineInfo], None]

    def infos(self) -> List[EngineInfo]:
        """Return what there is, for the `hello` to main."""

    def engine(self, name: str) -> Described:
        """Return what one job may know of its engine; raise `EngineUnknown`."""

    def start(self, engine: Described, shot: ShotInfo, stopped: Callable[[], bool]) -> ShotSession:
        """Open a session for a shot on what `engine` has returned; what is said of the engine is true from then on.

        Args:
            stopped: asked while it waits for room elsewhere; once it is true there is no need to go on.

        Raises:
            EngineFailed: weights that do not load, or whatever else the engine raises.
            EngineLostError: what should run it went away meanwhile.
            CancelledError: it was stopped.
        """

    def end(self, name: str, session: ShotSession) -> None:
        """Close a session that `start` has opened; what goes wrong now is logged and changes nothing."""

    def turn(self, name: str, where: str) -> ContextManager[None]:
        """Wait for the turn to call an engine's session, and keep it for the `with` block.

        Args:
            name: the engine's, for the error.
            where: "on frame 1001", for the error.

        Raises:
            EngineFailed: for anything the block raises that is neither one of our own errors nor `EngineLostError`.
        """

    def close_idle(self) -> object:
        """Give back what no job has used for long, without waiting for it. Called several times a second."""

    def close(self) -> None:
        """Give everything back; no job may use an engine any more."""
