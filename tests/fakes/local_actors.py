"""Engine actors without Ray, for tests of losses: real `EngineActor`s in this process that can be lost on command.

pool = LocalPool()
pool.lose_at = ("push", 3)            # the third push to the next actor, and all calls after it, find it gone
host = ClusterHost([MemoryEngine()], pool, wait_s=60)
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import msgpack
import numpy as np
from harmovid.errors import from_wire
from harmovid_server.cluster.actor import EngineActor
from harmovid_server.worker.host import EngineLostError


def crossed(value: Any) -> Any:
    """Return a value as a Ray call would deliver it: arrays are read-only, everything else must be plain data."""
    if isinstance(value, np.ndarray):
        copy = value.copy()
        copy.setflags(write=False)
        return copy
    if isinstance(value, dict):
        return {name: crossed(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [crossed(item) for item in value]
    return msgpack.unpackb(msgpack.packb(value))


class LocalActor:
    """One actor; `ops` are the calls it got, `lost` is whether it is gone."""

    machine = "here"

    def __init__(self, lose_at: Optional[Tuple[str, int]]) -> None:
        self.ops: List[str] = []
        self.sessions = 0
        self.lost = False
        self._lose_at = lose_at
        self._actor = EngineActor((), (), {"device": "cpu"})

    def call(self, op: str, *arguments: Any) -> Any:
        """Make a call; from the one in `lose_at` on raise `EngineLostError`."""
        self.ops.append(op)
        self.lost = self.lost or (op, self.ops.count(op)) == self._lose_at
        if self.lost:
            raise EngineLostError("here: gone")
        reply = crossed(self._actor.call(op, *crossed(arguments)))
        if "error" in reply:
            raise from_wire(reply["error"])
        return reply["answer"]

    def post(self, op: str, *arguments: Any) -> None:
        """Make a call, unless the actor is gone."""
        if not self.lost:
            self._actor.call(op, *crossed(arguments))

    def leave(self) -> None:
        """Decrease the number of sessions."""
        self.sessions -= 1


class LocalPool:
    """A pool of one actor, which is replaced when it is lost."""

    problem = ""

    def __init__(self) -> None:
        self.actors: List[LocalActor] = []
        self.lose_at: Optional[Tuple[str, int]] = None

    def take(self) -> LocalActor:
        """Return the living actor."""
        if not self.actors or self.actors[-1].lost:
            self.actors.append(LocalActor(self.lose_at))
            self.lose_at = None
        self.actors[-1].sessions += 1
        return self.actors[-1]

    def ready(self) -> Sequence[LocalActor]:
        """Return the living actor."""
        return self.actors[-1:]

    def close(self) -> None:
        """Do nothing."""
