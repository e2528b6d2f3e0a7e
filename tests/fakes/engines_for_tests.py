"""Engines for tests of the worker, whose failures and memory are set by their options."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List

import numpy as np
from harmovid.job import MATTE, EngineInfo, LayerInfo, Option
from harmovid.pixels.field import Curve, LightingField
from harmovid_server.engines.base import Answer, ProxyFrame, ShotInfo, State
from harmovid_server.runtimes.base import RuntimeSettings, cpu_facts

INFO = EngineInfo(
    name="memory",
    version="1",
    task="any",
    summary="Brightens each frame by the running mean of all frames seen; answers `lag` frames late.",
    target="plate",
    layers=(LayerInfo("plate", True, "Comes back brighter."), LayerInfo("mask", False, "Where.", MATTE)),
    options=(
        Option("lag", "int", 2, "Frames it waits before it answers.", minimum=0, maximum=50),
        Option("break_at", "int", -1, "Raises on this frame."),
        Option("silent_at", "int", -1, "Never answers this frame."),
        Option("twice_at", "int", -1, "Answers this frame twice."),
        Option("delay_s", "float", 0.0, "Seconds a push takes."),
        Option("deaf", "bool", False, "Does not take its own state back."),
    ),
    lookahead_frames=2,
)


class MemorySession:
    """The answer for a frame depends on every frame before it, so that a lost or doubled push shows."""

    def __init__(self, options: Dict[str, Any], pushed: List[int], left: Callable[[], None]) -> None:
        self.close = left
        self._options = options
        self._pushed = pushed
        self._sum = 0.0
        self._count = 0
        self._waiting: List[int] = []

    def push(self, frame: ProxyFrame) -> List[Answer]:
        """Take one frame; answer the one `lag` frames ago."""
        self._pushed.append(frame.number)
        time.sleep(self._options["delay_s"])
        if frame.number == self._options["break_at"]:
            raise ValueError("the lamp is broken")
        self._sum += float(frame.images["plate"].mean())
        self._count += 1
        self._waiting.append(frame.number)
        return self._answers(self._options["lag"])

    def finish(self) -> List[Answer]:
        """Return the remaining answers."""
        return self._answers(0)

    def _answers(self, keep: int) -> List[Answer]:
        given: List[Answer] = []
        while len(self._waiting) > keep:
            number = self._waiting.pop(0)
            stops = self._sum / self._count
            answer = Answer(
                number, LightingField((Curve.gain(stops, stops, stops),)), {"stops": np.float64(stops)}
            )
            if number != self._options["silent_at"]:
                given += [answer] * (2 if number == self._options["twice_at"] else 1)
        return given

    def state(self) -> State:
        """Return the whole state."""
        return {"sum": self._sum, "count": self._count, "waiting": np.array(self._waiting, np.int64)}

    def restore(self, state: State) -> None:
        """Restore the state."""
        if self._options["deaf"]:
            raise KeyError("what is this?")
        self._sum, self._count = float(state["sum"]), int(state["count"])
        self._waiting = [int(number) for number in state["waiting"]]


class MemoryEngine:
    """See `INFO`; `pushed` lists the frames that any session has seen, `open` counts sessions that are not closed."""

    info = INFO
    proxy_lines = 4

    def __init__(self) -> None:
        self.pushed: List[int] = []
        self.activations = 0
        self.open = 0
        self.runtime: Dict[str, str] = {}

    def activate(self, settings: RuntimeSettings) -> None:
        """Count an activation."""
        self.activations += 1
        self.runtime = cpu_facts("python")

    def close(self) -> None:
        """Take one activation off the count."""
        self.activations -= 1

    def start(self, shot: ShotInfo) -> MemorySession:
        """Open a session."""
        self.open += 1
        return MemorySession(dict(shot.options), self.pushed, self._left)

    def _left(self) -> None:
        self.open -= 1
