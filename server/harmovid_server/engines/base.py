"""The engine contract: proxies of a shot in, lighting fields out, one frame after the other.

An engine never sees full-resolution pixels and never writes a picture. The worker decodes frames, makes the
proxies, pushes them in frame order into a `ShotSession`, and applies each field that comes back to the plate. A
session therefore works in bounded memory on a clip of any length, and because its whole state can be saved and
restored, a worker that is killed continues where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as default
from typing import Any, Dict, Iterable, List, Mapping, Protocol, Tuple, Union

import numpy as np
import numpy.typing as npt
from harmovid.job import EngineInfo, OptionValue
from harmovid.pixels.field import LightingField

from harmovid_server.runtimes.base import RuntimeSettings

Array = npt.NDArray[np.float32]
StateValue = Union[int, float, str, bool, None, npt.NDArray[Any]]
State = Dict[str, StateValue]


@dataclass(frozen=True)
class ProxyFrame:
    """One frame at proxy size, as engines see it. Its arrays may lie in shared memory: nobody writes into them.

    Attributes:
        number: the frame's number as the user counts it.
        images: layer name to `(h, w, 3)` float32, scene-linear in the job's working space, unassociated
            (divided by alpha where the file was premultiplied), finite, may be below 0 or above 1.
        mattes: layer name to `(h, w)` float32 in 0..1: "matte" (the foreground's alpha, harmonize), "mask"
            (apply here), "measure_mask" (measure here), and "coverage" (share of each proxy pixel that lies in
            the data window and is finite). "coverage" is always there; the others only where given.
        box: `(x0, y0, x1, y1)` the display window in plate pixels that the proxy covers, x1/y1 exclusive.
    """

    number: int
    images: Mapping[str, Array]
    mattes: Mapping[str, Array]
    box: Tuple[int, int, int, int]


@dataclass(frozen=True)
class ShotInfo:
    """What is known of a shot before its first frame: checked options and the frame numbers in order."""

    frames: Tuple[int, ...]
    options: Mapping[str, OptionValue]
    layers: Tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """An engine's answer for one frame: the field, and plain facts worth telling ("why it did nothing")."""

    number: int
    field: LightingField
    report: Mapping[str, Any] = default(default_factory=dict)


class ShotSession(Protocol):
    """One shot going through one engine. Frames are pushed in order; unreadable ones are never pushed."""

    def push(self, frame: ProxyFrame) -> Iterable[Answer]:
        """Take one frame; return the answers that are final now (any number, in frame order)."""

    def finish(self) -> Iterable[Answer]:
        """Return the answers still owed after the last frame.

        An engine that makes them one after the other returns an iterator: others get their turn in between, and `state`
        is asked for between two answers.
        """

    def state(self) -> State:
        """Return everything the session knows, as plain values and arrays (stored without pickle)."""

    def restore(self, state: State) -> None:
        """Become the session whose `state` this is; the next push is the frame after its last one."""

    def close(self) -> None:
        """Give back what the session holds outside Python's own memory. Called once, also after a failure."""


class Described(Protocol):
    """What may be known of an engine without calling it.

    Attributes:
        info: its description; static.
        proxy_lines: height of the proxies it wants.
        runtime: what really computes (`runtimes.base.Facts`); empty before it is loaded.
    """

    info: EngineInfo
    proxy_lines: int
    runtime: Mapping[str, str]


class Engine(Described, Protocol):
    """An engine: described at once, loaded by `activate`, closed by `close`."""

    def activate(self, settings: RuntimeSettings) -> None:
        """Load what the engine needs, on the device that the settings allow. Called in the worker, before `start`.

        Raises:
            HarmoVidError: it cannot be loaded; it may be tried again.
        """

    def start(self, shot: ShotInfo) -> ShotSession:
        """Open a session for one shot."""

    def close(self) -> None:
        """Give networks, device memory and threads back. All sessions have been closed; `activate` may follow."""


Engines = List[Engine]
