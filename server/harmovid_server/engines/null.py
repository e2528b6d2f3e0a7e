"""The `null` engine: answers every frame at once with the null field, so every result equals its input.

Used to test and time the rest of the server (protocol, spool, decoding, encoding).
"""

from __future__ import annotations

from typing import List, Mapping

from harmovid.job import EngineInfo, LayerInfo
from harmovid.pixels.field import NULL

from harmovid_server.engines.base import Answer, Engine, ProxyFrame, ShotInfo, State
from harmovid_server.runtimes.base import RuntimeSettings, cpu_facts

INFO = EngineInfo(
    name="null",
    version="1",
    task="any",
    summary="Changes nothing; for testing the transfer of frames.",
    target="plate",
    layers=(LayerInfo("plate", True, "The frames to send and to get back.", label="Plate"),),
)

# The picture is not used, so this is the smallest possible proxy.
PROXY_LINES = 16


class NullSession:
    """A shot going through the null engine: no state, no delay."""

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Return the null answer for `frame`."""
        return [Answer(frame.number, NULL, {"decision": "nothing", "reason": "null engine"})]

    def finish(self) -> List[Answer]:
        """Return nothing: every answer has been given."""
        return []

    def state(self) -> State:
        """Return the empty state."""
        return {}

    def restore(self, state: State) -> None:
        """Do nothing: there is no state."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


class NullEngine:
    """See the module; `info` and `proxy_lines` as in `base.Engine`."""

    info = INFO
    proxy_lines = PROXY_LINES
    runtime: Mapping[str, str] = cpu_facts("python")

    def activate(self, settings: RuntimeSettings) -> None:
        """Do nothing: there is nothing to load."""

    def start(self, shot: ShotInfo) -> NullSession:
        """Open a session for any shot."""
        return NullSession()

    def close(self) -> None:
        """Do nothing: nothing is held."""


def create() -> Engine:
    """Return the engine."""
    return NullEngine()
