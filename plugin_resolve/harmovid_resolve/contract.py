"""Messages between the part in Resolve and the client process: tasks, requests and events, as plain JSON.

The part in Resolve's own Python uses the standard library only: it finds clips, has Resolve write frames, and brings
results back. The client process has its own environment with `harmovid` installed, and talks to the server.
`client.ClientProcess` starts it; both exchange lines of JSON over its standard input and output:

    to the client      {"id": 3, "op": "run", "engine": "deflicker", "inputs": {...}, ...}
    from the client    {"id": 3, "event": "progress", "done": 4, "total": 24, "text": "24 frames sent"}
    from the client    {"id": 3, "event": "done", "report": {...}, "missing_frames": ""}

`ClientProcess.request(op, **fields)` sends one request and returns an iterator of its events, without the `id`.

| op | fields | events, the last one last |
|---|---|---|
| `engines` | `server` (text, may be empty: the user's settings) | `described {engines}` or `failed` |
| `check` | those of `run` | `warning`..., `done {report, missing_frames}` or `failed`: nothing is written |
| `run` | `RunRequest` | `queued`, `progress`..., `frame`..., `warning`..., `done` or `failed` |
| `cancel` | `job` | `done`; the `run` of that job ends with `failed {code: "cancelled"}` |
| `history` | `folder` (the output folder, or one below) | `done {report: {"versions": [Record...]}}` or `failed` |

| event | fields |
|---|---|
| `described` | `engines`: list of `EngineInfo.to_dict()` |
| `queued` | `text`: where in the queue |
| `progress` | `done`, `total` (frames), `text`. Sent every half second while a `run` goes on |
| `frame` | `frame`, `path`: this result is on the disk |
| `warning` | `text`: a sentence, with the frame if it is about one |
| `done` | `report` (dict), `missing_frames` (text like `1005,1009-1010`, empty if none is missing) |
| `failed` | `error`, `fix` (sentences), `code` (of `harmovid.errors`, or `client` if the process itself failed) |

Every request ends with exactly one `done`, `described` or `failed`. If the process dies or sends a line that is no
JSON, that is `failed {code: "client"}`; `request` itself raises nothing. `cancel` is sent while the events of the `run`
are still being read (they go on to the end); `close()` ends the process and everything that it does.

The report of a `run` holds `frames` (frame number as text to the report of engine and pixels) and, for the output
`cdl`, `cdl`: `{"slope": [r, g, b], "offset": [r, g, b], "power": [r, g, b], "saturation": s}` in the colour space of
the pixels that were sent.

Three kinds of output are brought back in three ways:

- `result`: an EXR sequence; `readback` brings it into the project.
- `cdl`: no pixels; `harmovid_resolve.cdl.apply(clip, report, version)` sets it on the clip.
- `field`: an EXR sequence of `harmovid.R/G/B`; `harmovid_resolve.comp.apply(clip, pattern, numbers, task, version,
  colour)` makes a Fusion composition of it.

Both functions return a list of warnings; if they raise `HostError`, the clip is unchanged. `batch` calls them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, List, Mapping, Type, TypeVar

from harmovid_resolve.errors import HostError
from harmovid_resolve.layers import CLIP, is_known

__all__ = [
    "FAILED", "DONE", "DESCRIBED", "QUEUED", "PROGRESS", "FRAME", "WARNING", "ENDS",
    "OUTPUTS", "RANGES", "RECORD", "SELECTIONS", "SOURCES", "STATES", "WAYS",
    "Colour", "Record", "RunRequest", "Task",
]  # fmt: skip

DESCRIBED, QUEUED, PROGRESS, FRAME = "described", "queued", "progress", "frame"
WARNING, DONE, FAILED = "warning", "done", "failed"
RECORD = "harmovid.json"
STATES = ("running", "returned", "partly", "failed", "cancelled")
"""`partly`: frames are missing, so nothing went back into the project yet; they can be made and returned later."""
ENDS = (DESCRIBED, DONE, FAILED)
"""Events that end a request."""

OUTPUTS = ("result", "field", "cdl")
RANGES = ("clip", "in_out")
SOURCES = ("source", "graded")
WAYS = ("take", "track", "pool")
SELECTIONS = ("playhead", "selected", "colour")

MOST_HANDLES, MOST_STRENGTH = 240, 2.0

_T = TypeVar("_T", bound="_Plain")


@dataclass(frozen=True)
class _Plain:
    """A dataclass that is sent as plain JSON."""

    def to_dict(self) -> Dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls: Type[_T], data: Mapping[str, Any]) -> _T:
        """Rebuild from plain data; fields that only a newer version knows are ignored.

        Raises:
            HostError: a value has the wrong type.
        """
        known = {one.name for one in fields(cls)}
        try:
            return cls(**{name: value for name, value in data.items() if name in known})
        except TypeError as error:
            raise HostError(f"this {cls.__name__.lower()} cannot be read: {error}.") from error


@dataclass(frozen=True)
class Task(_Plain):
    """What the user asked for in the panel; the same for all clips of a batch.

    Attributes:
        engine: the engine's name, as the server describes it.
        options: the engine's options by name; others have the engine's defaults.
        layers: engine layer to its source: `clip`, `below` (the clip on the nearest lower track), `track:3` (the clip
            there, over the same frames) or `file:` and the name of EXR files (`layers.py`). The first layer is the one
            that is relit, and its source is the clip.
        kinds: engine layer to its kind (`LayerInfo.kind`).
        strength, luma, chroma: how much of the change, of its brightness, of its colour; 0 to 2.
        output: one of `OUTPUTS`.
        handles: frames before and after the range that the engine sees too, as far as the source has them.
        range: the whole clip, or the part between the timeline's marks.
        selection: which clips: under the playhead, selected (Resolve 21.0.4), or those of `clip_colour`.
        clip_colour: the clip colour as Resolve names it, `Orange`.
        source: the clip's own pixels, or its graded pixels.
        way: as a take on the clip, on a new top track, or only into the media pool.
        folder: for the results, with a folder per clip and in it one per version.
        version: name of the version; empty: the next of v001, v002, ...
        colour_space: OpenColorIO name of the pixels' space; empty: from the project's settings (`colour.py`).
        server: address of the server; empty: the user's settings.
    """

    engine: str = "deflicker"
    options: Dict[str, Any] = field(default_factory=dict)
    layers: Dict[str, str] = field(default_factory=lambda: {"plate": "clip"})
    kinds: Dict[str, str] = field(default_factory=dict)
    strength: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0
    output: str = "result"
    handles: int = 0
    range: str = "clip"
    selection: str = "playhead"
    clip_colour: str = ""
    source: str = "source"
    way: str = "take"
    folder: str = ""
    version: str = ""
    colour_space: str = ""
    server: str = ""

    def checked(self) -> Task:
        """Return the task itself after checking everything that the part in Resolve can check.

        Raises:
            HostError: a value is invalid; the message names it.
        """
        for name, known in (
            ("output", OUTPUTS),
            ("range", RANGES),
            ("selection", SELECTIONS),
            ("source", SOURCES),
            ("way", WAYS),
        ):
            value = getattr(self, name)
            if value not in known:
                raise HostError(f"{name} is {value!r}.", fix="It is one of: " + ", ".join(known) + ".")
        for name, highest in (
            ("strength", MOST_STRENGTH),
            ("luma", MOST_STRENGTH),
            ("chroma", MOST_STRENGTH),
            ("handles", MOST_HANDLES),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= highest:
                raise HostError(f"{name} is {value!r}.", fix=f"It is a number from 0 to {highest:g}.")
        if not self.folder:
            raise HostError("there is no folder for the results.", fix="Choose an output folder.")
        if self.selection == "colour" and not self.clip_colour:
            raise HostError("no clip colour is chosen.", fix="Choose the colour of the clips, like Orange.")
        if next(iter(self.layers.values()), "") != CLIP or not all(map(is_known, self.layers.values())):
            raise HostError(
                f"layers come from {sorted(set(self.layers.values()))}.",
                fix="The first layer comes from the clip, the others from the clip, below, a track or files.",
            )
        return self


@dataclass(frozen=True)
class Colour(_Plain):
    """The colour space of the pixels that are sent, and which settings it follows from.

    Attributes:
        space: OpenColorIO name for the server; empty if the EXR files state it themselves.
        science: the project's `colorScienceMode`.
        timeline, output, input: the spaces of the project and the clip, by Resolve's names.
        guess: a sentence about what was assumed; empty if nothing was.
    """

    space: str = ""
    science: str = ""
    timeline: str = ""
    output: str = ""
    input: str = ""
    guess: str = ""


@dataclass(frozen=True)
class RunRequest(_Plain):
    """The fields of the requests `run` and `check`.

    Attributes:
        engine, options, strength, luma, chroma, output, server: as in `Task`.
        inputs: engine layer to the pattern of its EXR files, with `####` for the number; the first is relit.
        out: pattern of the results, in an existing folder.
        frames: frames to make, as text: `1001-1024`.
        context: handles around them, as text: the engine sees them too, and they get no results.
        shot: the frames of the whole clip, as text.
        colour: `Colour.to_dict()`, of all inputs but those in `own_colour`.
        own_colour: layers whose files state their colour themselves.
        overwrite: whether existing results are replaced.
        job: our own name of the run; `cancel` names it.
        label: the job's name in the server's list.
    """

    engine: str
    inputs: Dict[str, str]
    out: str
    frames: str
    job: str
    context: str = ""
    shot: str = ""
    options: Dict[str, Any] = field(default_factory=dict)
    strength: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0
    output: str = "result"
    colour: Dict[str, Any] = field(default_factory=dict)
    own_colour: List[str] = field(default_factory=list)
    overwrite: bool = False
    label: str = ""
    server: str = ""


@dataclass(frozen=True)
class Record(_Plain):
    """The record of one version, in the file `RECORD` beside its results; the history shows these.

    Attributes:
        clip: the clip's name. item: the timeline item's id. timeline: the id of its timeline.
        version: the name of the version and of its folder.
        task: `Task.to_dict()`.
        request: `RunRequest.to_dict()`.
        wanted: the frames that are brought back into the project, as text.
        started: local time, `2026-11-29 14:05`.
        state: one of `STATES`.
        message: the last message about it.
    """

    clip: str
    version: str
    item: str = ""
    timeline: str = ""
    task: Dict[str, Any] = field(default_factory=dict)
    request: Dict[str, Any] = field(default_factory=dict)
    wanted: str = ""
    started: str = ""
    state: str = "running"
    message: str = ""
