"""Self-test inside a real Resolve, which writes a report to send to us; our own tests use a stand-in only.

    path = run(globals(), "/tmp")          # in a script that Resolve started; a timeline must be open

It makes a bin, a small EXR sequence and a timeline, sends the clip and brings it back in every way with a client that
copies frames, compares pixels, and removes everything again. Nevertheless, use a project that you can lose.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from harmovid_resolve import exr_tiny, render
from harmovid_resolve.batch import Batch, Client
from harmovid_resolve.calls import act, has, listed, number, tell, text, whole
from harmovid_resolve.clip import clip_of, properties
from harmovid_resolve.contract import Task
from harmovid_resolve.errors import HostError
from harmovid_resolve.readback import BIN
from harmovid_resolve.restore import Kept
from harmovid_resolve.restore_project import Bin, BinClips, CurrentTimeline, Folder, Page, Playhead, Timelines
from harmovid_resolve.session import Session, find, session_of
from harmovid_resolve.source import path_of, printf

__all__ = ["METHODS", "REPORT", "Copies", "run"]

REPORT = "harmovid-resolve-selftest.json"
TITLE = "HarmoVid self-test"
FIRST, LAST, SHOWN = 1001, 1012, (1004, 1009)
SIZE = (64, 36)
PASSED, FAILED = "passed", "failed"
COLOUR = (
    "colorScienceMode",
    "colorSpaceInput",
    "colorSpaceTimeline",
    "colorSpaceOutput",
    "colorAcesODT",
    "outputDRT",
)
CLIP = (
    "File Path",
    "Type",
    "Start",
    "End",
    "Frames",
    "FPS",
    "Resolution",
    "Input Color Space",
    "Input Gamma",
)

METHODS = {
    "Resolve": ("GetProductName", "GetVersion", "OpenPage", "GetCurrentPage", "ImportRenderPreset"),
    "Project": ("GetSetting", "SaveAsNewRenderPreset", "LoadRenderPreset", "DeleteRenderPreset", "SetRenderSettings"),
    "Timeline": ("DuplicateTimeline", "GetMarkInOut", "GetSelectedClips", "SetTrackEnable", "GetNodeGraph"),
    "TimelineItem": (
        "AddTake", "GetTakeByIndex", "FinalizeTake", "CopyGrades", "AddVersion", "GetColorGroup", "GetNodeGraph",
        "GetSourceStartTime", "GetTrackTypeAndIndex", "GetFusionCompCount", "SetProperty",
    ),
    "Graph": ("ResetAllGrades", "GetToolsInNode", "GetNumNodes"),
}  # fmt: skip
"""Methods that versions may lack."""


class Copies(Client):
    """A client that copies the first layer: a result equals its input."""

    def request(self, op: str, **fields: Any) -> Iterator[Dict[str, Any]]:
        """Answer `run`."""
        first, last = (int(each) for each in fields["frames"].split("-"))
        pattern = next(iter(fields["inputs"].values()))
        for frame in range(first, last + 1):
            shutil.copyfile(path_of(pattern, frame), path_of(fields["out"], frame))
        yield {"event": "done", "report": {}, "missing_frames": ""}


def pixel(frame: int, x: int, y: int) -> Tuple[float, float, float]:
    """Return the value of a frame of the sequence at a pixel: it contains the frame's number, the position, and values
    below 0 or above 1.
    """
    return (frame - FIRST) / 16, x / 64 + y / 1024, -0.25 if (x + y) % 7 else 12.5


def run(injected: Mapping[str, Any], folder: str, wait: Callable[[float], None] = time.sleep) -> str:
    """Make all checks and return the path of the report.

    Args:
        injected: the globals of the script.
        folder: for the report; in Resolve's media storage, because Resolve renders into it.
        wait: sleeps for a number of seconds.

    Raises:
        HostError: there is no usable Resolve, or no open timeline.
        OSError: the report cannot be written.
    """
    session = session_of(find(injected))
    session.timeline()
    report: Dict[str, Any] = {"checks": {}, "versions": _versions(session)}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        seat = Seat(session, place, wait)
        try:
            for name, check in seat.checks():
                report["checks"][name] = _checked(check)
        finally:
            left = seat.kept.put_back()
    report["checks"]["all is as before"] = {"result": FAILED if left else PASSED, "found": left}
    report["passed"] = all(check["result"] == PASSED for check in report["checks"].values())
    path = os.path.join(folder, REPORT)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1, default=str)
    return path


class Seat:
    """The small project of the checks: made by the first of them and removed by `kept.put_back()`.

    Args:
        session: the Resolve with an open timeline.
        place: a folder that is removed afterwards.
        wait: sleeps for a number of seconds.
    """

    def __init__(self, session: Session, place: str, wait: Callable[[float], None]) -> None:
        self.session, self.place, self.wait = session, place, wait
        own, results = Bin(session, TITLE), Bin(session, BIN)
        self.kept = Kept([
            CurrentTimeline(session), Timelines(session), BinClips(session, own), own, BinClips(session, results),
            results, Folder(session), Playhead(session), Page(session),
        ])  # fmt: skip
        self.timeline: Any = None
        self.item: Any = None

    def checks(self) -> List[Tuple[str, Callable[[], Any]]]:
        """Return the checks by name, in order."""
        found: List[Tuple[str, Callable[[], Any]]] = [
            ("methods", self._methods),
            ("a sequence in the media pool", self._import),
            ("frames on a timeline", self._timeline),
            ("where a clip says it is", self._place),
            ("rendered frames", lambda: self._rendered(False)),
            ("graded frames", lambda: self._rendered(True)),
        ]
        for way in ("pool", "track", "take"):
            for source in ("source", "graded"):
                found.append((f"{way}, {source}", lambda way=way, source=source: self._returned(way, source)))  # type: ignore[misc]
        return found

    def _methods(self) -> Dict[str, List[str]]:
        """Return which methods are missing; that is not a failure."""
        timeline = self.session.timeline()
        item = tell(timeline, "GetCurrentVideoItem")
        things = {
            "Resolve": self.session.resolve,
            "Project": self.session.project,
            "Timeline": timeline,
            "TimelineItem": item,
            "Graph": tell(item, "GetNodeGraph") if has(item, "GetNodeGraph") else None,
        }
        return {
            kind: [name for name in METHODS[kind] if not has(thing, name)]
            for kind, thing in things.items()
            if thing
        }

    def _import(self) -> Dict[str, str]:
        session = self.session
        pattern = os.path.join(self.place, "selftest.####.exr")
        for frame in range(FIRST, LAST + 1):
            rows = [[pixel(frame, x, y) for x in range(SIZE[0])] for y in range(SIZE[1])]
            exr_tiny.write(path_of(pattern, frame), rows)
        folder = act(session.pool, "AddSubFolder", act(session.pool, "GetRootFolder"), TITLE)
        act(session.pool, "SetCurrentFolder", folder)
        info = {"FilePath": printf(pattern), "StartIndex": FIRST, "EndIndex": LAST}
        (self.media,) = act(session.pool, "ImportMedia", [info])
        told = properties(self.media)
        _expect(
            told.get("File Path", "").endswith(f"[{FIRST}-{LAST}].exr"),
            f"the path is {told.get('File Path')}",
        )
        return {name: told.get(name, "") for name in CLIP}

    def _timeline(self) -> Dict[str, int]:
        session = self.session
        self.timeline = act(session.pool, "CreateEmptyTimeline", TITLE)
        act(session.project, "SetCurrentTimeline", self.timeline)
        info = {"mediaPoolItem": self.media, "startFrame": SHOWN[0], "endFrame": SHOWN[1] + 1, "mediaType": 1}
        act(session.pool, "AppendToTimeline", [info])
        (self.item,) = listed(self.timeline, "GetItemListInTrack", "video", 1)
        found = {
            name: whole(self.item, name) for name in ("GetStart", "GetEnd", "GetDuration", "GetLeftOffset")
        }
        found["GetRightOffset"] = whole(self.item, "GetRightOffset")
        _expect(found["GetDuration"] == SHOWN[1] - SHOWN[0] + 1, f"endFrame {SHOWN[1] + 1} gave {found}")
        _expect(found["GetLeftOffset"] == SHOWN[0] - FIRST, f"startFrame {SHOWN[0]} gave {found}")
        return found

    def _place(self) -> Dict[str, Any]:
        clip = clip_of(self.timeline, self.item)
        _expect((clip.first, clip.last) == SHOWN, f"the frames are {clip.first} to {clip.last}")
        _expect(
            (clip.left, clip.right) == (SHOWN[0] - FIRST, LAST - SHOWN[1]),
            f"handles {clip.left}, {clip.right}",
        )
        names = ("GetSourceStartFrame", "GetSourceEndFrame", "GetSourceStartTime", "GetSourceEndTime")
        return {name: number(self.item, name) for name in names if has(self.item, name)}

    def _rendered(self, graded: bool) -> Dict[str, Any]:
        """Have Resolve render the clip and compare the pixels with those of the files."""
        clip = clip_of(self.timeline, self.item)
        made = render.Render(self.session, self.wait)
        pattern = made.run(
            clip, "plate", SHOWN, graded=graded, folder=os.path.join(self.place, f"in{graded}")
        )
        off = max(_difference(path_of(pattern, frame), frame) for frame in range(SHOWN[0], SHOWN[1] + 1))
        managed = self.session.settings().get("colorScienceMode") != "davinciYRGB"
        _expect(managed or off < 1e-3, f"a rendered pixel is off by {off}")
        return {"off by": off, "colour managed": managed, "warnings": made.warnings}

    def _returned(self, way: str, source: str) -> Dict[str, Any]:
        """Send the clip and bring the result back in one way."""
        tell(self.timeline, "SetCurrentTimecode", text(self.timeline, "GetStartTimecode"))
        before = len(listed(self.timeline, "GetItemListInTrack", "video", 1))
        task = Task(
            engine="none", way=way, source=source, folder=os.path.join(self.place, "out"), colour_space="ACEScg",
            selection="playhead",
        )  # fmt: skip
        (outcome,) = Batch(self.session, Copies(), task, wait=self.wait).run()
        _expect(outcome.state == "returned", outcome.text)
        _expect(
            len(listed(self.timeline, "GetItemListInTrack", "video", 1)) == before,
            "items of track 1 have changed",
        )
        self._away(way)
        return {"text": outcome.text, "warnings": list(outcome.warnings)}

    def _away(self, way: str) -> None:
        """Remove the result from the timeline, so that the next check finds only the clip."""
        if way == "track":
            act(self.timeline, "DeleteTrack", "video", whole(self.timeline, "GetTrackCount", "video"))
        if way == "take":
            act(self.item, "SelectTakeByIndex", 1)
            act(self.item, "FinalizeTake")


def _versions(session: Session) -> Dict[str, Any]:
    settings = session.settings()
    return {
        "product": session.product,
        "resolve": session.version_text,
        "python": sys.version,
        "platform": platform.platform(),
        "page": tell(session.resolve, "GetCurrentPage"),
        "colour": {name: settings.get(name, "") for name in COLOUR},
    }


def _checked(check: Callable[[], Any]) -> Dict[str, Any]:
    try:
        return {"result": PASSED, "found": check()}
    except HostError as error:
        return {"result": FAILED, "found": str(error)}
    except Exception:  # the report contains the error
        return {"result": FAILED, "found": traceback.format_exc()}


def _expect(good: bool, words: str) -> None:
    if not good:
        raise HostError(words + ".")


def _difference(path: str, frame: int) -> float:
    """Return the largest difference between a rendered file and the frame it was made of."""
    found = exr_tiny.read(path)
    return max(
        abs(found[name][y][x] - pixel(frame, x, y)[channel])
        for channel, name in enumerate("RGB")
        for y in range(SIZE[1])
        for x in range(SIZE[0])
    )
