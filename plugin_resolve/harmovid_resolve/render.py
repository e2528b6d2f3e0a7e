"""Has Resolve write a clip's frames as EXR, one render at a time, and leaves the project unchanged.

    pattern = Render(session).run(clip, "plate", (1001, 1024), graded=False, folder="/shots/in")

The clip's own pixels come from a temporary timeline that holds only the clip. Its graded pixels come from a duplicate
of
the user's timeline in which the other tracks are off. The user's own timeline is not touched. Resolve's report of a
render is not trusted: files are counted, checked, and renamed to the source's frame numbers.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
import uuid
from typing import Any, Callable, Dict, List, Optional, Tuple

from harmovid_resolve import exr_preset
from harmovid_resolve.calls import act, flag, has, listed, maybe, table, tell, whole
from harmovid_resolve.clip import Clip, Numbers
from harmovid_resolve.errors import CANCELLED, HostError
from harmovid_resolve.restore import Aspect, Kept
from harmovid_resolve.restore_deliver import Deliver, Format, Jobs, Mode, Presets
from harmovid_resolve.restore_project import CurrentTimeline, Folder, Page, Playhead, Timelines
from harmovid_resolve.session import Session
from harmovid_resolve.source import checked, path_of

__all__ = ["CODECS", "POLL_S", "STALL_S", "Render", "check_storage"]

CODECS = ("RGBFloatZIP", "RGBFloatPIZ", "RGBFloat", "RGBHalfZIP", "RGBHalfPIZ", "RGBHalf")
"""Ids of EXR codecs in the order in which they are tried: all are lossless, the last ones in half precision."""

POLL_S = 0.25
STALL_S = 600.0
"""A render without progress and without a new file for this long is stopped."""

STOP_S = 30.0
NOT_PUT_BACK = (
    "Resolve before 19.1 cannot put the settings of the Deliver page back: look at them before you render."
)
SINGLE_CLIP = 1
PREMULTIPLIED = 0
"""As the server takes frames with alpha."""
_ENDED = ("Complete", "Failed", "Cancelled")
_NUMBER = re.compile(r"(\d+)\.exr$", re.IGNORECASE)


class Render:
    """Renders for one batch.

    Args:
        session: the Resolve with the project.
        wait: sleeps for a number of seconds.
        cancelled: returns whether the user wants to stop.
        said: called with progress messages.
    """

    def __init__(
        self,
        session: Session,
        wait: Callable[[float], None] = time.sleep,
        cancelled: Callable[[], bool] = lambda: False,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._session, self._wait, self._cancelled, self._said = session, wait, cancelled, said
        self.warnings: List[str] = []

    def run(
        self,
        clip: Clip,
        layer: str,
        frames: Numbers,
        *,
        graded: bool,
        folder: str,
        first: Optional[int] = None,
    ) -> str:
        """Render frames of a clip and return the pattern of the files, `<folder>/<layer>.####.exr`.

        Args:
            clip: the clip. frames: first and last source frame.
            layer: the files' name.
            graded: whether to render with the grade, in the clip's own timeline.
            folder: an empty folder, made if it is missing.
            first: number of the first file; by default the source's own.

        Raises:
            HostError: Resolve refused something, or the files are not as expected; the project is unchanged.
        """
        session = self._session
        if flag(session.project, "IsRenderingInProgress"):
            raise HostError("Resolve is rendering.", fix="Wait until it has finished, then try again.")
        raw = os.path.join(folder, f".rendering-{layer}")
        kept = Kept(self._aspects())
        problems: List[str] = []
        try:
            os.makedirs(raw, exist_ok=True)
            try:
                marked = self._graded(clip, frames) if graded else self._ungraded(clip, frames)
                self._deliver(clip, layer, frames, marked, raw)
            finally:
                problems = kept.put_back()
                self.warnings += problems
            return _collected(raw, folder, layer, frames, frames[0] if first is None else first)
        except OSError as error:
            raise HostError(
                f"{folder} cannot be written: {error.strerror}.", fix="Choose another folder."
            ) from error
        finally:
            shutil.rmtree(raw, ignore_errors=True)

    def _aspects(self) -> List[Aspect]:
        """Return everything that a render changes, in the order in which it is restored."""
        one = self._session
        deliver: List[Aspect] = [Deliver(one, _name("Deliver"))] if self._with_presets() else []
        presets: List[Aspect] = [Presets(one)] if self._with_presets() else []
        return [
            Rendering(one, self._wait), Jobs(one), *deliver, Format(one), Mode(one), CurrentTimeline(one),
            Timelines(one), Folder(one), Playhead(one), *presets, Page(one),
        ]  # fmt: skip

    def _with_presets(self) -> bool:
        """Return whether this Resolve can save and delete presets: from 19.1 on."""
        return has(self._session.project, "DeleteRenderPreset") and has(
            self._session.resolve, "ImportRenderPreset"
        )

    def _ungraded(self, clip: Clip, frames: Numbers) -> Optional[Numbers]:
        """Open a new timeline that holds only the clip's frames; all of it is rendered."""
        session = self._session
        timeline = act(session.pool, "CreateEmptyTimeline", _name("timeline"))
        act(session.project, "SetCurrentTimeline", timeline)
        _set_size(timeline, clip)
        # A list, always: a bare dict freezes Resolve. The end is the frame after the last.
        info = {
            "mediaPoolItem": clip.media,
            "startFrame": frames[0],
            "endFrame": frames[1] + 1,
            "mediaType": 1,
        }
        act(session.pool, "AppendToTimeline", [info])
        count, left = frames[1] - frames[0] + 1, clip.left + frames[0] - clip.first
        items = listed(timeline, "GetItemListInTrack", "video", 1)
        found = [(whole(one, "GetDuration"), whole(one, "GetLeftOffset")) for one in items]
        if found != [(count, left)]:
            raise HostError(
                f"Resolve put {found} of {clip.name} on a timeline, frames and offset, for {(count, left)}.",
                fix="Choose the source `graded`, which renders the clip where it lies.",
            )
        _refuse_grade(items[0], clip)
        return None

    def _graded(self, clip: Clip, frames: Numbers) -> Optional[Numbers]:
        """Open a duplicate of the clip's timeline with the other tracks off; return the frames to render there."""
        session = self._session
        first, last = (clip.start + number - clip.first for number in frames)
        timeline = act(clip.timeline, "DuplicateTimeline", _name("timeline"))
        act(session.project, "SetCurrentTimeline", timeline)
        _set_size(timeline, clip)
        for kind in ("video", "subtitle"):
            for track in range(1, whole(timeline, "GetTrackCount", kind) + 1):
                on = kind == "video" and track == clip.track
                act(timeline, "SetTrackEnable", kind, track, on)
                if flag(timeline, "GetIsTrackEnabled", kind, track) != on:
                    raise HostError(
                        f"Resolve does not switch {kind} track {track} {'on' if on else 'off'}.",
                        fix="Choose the source `source`.",
                    )
        reset_timeline_grade(timeline)
        items = listed(timeline, "GetItemListInTrack", "video", clip.track)
        spans = [(whole(one, "GetStart"), whole(one, "GetEnd")) for one in items]
        if (clip.start, clip.end) not in spans:
            raise HostError(f"Resolve's duplicate of the timeline lacks {clip.name}.", fix="Try again.")
        if sum(start <= last and first < end for start, end in spans) > 1:
            raise HostError(
                f"a transition reaches into {clip.name}: it would be part of the graded frames.",
                fix="Set in and out marks that leave it out, or choose the source `source`.",
            )
        return first, last

    def _deliver(self, clip: Clip, layer: str, frames: Numbers, marked: Optional[Numbers], raw: str) -> None:
        """Render the open timeline into a folder."""
        session, project = self._session, self._session.project
        size = clip.resolution if all(clip.resolution) else (1920, 1080)
        if self._with_presets():
            name = _name("EXR")
            with tempfile.TemporaryDirectory() as place:
                act(
                    session.resolve,
                    "ImportRenderPreset",
                    exr_preset.write(place, name, layer, frames[0], size),
                )
            # According to the documentation the import loads it as well; this is for versions that do not.
            tell(project, "LoadRenderPreset", name)
        else:
            self._warn(NOT_PUT_BACK)
        self._codec()
        act(project, "SetCurrentRenderMode", SINGLE_CLIP)
        span: Dict[str, Any] = {"SelectAllFrames": True}
        if marked is not None:
            span = {"SelectAllFrames": False, "MarkIn": marked[0], "MarkOut": marked[1]}
        # If one key is unknown, Resolve rejects the whole dict, so the essential ones are set separately.
        act(project, "SetRenderSettings", span)
        # Resolve appends the frame number without a separator.
        act(project, "SetRenderSettings", {"TargetDir": raw, "CustomName": f"{layer}_"})
        act(project, "SetRenderSettings", {"ExportVideo": True, "ExportAudio": False})
        if all(clip.resolution):
            act(project, "SetRenderSettings", {"FormatWidth": size[0], "FormatHeight": size[1]})
        if not tell(project, "SetRenderSettings", {"ExportAlpha": True}):
            self._warn("Resolve writes no alpha channel.")
        elif not tell(project, "SetRenderSettings", {"AlphaMode": PREMULTIPLIED}):
            self._warn("Resolve may write colours that are not multiplied by alpha: soft edges may be off.")
        job = act(project, "AddRenderJob")
        act(project, "StartRendering", [job], isInteractiveMode=False)
        self._watch(str(job), clip.name, raw, frames[1] - frames[0] + 1)

    def _codec(self) -> None:
        """Choose the first EXR codec that Resolve offers and accepts; warn if it has half precision.

        Raises:
            HostError: there is no lossless one.
        """
        project = self._session.project
        ids = list(table(project, "GetRenderCodecs", "exr").values())
        for codec in CODECS:
            if codec in ids and tell(project, "SetCurrentRenderFormatAndCodec", "exr", codec):
                if "Half" in codec:
                    self._warn("Resolve renders EXR in half precision here.")
                return
        raise HostError(
            f"Resolve offers no EXR codec without loss: {', '.join(map(str, ids)) or 'none'}.",
            fix="Choose the source `source` with an EXR sequence.",
        )

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def _watch(self, job: str, name: str, raw: str, count: int) -> None:
        """Wait until Resolve has finished a render.

        Raises:
            HostError: it failed, makes no progress, or the user wants to stop.
        """
        seen, idle, quiet = (-1, -1), 0.0, 0
        while True:
            if self._cancelled():
                raise HostError("stopped while Resolve was rendering.", code=CANCELLED)
            status = tell(self._session.project, "GetRenderJobStatus", job)
            status = status if isinstance(status, dict) else {}
            if status.get("JobStatus") == "Failed":
                raise HostError(
                    f"Resolve could not render {name}: {status.get('Error') or 'it gives no reason'}."
                )
            running = tell(self._session.project, "IsRenderingInProgress")
            # A render that was just started may not be in progress yet.
            quiet = quiet + 1 if running is False else 0
            if status.get("JobStatus") in _ENDED or quiet * POLL_S >= 1:
                return
            now = (int(status.get("CompletionPercentage") or 0), len(os.listdir(raw)))
            self._said(f"Resolve renders {name}: {now[1]} of {count} frames")
            idle = idle + POLL_S if now == seen else 0.0
            seen = now
            if idle >= STALL_S:
                raise HostError(f"Resolve's render of {name} has not got on for {STALL_S / 60:g} minutes.")
            self._wait(POLL_S)


def check_storage(session: Session, folder: str) -> None:
    """Check whether Resolve renders into a folder: it does so only in its Media Storage locations.

    For other folders no job is made, and a window may open that makes every later call fail.

    Raises:
        HostError: the folder is in none of them.
    """
    places = listed(act(session.resolve, "GetMediaStorage"), "GetMountedVolumeList")
    wanted = _comparable(folder)
    if places and not any(wanted.startswith(_comparable(str(place))) for place in places):
        raise HostError(
            f"{folder} is in none of Resolve's media storage locations.",
            fix="Choose a folder in one of them, or add it in Preferences > System > Media Storage.",
        )


def _comparable(folder: str) -> str:
    return os.path.normcase(os.path.realpath(folder)).rstrip("\\/") + os.sep


class Rendering(Aspect):
    """Whether Resolve is rendering; a running render is stopped."""

    name = "the render"

    def __init__(self, session: Session, wait: Callable[[float], None]) -> None:
        self._project, self._wait = session.project, wait

    def read(self) -> Any:
        """Return whether it is."""
        return flag(self._project, "IsRenderingInProgress")

    def change(self, before: Any, now: Any) -> None:
        """Stop the render, and wait until it has stopped."""
        tell(self._project, "StopRendering")
        for _ in range(int(STOP_S / POLL_S)):
            if not tell(self._project, "IsRenderingInProgress"):
                return
            self._wait(POLL_S)


def _refuse_grade(item: Any, clip: Clip) -> None:
    """Look whether a clip on a new timeline has no grade: with remote versions Resolve gives it that of the clip.

    Raises:
        HostError: it has one.
    """
    graph = maybe(item, "GetNodeGraph") if has(item, "GetNodeGraph") else None
    if graph is None or not has(graph, "GetToolsInNode"):
        return
    if any(listed(graph, "GetToolsInNode", node + 1) for node in range(whole(graph, "GetNumNodes"))):
        raise HostError(
            f"Resolve gives {clip.name} its grade on a new timeline, too: the pixels are not its own.",
            fix="Switch on the project's `Use local version for new clips in timeline`, or choose the source `graded`.",
        )


def reset_timeline_grade(timeline: Any) -> None:
    """Remove the grade of the whole timeline from a duplicate, because the user's own timeline applies it again.

    Raises:
        HostError: there is one, and this Resolve cannot remove it.
    """
    graph = maybe(timeline, "GetNodeGraph") if has(timeline, "GetNodeGraph") else None
    if graph is None or not has(graph, "GetToolsInNode"):
        return
    if any(listed(graph, "GetToolsInNode", node + 1) for node in range(whole(graph, "GetNumNodes"))):
        act(graph, "ResetAllGrades")


def _set_size(timeline: Any, clip: Clip) -> None:
    """Set a temporary timeline to the clip's size, so that nothing is scaled.

    Raises:
        HostError: it keeps another size.
    """
    if not all(clip.resolution):
        return
    keys = ("timelineResolutionWidth", "timelineResolutionHeight")
    if _size(timeline, keys) == clip.resolution:
        return
    tell(timeline, "SetSetting", "useCustomSettings", "1")
    for key, value in zip(keys, clip.resolution):
        act(timeline, "SetSetting", key, str(value))
    if _size(timeline, keys) != clip.resolution:
        raise HostError(
            f"Resolve does not make a timeline of {clip.resolution[0]} x {clip.resolution[1]} pixels for {clip.name}.",
            fix="Set the project's timeline resolution to the clip's.",
        )


def _size(timeline: Any, keys: Tuple[str, str]) -> Tuple[int, int]:
    try:
        width, height = (int(float(tell(timeline, "GetSetting", key) or 0)) for key in keys)
    except ValueError:
        return 0, 0
    return width, height


def _collected(raw: str, folder: str, layer: str, frames: Numbers, first: int) -> str:
    """Rename the rendered files to their final numbers and return their pattern.

    Raises:
        HostError: there are other files than expected, or one is incomplete.
        OSError: they cannot be renamed.
    """
    found = sorted(
        (int(match.group(1)), name) for name in os.listdir(raw) for match in [_NUMBER.search(name)] if match
    )
    count = frames[1] - frames[0] + 1
    numbers = [number for number, _ in found]
    if numbers != list(range(numbers[0], numbers[0] + count) if numbers else ()) or len(numbers) != count:
        raise HostError(
            f"Resolve wrote {len(found)} of {count} frames of {layer}.",
            fix="Free room on the disk, look at the clip in Resolve, then try again.",
        )
    pattern = os.path.join(folder, f"{layer}.####.exr")
    for offset, (_, name) in enumerate(found):
        os.replace(os.path.join(raw, name), path_of(pattern, first + offset))
    checked(pattern, (first, first + count - 1))
    return pattern


def _name(what: str) -> str:
    """Return a name that is not used in the project."""
    return f"HarmoVid {what} {uuid.uuid4().hex[:8]}"
