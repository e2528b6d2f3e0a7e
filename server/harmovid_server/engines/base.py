"""The interface of engines: proxies of a shot in, lighting fields out, frame by frame.

An engine never sees full-resolution pixels and never writes a picture. The worker decodes frames, makes the
proxies, pushes them in frame order into a `ShotSession`, and applies each returned field to the plate. So a session
needs limited memory for a clip of any length, and because its whole state can be saved and restored, a job continues
where a killed worker stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as default
from typing import Any, Dict, Iterable, List, Mapping, Optional, Protocol, Tuple, Union

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
    """One frame at proxy size, for engines. Its arrays may be in shared memory and must not be modified.

    Attributes:
        number: the frame number.
        images: layer name to `(h, w, 3)` float32, scene-linear in the job's working space, unassociated
            (divided by alpha if the file was premultiplied), finite, may be below 0 or above 1.
        mattes: layer name to `(h, w)` float32 in 0..1: "matte" (the foreground's alpha, harmonize), "mask"
            (apply here), "measure_mask" (measure here), and "coverage" (share of each proxy pixel that is in
            the data window and finite). "coverage" always exists; the others only if given.
        box: `(x0, y0, x1, y1)` the display window in plate pixels that the proxy covers, x1/y1 exclusive.
    """

    number: int
    images: Mapping[str, Array]
    mattes: Mapping[str, Array]
    box: Tuple[int, int, int, int]


@dataclass(frozen=True)
class ShotInfo:
    """Facts about a shot before its first frame: checked options and the frame numbers in order.

    Attributes:
        wants_pictures: answers have to hold the network's own picture (`Answer.picture`); only engines whose
            `EngineInfo.picture_lines` is above 0 are asked for them.
    """

    frames: Tuple[int, ...]
    options: Mapping[str, OptionValue]
    layers: Tuple[str, ...]
    wants_pictures: bool = False


@dataclass(frozen=True)
class Answer:
    """An engine's answer for one frame: the field, and plain facts for the report, such as why it did nothing.

    Attributes:
        picture: `(h, w, 3)` float32, scene-linear, unassociated, in the job's working space, at proxy size: the
            picture that a network made itself. None unless the shot wants it.
    """

    number: int
    field: LightingField
    report: Mapping[str, Any] = default(default_factory=dict)
    picture: Optional[Array] = None


class ShotSession(Protocol):
    """One shot in one engine. Frames are pushed in order; unreadable ones are not pushed."""

    def push(self, frame: ProxyFrame) -> Iterable[Answer]:
        """Add one frame; return the answers that are final now: any number, in any order.

        At most as many frames as the engine looks ahead may wait for an answer: the server sends few beyond that.
        """

    def finish(self) -> Iterable[Optional[Answer]]:
        """Return the remaining answers after the last frame.

        An engine that computes them one after the other returns an iterator: other jobs get their turn in between, a
        stopped job ends there, and `state` is called between two answers. Where much work comes before an answer, the
        iterator returns None after each part of it, such as a step of a sampler; the state then holds that part.
        """

    def state(self) -> State:
        """Return the whole state, as plain values and arrays (stored without pickle)."""

    def restore(self, state: State) -> None:
        """Restore what `state` returned; the next push is the frame after the last one of that state."""

    def close(self) -> None:
        """Free resources other than Python's own memory. Called once, also after a failure."""


class Described(Protocol):
    """The facts about an engine that are available without calling it.

    Attributes:
        info: its description; constant.
        proxy_lines: height of its proxies.
        runtime: what it really runs on (`runtimes.base.Facts`); empty before it is loaded.
    """

    info: EngineInfo
    proxy_lines: int
    runtime: Mapping[str, str]


class Engine(Described, Protocol):
    """An engine: its description is available at once; `activate` loads it, `close` closes it."""

    def activate(self, settings: RuntimeSettings) -> None:
        """Load the engine's networks on a device that the settings allow. Called in the worker, before `start`.

        Raises:
            HarmoVidError: it cannot be loaded; the call may be repeated.
        """

    def start(self, shot: ShotInfo) -> ShotSession:
        """Open a session for one shot."""

    def close(self) -> None:
        """Free networks, device memory and threads. All sessions have been closed; `activate` may follow."""


Engines = List[Engine]
