"""The clips of a task: which timeline items, which source frames they show, how many more frames the source has.

    clips, skipped = select(session, task)      # items that are no clips are left out, with a reason
    first, last = wanted(clips[0], task)        # the source's own frame numbers: 1001 stays 1001

Only clips that show their source frame by frame can be replaced by a result. A retimed clip, or one with another frame
rate than its timeline, is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from harmovid_resolve.calls import flag, has, listed, maybe, number, table, tell, text, whole
from harmovid_resolve.contract import Task
from harmovid_resolve.errors import SKIPPED, HostError
from harmovid_resolve.session import Session

__all__ = [
    "Clip",
    "Numbers",
    "below",
    "clip_of",
    "marks",
    "numbers_of",
    "on_track",
    "properties",
    "select",
    "wanted",
    "with_handles",
]

SELECTION_SINCE = "21.0.4"
SAME_RATE = 0.005
"""Tolerance for two rates that are printed with different digits, in frames per second: 23.976 and 24000/1001."""

_BRACKET = re.compile(r"\[(\d+)-(\d+)\]")

Numbers = Tuple[int, int]
"""First and last frame, both of it."""


@dataclass(frozen=True)
class Clip:
    """A video item of a timeline with a media pool clip.

    Attributes:
        item, media, timeline: objects of Resolve.
        name, id: the item's.
        track: number of its video track.
        start, count: first frame on the timeline, and number of frames.
        first: number of the first source frame that it shows, as in the files' names; for video files counted from the
            start.
        left, right: number of source frames before and after those.
        path: the file, or the sequence with its numbers in brackets; empty if there is none.
        kind: the media pool's type of it: `Video`, `Still`, `Timeline`, ...
        fps: frames per second, of source and timeline.
        resolution: width and height of the source in pixels.
    """

    item: Any
    media: Any
    timeline: Any
    name: str
    id: str
    track: int
    start: int
    count: int
    first: int
    left: int
    right: int
    path: str
    kind: str
    fps: float
    resolution: Tuple[int, int]

    @property
    def last(self) -> int:
        """Number of the last source frame that the clip shows."""
        return self.first + self.count - 1

    @property
    def end(self) -> int:
        """The frame of the timeline after its last one."""
        return self.start + self.count

    def at(self, record: int) -> int:
        """Return the source frame shown at a frame of the timeline."""
        return self.first + record - self.start


def select(session: Session, task: Task) -> Tuple[List[Clip], List[Tuple[str, str, bool]]]:
    """Return the clips of a task in the order of the timeline, and the items that are left out.

    Each of those has its name, the reason, and whether it is no clip to process (otherwise Resolve refused to describe
    it).

    Raises:
        HostError: there is no clip.
    """
    timeline = session.timeline()
    clips: List[Clip] = []
    skipped: List[Tuple[str, str, bool]] = []
    for item in _items_meant(session, timeline, task):
        try:
            clips.append(clip_of(timeline, item))
        except HostError as error:
            name = str(tell(item, "GetName") or "an item")
            skipped.append((name, str(error), error.code == SKIPPED))
    if not clips:
        raise HostError(
            " ".join(words for _, words, _ in skipped) or "there is no clip to work on.",
            fix="" if skipped else _how_to_select(task),
        )
    return sorted(clips, key=lambda clip: (clip.start, clip.track)), skipped


def clip_of(timeline: Any, item: Any) -> Clip:
    """Return an item as a clip.

    Raises:
        HostError: a title, generator, transition or still; retimed; or another frame rate than the timeline's.
    """
    name = text(item, "GetName") or "an item without a name"
    media = maybe(item, "GetMediaPoolItem")
    track = _track_of(timeline, item)
    if not track:
        raise HostError(f"{name} is not on a video track: skipped.", code=SKIPPED)
    if media is None:
        raise HostError(f"{name} on V{track} {_without_media(timeline, item, track)}: skipped.", code=SKIPPED)
    start, count = whole(item, "GetStart"), whole(item, "GetDuration")
    told = properties(media)
    rate = _same_rate(timeline, told, name)
    first, last = numbers_of(told)
    if first == last and count > 1:
        raise HostError(f"{name} is a still: skipped.", fix="Work on clips of several frames.", code=SKIPPED)
    _refuse_retimed(item, name, count, rate, last - first + 1)
    left = whole(item, "GetLeftOffset")
    # Some versions return the source's out point here, not the number of frames after it.
    right = min(whole(item, "GetRightOffset"), last - (first + left + count - 1))
    return Clip(
        item, media, timeline, name, text(item, "GetUniqueId"), track, start, count, first + left,
        max(left, 0), max(right, 0), told.get("File Path", ""), told.get("Type", ""), rate,
        _resolution(told),
    )  # fmt: skip


def wanted(clip: Clip, task: Task) -> Numbers:
    """Return the source frames to process: the whole clip, or those between the timeline's marks.

    Raises:
        HostError: there are no marks, or the clip is outside them.
    """
    if task.range == "clip":
        return clip.first, clip.last
    first, last = marks(clip.timeline)
    first, last = max(first, clip.start), min(last, clip.end - 1)
    if last < first:
        raise HostError(
            f"{clip.name} does not lie between the in and out marks.", fix="Move the marks or choose `clip`."
        )
    return clip.at(first), clip.at(last)


def with_handles(clip: Clip, frames: Numbers, handles: int) -> Numbers:
    """Return frames with up to `handles` more on either side, as far as the source has them."""
    first, last = frames
    return (
        first - min(handles, clip.left + first - clip.first),
        last + min(handles, clip.right + clip.last - last),
    )


def marks(timeline: Any) -> Numbers:
    """Return the frames of the timeline's in and out marks.

    Resolve counts marks that were set by hand from the timeline's start, and returns those set by scripts as they were
    given.

    Raises:
        HostError: one of them is not set, or this Resolve does not tell.
    """
    if not has(timeline, "GetMarkInOut"):
        raise HostError("this Resolve does not tell its in and out marks.", fix="Choose the range `clip`.")
    video = table(timeline, "GetMarkInOut").get("video") or {}
    if "in" not in video or "out" not in video:
        raise HostError("the timeline has no in and out marks.", fix="Set both, or choose the range `clip`.")
    start = whole(timeline, "GetStartFrame")
    first, last = (
        value if value >= start else value + start for value in (int(video["in"]), int(video["out"]))
    )
    return first, last


def below(session: Session, clip: Clip, frames: Numbers) -> Clip:
    """Return the clip that covers a span of frames on the nearest lower track that is switched on.

    Raises:
        HostError: there is none, or it does not cover the whole span.
    """
    for track in range(clip.track - 1, 0, -1):
        found = (
            _over(clip, frames, track) if flag(clip.timeline, "GetIsTrackEnabled", "video", track) else None
        )
        if found is not None:
            return found
    raise HostError(
        f"no clip lies under the whole of {clip.name}.",
        fix="Put the background on a track below it, over the same frames.",
    )


def on_track(clip: Clip, frames: Numbers, track: int) -> Clip:
    """Return the clip of a track, on or off, that lies over a span of another one's frames.

    Raises:
        HostError: it is the clip's own track, there is no such track, or nothing lies over the whole span.
    """
    count = whole(clip.timeline, "GetTrackCount", "video")
    found = _over(clip, frames, track) if track != clip.track and track <= count else None
    if found is None:
        raise HostError(
            f"no other clip on V{track} lies over the whole of {clip.name}.",
            fix=f"The timeline has V1 to V{count}: choose another track, or put the clip over the same frames.",
        )
    return found


def _over(clip: Clip, frames: Numbers, track: int) -> Optional[Clip]:
    """Return the clip of a track that lies over a span of another one's frames; None where there is none."""
    first, last = (clip.start + number - clip.first for number in frames)
    for item in listed(clip.timeline, "GetItemListInTrack", "video", track):
        if whole(item, "GetStart") <= first and last < whole(item, "GetEnd"):
            return clip_of(clip.timeline, item)
    return None


def _items_meant(session: Session, timeline: Any, task: Task) -> List[Any]:
    if task.selection == "playhead":
        item = maybe(timeline, "GetCurrentVideoItem")
        return [] if item is None else [item]
    if task.selection == "selected":
        if not has(timeline, "GetSelectedClips"):
            raise HostError(
                f"Resolve {session.version_text} does not tell what is selected: {SELECTION_SINCE} does.",
                fix="Give the clips a clip colour and choose it.",
            )
        return [item for item in listed(timeline, "GetSelectedClips") if _is_video(item)]
    return [item for _, item in _video_items(timeline) if text(item, "GetClipColor") == task.clip_colour]


def _how_to_select(task: Task) -> str:
    return {
        "playhead": "Put the playhead on the clip.",
        "selected": "Select clips on the timeline.",
        "colour": f"Give the clips the clip colour {task.clip_colour}.",
    }[task.selection]


def _is_video(item: Any) -> bool:
    return not has(item, "GetTrackTypeAndIndex") or listed(item, "GetTrackTypeAndIndex")[:1] == ["video"]


def _video_items(timeline: Any) -> Iterator[Tuple[int, Any]]:
    """Yield every item of every video track with the number of its track."""
    for track in range(1, whole(timeline, "GetTrackCount", "video") + 1):
        for item in listed(timeline, "GetItemListInTrack", "video", track):
            yield track, item


def _track_of(timeline: Any, item: Any) -> int:
    """Return the number of the video track that an item is on; 0 for none. Before Resolve 19.0 every
    item is compared.
    """
    if has(item, "GetTrackTypeAndIndex"):
        kind, index = (*listed(item, "GetTrackTypeAndIndex"), "", 0)[:2]
        return int(index) if kind == "video" else 0
    own = text(item, "GetUniqueId")
    return next((track for track, other in _video_items(timeline) if text(other, "GetUniqueId") == own), 0)


def _without_media(timeline: Any, item: Any, track: int) -> str:
    """Return what an item without a media pool clip is: a transition overlaps others, a title or generator does not."""
    start, end = whole(item, "GetStart"), whole(item, "GetEnd")
    own = text(item, "GetUniqueId")
    others = [
        (whole(one, "GetStart"), whole(one, "GetEnd"))
        for one in listed(timeline, "GetItemListInTrack", "video", track)
        if text(one, "GetUniqueId") != own
    ]
    overlaps = any(first < end and start < last for first, last in others)
    return "is a transition" if overlaps else "is a title or a generator"


def _same_rate(timeline: Any, told: Mapping[str, str], name: str) -> float:
    source = _rate(told.get("FPS", ""))
    shown = _rate(tell(timeline, "GetSetting", "timelineFrameRate"))
    if source is None or shown is None:
        raise HostError(f"{name} or its timeline does not tell its frame rate.")
    if abs(source - shown) > SAME_RATE:
        raise HostError(
            f"{name} has {source:g} frames a second, its timeline {shown:g}.",
            fix="Put it on a timeline of its own frame rate.",
        )
    return shown


def _rate(value: Any) -> Optional[float]:
    match = re.match(r"\s*(\d+(?:\.\d+)?)", str(value))
    return float(match.group(1)) if match else None


def _refuse_retimed(item: Any, name: str, count: int, rate: float, frames: int) -> None:
    """Refuse a clip that does not show its source frame by frame; Resolve does not tell a clip's speed.

    Raises:
        HostError: it spans more or fewer source frames than frames of the timeline.
    """
    if has(item, "GetSourceStartTime"):
        span = (number(item, "GetSourceEndTime") - number(item, "GetSourceStartTime")) * rate
        off = abs(span - count) > 0.5
    else:
        # Before 19.0: offsets are counted in frames of the timeline, so with another speed they do not add up.
        span = frames - whole(item, "GetLeftOffset") - whole(item, "GetRightOffset")
        off = abs(span - count) > 1
    if off:
        raise HostError(
            f"{name} is retimed: it shows {span:g} source frames in {count}.",
            fix="Work on the clip at its own speed, or render it first.",
        )


def properties(media: Any) -> Dict[str, str]:
    """Return all properties of a media pool clip as text.

    Raises:
        HostError: Resolve does not tell.
    """
    return {str(name): str(value) for name, value in table(media, "GetClipProperty").items()}


def numbers_of(told: Mapping[str, str]) -> Numbers:
    """Return the numbers of a media pool clip's first and last frame; for a sequence, those in the files' names.

    Args:
        told: the clip's properties.
    """
    bracket = _BRACKET.search(told.get("File Path", ""))
    if bracket:
        return int(bracket.group(1)), int(bracket.group(2))
    start, frames = (_number(told.get(name, "")) for name in ("Start", "Frames"))
    return start, start + max(frames, 1) - 1


def _number(said: str) -> int:
    return int(float(said)) if re.fullmatch(r"-?\d+(\.\d+)?", said) else 0


def _resolution(told: Mapping[str, str]) -> Tuple[int, int]:
    match = re.fullmatch(r"(\d+)\s*x\s*(\d+)", told.get("Resolution", ""))
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)
