"""What a project holds, as plain data behind the API objects. Tests may read and set it; the plugin never sees it.

Frames: `Item.start` and `end` are record frames of the timeline, `end` the first one after the item. Frames of a clip
are counted as its files are: a sequence that starts at 1001 has `first` = 1001.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

_ids = itertools.count(1)


def new_id() -> str:
    """Return a unique id in Resolve's form."""
    return f"{next(_ids):08x}-0000-4000-8000-000000000000"


@dataclass
class Marker:
    color: str
    name: str
    note: str
    duration: int
    custom: str = ""

    def told(self) -> Dict[str, Any]:
        """Return what GetMarkers says about it; the duration is a float there."""
        return {
            "color": self.color,
            "duration": float(self.duration),
            "note": self.note,
            "name": self.name,
            "customData": self.custom,
        }


@dataclass
class Marked:
    """What media pool items, timelines and timeline items have alike."""

    name: str = ""
    id: str = field(default_factory=new_id)
    markers: Dict[int, Marker] = field(default_factory=dict)
    flags: List[str] = field(default_factory=list)
    color: str = ""
    marks: Dict[str, Dict[str, int]] = field(default_factory=dict)
    """In and out marks of "video" and "audio"; of a timeline relative to its start."""
    deleted: bool = False


@dataclass
class Clip(Marked):
    """A media pool item. `pattern` is a printf path of a sequence, or the path of one file."""

    pattern: str = ""
    first: int = 0
    last: int = 0
    fps: float = 24.0
    size: Tuple[int, int] = (0, 0)
    kind: str = "Video"
    """Video, Still, Audio, Timeline or Compound, as the clip property "Type" says."""
    start_timecode: str = "00:00:00:00"
    audio: bool = False
    properties: Dict[str, str] = field(default_factory=dict)
    metadata: Dict[str, str] = field(default_factory=dict)
    third_party: Dict[str, str] = field(default_factory=dict)
    timeline: Optional[Timeline] = None
    mattes: List[str] = field(default_factory=list)
    proxy: str = ""

    @property
    def frames(self) -> int:
        """Return the number of its frames."""
        return self.last - self.first + 1

    def path(self, frame: int) -> str:
        """Return the file of one frame."""
        return self.pattern % frame if "%" in self.pattern else self.pattern

    def shown_path(self) -> str:
        """Return the clip property "File Path": a sequence as name.[1001-1024].exr."""
        if "%" not in self.pattern:
            return self.pattern
        start = self.pattern.index("%")
        end = self.pattern.index("d", start) + 1
        width = int(self.pattern[start + 1 : end - 1] or "0")
        numbers = f"[{self.first:0{width}d}-{self.last:0{width}d}]"
        return self.pattern[:start] + numbers + self.pattern[end:]


@dataclass
class Folder:
    name: str
    id: str = field(default_factory=new_id)
    clips: List[Clip] = field(default_factory=list)
    folders: List[Folder] = field(default_factory=list)
    deleted: bool = False

    def walk(self) -> List[Folder]:
        """Return this folder and all below it."""
        return [self, *(each for folder in self.folders for each in folder.walk())]

    def all_clips(self) -> List[Clip]:
        """Return the clips of this folder and all below it."""
        return [clip for folder in self.walk() for clip in folder.clips]


@dataclass
class Node:
    """One corrector node. `cdl` holds slope, offset, power (three numbers each) and saturation."""

    label: str = ""
    enabled: bool = True
    cdl: Optional[Dict[str, Tuple[float, ...]]] = None
    lut: str = ""
    function: Optional[Callable[[Any], Any]] = None
    """What a colourist did by hand: (height, width, 3) float32 to the same."""
    cache: int = -1

    def copy(self) -> Node:
        """Return a node with the same correction."""
        return Node(
            self.label,
            self.enabled,
            dict(self.cdl) if self.cdl else None,
            self.lut,
            self.function,
            self.cache,
        )


@dataclass
class Grade:
    """A color version of a clip."""

    name: str = "Version 1"
    nodes: List[Node] = field(default_factory=lambda: [Node()])

    def copy(self) -> Grade:
        """Return the same grade for another item."""
        return Grade(self.name, [node.copy() for node in self.nodes])


@dataclass
class Take:
    clip: Clip
    start: int
    end: int
    """The first and the last frame of the clip."""


@dataclass
class Item(Marked):
    """A timeline item; `kind`: clip, title, generator, transition or audio."""

    kind: str = "clip"
    clip: Optional[Clip] = None
    start: int = 0
    end: int = 0
    source_in: int = 0
    """The clip's frame at `start`."""
    speed: float = 1.0
    enabled: bool = True
    properties: Dict[str, Any] = field(default_factory=dict)
    takes: List[Take] = field(default_factory=list)
    take: int = 0
    versions: List[Grade] = field(default_factory=lambda: [Grade()])
    version: int = 0
    remote_versions: List[Grade] = field(default_factory=list)
    comps: List[Any] = field(default_factory=list)
    linked: List[Item] = field(default_factory=list)
    group: Optional[ColorGroup] = None
    volatile: bool = False
    """Whether the next save loses it."""
    caches: Dict[str, Any] = field(default_factory=dict)

    @property
    def grade(self) -> Grade:
        """Return the current color version."""
        return self.versions[self.version]

    def shown(self) -> Tuple[Optional[Clip], int]:
        """Return the clip that plays, and its frame at `start`: those of the selected take if there is one."""
        if self.takes and 1 <= self.take <= len(self.takes):
            return self.takes[self.take - 1].clip, self.takes[self.take - 1].start
        return self.clip, self.source_in

    def source_frame(self, record: int) -> int:
        """Return the clip's frame that a record frame shows; before its first file the first, after its last the
        last."""
        clip, source_in = self.shown()
        frame = source_in + math.floor((record - self.start) * self.speed + 1e-6)
        return min(max(frame, clip.first), clip.last) if clip else frame


@dataclass
class Track:
    name: str
    kind: str
    subtype: str = ""
    enabled: bool = True
    locked: bool = False
    items: List[Item] = field(default_factory=list)
    id: str = field(default_factory=new_id)


@dataclass
class Timeline(Marked):
    start_frame: int = 86400
    fps: float = 24.0
    size: Tuple[int, int] = (1920, 1080)
    tracks: Dict[str, List[Track]] = field(default_factory=dict)
    playhead: int = 86400
    settings: Dict[str, str] = field(default_factory=dict)
    selected: List[Item] = field(default_factory=list)
    clip: Optional[Clip] = None
    """Its media pool item."""
    nodes: Grade = field(default_factory=lambda: Grade(nodes=[]))

    def items(self, kind: str = "") -> List[Item]:
        """Return the items of all tracks of a kind, or of all kinds."""
        tracks = self.tracks.get(kind, []) if kind else [t for each in self.tracks.values() for t in each]
        return [item for track in tracks for item in track.items]

    def track_of(self, item: Item) -> Optional[Tuple[str, int, Track]]:
        """Return kind, index from 1 and track of an item, or None."""
        for kind, tracks in self.tracks.items():
            for index, track in enumerate(tracks, 1):
                if any(each is item for each in track.items):
                    return kind, index, track
        return None

    @property
    def end_frame(self) -> int:
        """Return the record frame after the last item."""
        return max([item.end for item in self.items()], default=self.start_frame)

    def seen_items(self, frame: int) -> List[Item]:
        """Return what is seen at a record frame, the lowest first: nothing below an item that is opaque."""
        found: List[Item] = []
        for track in reversed(self.tracks.get("video", [])):
            for item in track.items:
                if (
                    track.enabled
                    and item.enabled
                    and item.kind != "transition"
                    and item.start <= frame < item.end
                ):
                    found.insert(0, item)
                    if item.properties.get("Opacity", 100.0) >= 100:
                        return found
        return found

    def top_item(self, frame: int) -> Optional[Item]:
        """Return the highest item that is seen at a record frame."""
        return (self.seen_items(frame) or [None])[-1]


@dataclass
class ColorGroup:
    name: str
    id: str = field(default_factory=new_id)
    before: Grade = field(default_factory=lambda: Grade(nodes=[]))
    after: Grade = field(default_factory=lambda: Grade(nodes=[]))
    deleted: bool = False


@dataclass
class Still:
    label: str = ""
    pixels: Any = None
    id: str = field(default_factory=new_id)
    deleted: bool = False


@dataclass
class Album:
    name: str
    stills: List[Still] = field(default_factory=list)
    power_grades: bool = False
    id: str = field(default_factory=new_id)


@dataclass
class Deliver:
    """The state of the Deliver page, and what a render preset keeps."""

    format: str = "mov"
    codec: str = "H264"
    mode: int = 1
    settings: Dict[str, Any] = field(default_factory=dict)
    preset: str = "Custom"
    video_off: bool = False
    """A preset switched video off; `ExportVideo` alone does not bring it back."""
    source_size: bool = False
    grade_off: bool = False
    sizing_off: bool = False
    compression: str = ""
    digits: int = 8
    partial: bool = False
    """A preset that says neither where to render to nor under which name; loading it leaves both as they are."""

    def copy(self) -> Deliver:
        """Return the same state, independent of this one."""
        values = {**self.__dict__, "settings": dict(self.settings)}
        return Deliver(**values)


@dataclass
class Output:
    """One file of a render job: of which record frame it is, and of which item alone, if not of all that is seen."""

    record: int
    path: str
    item: Optional[Item] = None


@dataclass
class RenderJob:
    deliver: Deliver
    timeline: Timeline
    outputs: List[Output]
    told: Dict[str, Any] = field(default_factory=dict)
    """What GetRenderJobList says about it."""
    id: str = field(default_factory=new_id)
    status: str = "Ready"
    done: int = 0
    error: str = ""

    @property
    def percent(self) -> int:
        """Return the finished part of the frames in percent."""
        return int(100 * self.done / len(self.outputs)) if self.outputs else 100


@dataclass
class Project:
    name: str
    id: str = field(default_factory=new_id)
    root: Folder = field(default_factory=lambda: Folder("Master"))
    folder: Folder = field(init=False)
    timelines: List[Timeline] = field(default_factory=list)
    timeline: Optional[Timeline] = None
    settings: Dict[str, str] = field(default_factory=dict)
    deliver: Deliver = field(default_factory=Deliver)
    presets: Dict[str, Deliver] = field(default_factory=dict)
    jobs: List[RenderJob] = field(default_factory=list)
    groups: List[ColorGroup] = field(default_factory=list)
    albums: List[Album] = field(default_factory=lambda: [Album("Stills 1")])
    album: int = 0
    selected_clips: List[Clip] = field(default_factory=list)
    project_presets: List[str] = field(default_factory=list)
    colour: Callable[[Any], Any] = lambda pixels: pixels
    """What colour management does to rendered pixels, (height, width, 3) float32; the fake converts nothing itself."""
    saves: int = 0
    changed: bool = False
    deleted: bool = False

    def __post_init__(self) -> None:
        self.folder = self.root

    def clips(self) -> List[Clip]:
        """Return all clips of the media pool."""
        return self.root.all_clips()
