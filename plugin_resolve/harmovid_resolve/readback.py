"""Brings results into the project: as a take on the clip, on a new top track, or only into the media pool.

    done = Readback(session).bring(clip, task, Result(pattern, (1001, 1024), "v001", job, rendered=False))

A result made of the clip's own pixels gets the clip's grade; a result made of graded pixels gets none. If a step fails,
all steps are undone. After each call of Resolve the project itself is checked, not only the call's answer.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, List, Mapping

from harmovid_resolve import cdl, colour, comp
from harmovid_resolve.calls import act, has, listed, maybe, settled, table, text, whole
from harmovid_resolve.clip import Clip, Numbers, numbers_of, properties
from harmovid_resolve.contract import Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.restore import Aspect, Kept
from harmovid_resolve.restore_clip import Grade, Items, Takes, Tracks
from harmovid_resolve.restore_project import Bin, BinClips, CurrentTimeline, Folder, Page, Playhead
from harmovid_resolve.session import Session
from harmovid_resolve.source import path_of, printf
from harmovid_resolve.versions import safe_name

__all__ = ["BIN", "Readback", "Result", "check"]

BIN, MARKER_COLOUR = "HarmoVid", "Mint"
LOCAL = 0

COPIED = ("Input Color Space", "Input Gamma", "Data Level", "Alpha mode", "PAR")
"""Clip properties that a result made of the clip's own files takes over from the clip."""

SIZING = (
    "Pan", "Tilt", "ZoomX", "ZoomY", "ZoomGang", "RotationAngle", "AnchorPointX", "AnchorPointY", "Pitch", "Yaw",
    "FlipX", "FlipY", "CropLeft", "CropRight", "CropTop", "CropBottom", "CropSoftness", "CropRetain", "CompositeMode",
    "Opacity", "Distortion", "Scaling", "ResizeFilter",
)  # fmt: skip
"""Properties of a timeline item that a result on a new track has from the clip under it."""


@dataclass(frozen=True)
class Result:
    """Results on the disk.

    Attributes:
        pattern: of the EXR files. frames: first and last number to bring back.
        version: the version's name. job: our own name of the run.
        rendered: whether they were made of frames that Resolve rendered.
    """

    pattern: str
    frames: Numbers
    version: str
    job: str
    rendered: bool


def check(clip: Clip, task: Task) -> None:
    """Check whether a result could be brought back as the task says, before anything is made.

    Raises:
        HostError: it could not.
    """
    if task.output != "result":
        {"cdl": cdl.check, "field": comp.check}[task.output](clip, task)
        return
    if task.way != "take":
        return
    if task.range != "clip":
        raise HostError(
            "a take replaces the whole clip, not a part of it.",
            fix="Choose the way `track`, or the range `clip`.",
        )
    if task.source == "graded":
        graph = maybe(clip.item, "GetNodeGraph") if has(clip.item, "GetNodeGraph") else None
        if not has(clip.item, "AddVersion") or not has(graph, "ResetAllGrades"):
            raise HostError(
                "this Resolve cannot give a take a version without a grade: the clip would be graded twice.",
                fix="Choose the way `track` or the source `source`.",
            )
        if has(clip.item, "GetColorGroup") and maybe(clip.item, "GetColorGroup"):
            raise HostError(
                f"{clip.name} is in a colour group, whose grade a take would get a second time.",
                fix="Choose the way `track` or the source `source`.",
            )
        if whole(clip.item, "GetFusionCompCount"):
            raise HostError(
                f"{clip.name} has a Fusion composition, which a take would get a second time.",
                fix="Choose the way `track` or the source `source`.",
            )


class Readback:
    """Brings back the results of one batch; clips that go to a new track share it.

    Args:
        session: the Resolve with the project.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._track = 0

    def bring(self, clip: Clip, task: Task, result: Result) -> List[str]:
        """Bring results into the project and return warnings.

        Raises:
            HostError: it failed; the project is unchanged.
        """
        view = Kept([aspect(self._session) for aspect in (CurrentTimeline, Folder, Playhead, Page)])
        try:
            # Resolve reads takes and fills tracks in the open timeline only.
            if text(self._session.timeline(), "GetUniqueId") != text(clip.timeline, "GetUniqueId"):
                act(self._session.project, "SetCurrentTimeline", clip.timeline)
            warnings = self._brought(clip, task, result)
        except HostError as error:
            problems = view.put_back()
            raise HostError(" ".join([error.message, *problems]), fix=error.fix, code=error.code) from error
        return warnings + view.put_back()

    def _brought(self, clip: Clip, task: Task, result: Result) -> List[str]:
        """Bring results into the project and return warnings.

        Raises:
            HostError: it failed; the project is unchanged, except for the open page and timeline.
        """
        bin_ = Bin(self._session, BIN)
        track = self._free_track(clip, result.frames) if task.way == "track" else 0
        kept = Kept(self._aspects(clip, task, bin_, track))
        warnings: List[str] = []
        try:
            media = self._import(bin_, clip, task, result, warnings)
            holder = self._placed(clip, task, media, result, track, warnings)
            _mark(holder, task, result, warnings)
        except BaseException as error:
            problems = kept.put_back()
            if problems and isinstance(error, HostError):
                words = " ".join([error.message, *problems])
                raise HostError(words, fix=error.fix, code=error.code) from error
            raise
        return warnings

    def _aspects(self, clip: Clip, task: Task, bin_: Bin, track: int) -> List[Aspect]:
        """Return everything that bringing back changes, in the order in which it is restored."""
        one = self._session
        item: List[Aspect] = []
        if task.way == "take":
            grade: List[Aspect] = [Grade(clip.item)] if task.source == "graded" else []
            item = [Takes(clip.item), *grade]
        elif task.way == "track":
            item = [Items(one, clip.timeline, track)] if track else [Tracks(clip.timeline)]
        return [*item, BinClips(one, bin_), bin_]

    def _free_track(self, clip: Clip, frames: Numbers) -> int:
        """Return the batch's track if it is free over these frames, else 0: then a new one is made."""
        first, last = (clip.start + number - clip.first for number in frames)
        if not self._track or self._track > whole(clip.timeline, "GetTrackCount", "video"):
            return 0
        items = listed(clip.timeline, "GetItemListInTrack", "video", self._track)
        taken = [whole(item, "GetStart") <= last and first < whole(item, "GetEnd") for item in items]
        return 0 if any(taken) else self._track

    def _import(self, bin_: Bin, clip: Clip, task: Task, result: Result, warnings: List[str]) -> Any:
        """Import the files into the bin and return the media pool clip."""
        session = self._session
        folder = bin_.folder() or act(session.pool, "AddSubFolder", act(session.pool, "GetRootFolder"), BIN)
        act(session.pool, "SetCurrentFolder", folder)
        first, last = result.frames
        info = {"FilePath": printf(result.pattern), "StartIndex": first, "EndIndex": last}
        # Resolve imports a single frame by its path only, and may not return its number.
        single = first == last
        made = act(session.pool, "ImportMedia", [path_of(result.pattern, first) if single else info])
        told = [numbers_of(properties(one)) for one in made]
        if told != [(first, last)] and not (single and len(told) == 1 and told[0][0] == told[0][1]):
            raise HostError(
                f"Resolve took {os.path.basename(result.pattern)} for other frames than {first} to {last}.",
                fix="Import the results by hand from their folder.",
            )
        media = made[0]
        name = f"{safe_name(clip.name)} {result.version}"
        if not settled(
            lambda: text(media, "GetName"), lambda: act(media, "SetClipProperty", "Clip Name", name), name
        ):
            warnings.append(f"Resolve did not name the result {name}.")
        self._tag(clip, task, media, result, warnings)
        return media

    def _tag(self, clip: Clip, task: Task, media: Any, result: Result, warnings: List[str]) -> None:
        """Set the clip properties that tell Resolve how to read the pixels."""
        own = properties(clip.media)
        if result.rendered:
            wanted = colour.tags(self._session, clip, task)
            if _has_alpha(own):  # frames are rendered with it multiplied in
                wanted["Alpha mode"] = "Premultiplied"
        else:
            wanted = {name: own[name] for name in COPIED if own.get(name)}
        for name, value in wanted.items():
            if not settled(
                lambda name=name: properties(media).get(name),  # type: ignore[misc]
                lambda name=name, value=value: act(media, "SetClipProperty", name, value),  # type: ignore[misc]
                value,
            ):
                warnings.append(
                    f"Resolve keeps {name} of the result: set it to {value} in the clip's attributes."
                )

    def _placed(
        self, clip: Clip, task: Task, media: Any, result: Result, track: int, warnings: List[str]
    ) -> Any:
        """Place the media pool clip as the task says, and return the item that holds it."""
        if task.way == "take":
            if task.source == "graded":
                _ungraded_version(clip.item, f"HarmoVid {result.version}")
            _add_take(clip, media)
            return clip.item
        if task.way == "track":
            return self._on_track(clip, task, media, result, track or self._new_track(clip, result), warnings)
        return media

    def _on_track(
        self, clip: Clip, task: Task, media: Any, result: Result, track: int, warnings: List[str]
    ) -> Any:
        """Append the result above the clip on a separate track, with the clip's grade and sizing."""
        session = self._session
        first, last = result.frames
        at, count = clip.start + first - clip.first, last - first + 1
        info = {
            "mediaPoolItem": media, "startFrame": first, "endFrame": last + 1, "mediaType": 1,
            "trackIndex": track, "recordFrame": at,
        }  # fmt: skip
        act(session.pool, "AppendToTimeline", [info])
        new = _found(clip.timeline, track, at, count)
        if new is None and count == 1:
            raise HostError("Resolve makes a single frame five seconds long.", fix="Choose another way.")
        if new is None:
            raise HostError(
                f"Resolve did not put the result of {clip.name} on track V{track}.", fix="Try again."
            )
        if task.source == "source":
            _copy_grade(clip, new)
            if whole(clip.item, "GetFusionCompCount"):
                warnings.append(f"the Fusion composition of {clip.name} is not on the result.")
        _copy_sizing(clip.item, new, warnings)
        if _shows_through(clip):
            warnings.append(f"{clip.name} shows through the result above it: switch the clip off.")
        self._track = track
        return new

    def _new_track(self, clip: Clip, result: Result) -> int:
        before = whole(clip.timeline, "GetTrackCount", "video")
        act(clip.timeline, "AddTrack", "video")
        track = whole(clip.timeline, "GetTrackCount", "video")
        if track != before + 1:
            raise HostError("Resolve added no video track.", fix="Add one by hand and try again.")
        settled(
            lambda: text(clip.timeline, "GetTrackName", "video", track),
            lambda: act(clip.timeline, "SetTrackName", "video", track, f"HarmoVid {result.version}"),
            f"HarmoVid {result.version}",
        )
        return track


def _ungraded_version(item: Any, name: str) -> None:
    """Give a clip a colour version without a grade; the version that was loaded remains in the clip's list."""
    taken = listed(item, "GetVersionNameList", LOCAL)
    name = next(one for one in (name, *(f"{name} {number}" for number in range(2, 999))) if one not in taken)
    act(item, "AddVersion", name, LOCAL)
    act(item, "LoadVersionByName", name, LOCAL)
    if table(item, "GetCurrentVersion").get("versionName") != name:
        raise HostError(f"Resolve did not load the colour version {name}.", fix="Choose the way `track`.")
    act(act(item, "GetNodeGraph"), "ResetAllGrades")


def _add_take(clip: Clip, media: Any) -> None:
    """Add the whole media pool clip as a take and select it."""
    before = whole(clip.item, "GetTakesCount")
    act(clip.item, "AddTake", media)
    count = whole(clip.item, "GetTakesCount")
    if count != max(before, 1) + 1:
        raise HostError(f"Resolve added no take to {clip.name}.", fix="Choose the way `track`.")
    act(clip.item, "SelectTakeByIndex", count)
    own = text(act(clip.item, "GetTakeByIndex", count)["mediaPoolItem"], "GetUniqueId")
    shown = whole(clip.item, "GetSelectedTakeIndex"), whole(clip.item, "GetDuration")
    if shown != (count, clip.count) or own != text(media, "GetUniqueId"):
        raise HostError(f"Resolve did not select the take on {clip.name}.", fix="Choose the way `track`.")


def _found(timeline: Any, track: int, start: int, count: int) -> Any:
    """Return the item of a track that begins at a frame and has this many frames; None if there is none.

    The answer of AppendToTimeline is not used, because it contains items that do not exist.
    """
    for item in listed(timeline, "GetItemListInTrack", "video", track):
        if (whole(item, "GetStart"), whole(item, "GetDuration")) == (start, count):
            return item
    return None


def _copy_grade(clip: Clip, new: Any) -> None:
    """Copy the clip's grade to another item, and its colour group."""
    act(clip.item, "CopyGrades", [new])
    if has(clip.item, "GetNodeGraph"):
        counts = [whole(act(item, "GetNodeGraph"), "GetNumNodes") for item in (clip.item, new)]
        if counts[0] != counts[1]:
            raise HostError(f"Resolve did not copy the grade of {clip.name}.", fix="Choose the way `take`.")
    group = maybe(clip.item, "GetColorGroup") if has(clip.item, "GetColorGroup") else None
    if group is not None:
        act(new, "AssignToColorGroup", group)


def _copy_sizing(item: Any, new: Any, warnings: List[str]) -> None:
    """Copy position, crop and opacity, as far as they differ."""
    values, own = table(item, "GetProperty"), table(new, "GetProperty")
    for name in SIZING:
        if name not in values or values[name] == own.get(name):
            continue
        if not settled(
            lambda name=name: table(new, "GetProperty").get(name),  # type: ignore[misc]
            lambda name=name: act(new, "SetProperty", name, values[name]),  # type: ignore[misc]
            values[name],
        ):
            warnings.append(f"{name} of the result is not the clip's: set it to {values[name]}.")


def _has_alpha(own: Mapping[str, str]) -> bool:
    """Return whether Resolve uses the alpha of a media pool clip, by its properties."""
    return own.get("Alpha mode", "").lower() not in ("", "none", "ignore")


def _shows_through(clip: Clip) -> bool:
    """Return whether a clip is not opaque, so that it would be visible through its own result on a track above it."""
    shown = table(clip.item, "GetProperty")
    return (
        _has_alpha(properties(clip.media))
        or float(shown.get("Opacity", 100)) < 100
        or bool(shown.get("CompositeMode", 0))
    )


def _mark(holder: Any, task: Task, result: Result, warnings: List[str]) -> None:
    """Add a marker that states where the result came from, for programs."""
    told = {"harmovid": result.job, "version": result.version, "folder": os.path.dirname(result.pattern)}
    data = json.dumps(told, sort_keys=True)
    name, note = f"HarmoVid {result.version}", f"{task.engine}, frames {result.frames[0]}-{result.frames[1]}"

    def write() -> None:
        taken = {int(float(frame)) for frame in table(holder, "GetMarkers")}
        free = next(frame for frame in range(len(taken) + 1) if frame not in taken)
        act(holder, "AddMarker", free, MARKER_COLOUR, name, note, 1, data)

    if not settled(lambda: bool(table(holder, "GetMarkerByCustomData", data)), write, True):
        warnings.append("Resolve took no marker on the result.")
