"""Timeline: tracks, items, playhead, settings and stills."""

from __future__ import annotations

import base64
import copy
from typing import Any, Dict, List, Optional

import numpy as np
from fakes.resolve_host import model, pictures
from fakes.resolve_host import timecode as codes
from fakes.resolve_host.base import model_of
from fakes.resolve_host.markers import HasMarkers, HasMarks

KINDS = ("video", "audio", "subtitle")
PAGES_WITH_PLAYHEAD = ("cut", "edit", "color", "fairlight", "deliver")
GENERATOR_FRAMES = 120


class Timeline(HasMarkers, HasMarks):
    def GetName(self) -> str:
        return self._model.name

    def SetName(self, timelineName: str) -> bool:
        if not timelineName or any(each.name == timelineName for each in self._host.project.timelines):
            return False
        self._model.name = timelineName
        self._model.clip.name = timelineName
        return True

    def GetUniqueId(self) -> str:
        return self._model.id

    def GetMediaPoolItem(self) -> Any:
        return self._host.wrap(self._model.clip)

    def GetStartFrame(self) -> int:
        return self._model.start_frame

    def GetEndFrame(self) -> int:
        return self._model.end_frame

    def GetStartTimecode(self) -> str:
        return codes.to_text(self._model.start_frame, self._model.fps)

    def SetStartTimecode(self, timecode: str) -> bool:
        frame = codes.to_frame(timecode, self._model.fps)
        if frame < 0:
            return False
        shift = frame - self._model.start_frame
        self._model.start_frame = frame
        self._model.playhead += shift
        for item in self._model.items():
            item.start += shift
            item.end += shift
        self._host.changed()
        return True

    # Tracks.

    def GetTrackCount(self, trackType: str) -> int:
        return len(self._model.tracks.get(trackType, []))

    def AddTrack(self, trackType: str, subTrackType: Any = "") -> bool:
        if trackType not in KINDS:
            return False
        tracks = self._model.tracks.setdefault(trackType, [])
        options = subTrackType if isinstance(subTrackType, dict) else {"audioType": subTrackType}
        subtype = (options.get("audioType") or "mono") if trackType == "audio" else ""
        index = options.get("index", len(tracks) + 1)
        track = model.Track(f"{trackType.capitalize()} {len(tracks) + 1}", trackType, subtype)
        tracks.insert(index - 1 if 1 <= index <= len(tracks) else len(tracks), track)
        self._host.changed()
        return True

    def DeleteTrack(self, trackType: str, trackIndex: int) -> bool:
        track = self._track(trackType, trackIndex)
        if track is None or len(self._model.tracks[trackType]) == 1:
            return False
        for item in track.items:
            item.deleted = True
        self._model.tracks[trackType].remove(track)
        self._host.changed()
        return True

    def GetTrackSubType(self, trackType: str, trackIndex: int) -> str:
        track = self._track(trackType, trackIndex)
        return track.subtype if track else ""

    def SetTrackEnable(self, trackType: str, trackIndex: int, Bool: bool) -> bool:
        if self._host.quirks.track_enable_ignored:
            return self._track(trackType, trackIndex) is not None
        return self._set_track(trackType, trackIndex, "enabled", bool(Bool))

    def GetIsTrackEnabled(self, trackType: str, trackIndex: int) -> bool:
        track = self._track(trackType, trackIndex)
        return bool(track and track.enabled)

    def SetTrackLock(self, trackType: str, trackIndex: int, Bool: bool) -> bool:
        return self._set_track(trackType, trackIndex, "locked", bool(Bool))

    def GetIsTrackLocked(self, trackType: str, trackIndex: int) -> bool:
        track = self._track(trackType, trackIndex)
        return bool(track and track.locked)

    def GetTrackName(self, trackType: str, trackIndex: int) -> str:
        track = self._track(trackType, trackIndex)
        return track.name if track else ""

    def SetTrackName(self, trackType: str, trackIndex: int, name: str) -> bool:
        return self._set_track(trackType, trackIndex, "name", name)

    def _track(self, kind: str, index: Any) -> Optional[model.Track]:
        tracks = self._model.tracks.get(kind, [])
        return tracks[index - 1] if isinstance(index, int) and 1 <= index <= len(tracks) else None

    def _set_track(self, kind: str, index: Any, name: str, value: Any) -> bool:
        track = self._track(kind, index)
        if track is None:
            return False
        setattr(track, name, value)
        self._host.changed()
        return True

    # Items.

    def GetItemListInTrack(self, trackType: str, index: int) -> List[Any]:
        track = self._track(trackType, index)
        return [self._host.wrap(item) for item in track.items] if track else []

    def GetSelectedClips(self) -> List[Any]:
        return [self._host.wrap(item) for item in self._model.selected if not item.deleted]

    def GetCurrentVideoItem(self) -> Any:
        return self._host.wrap(self._model.top_item(self._model.playhead))

    def DeleteClips(self, timelineItems: List[Any], Bool: bool = False) -> bool:
        quirks = self._host.quirks
        if quirks.delete_needs_edit_page and self._host.page != "edit":
            return False
        if quirks.delete_fails_once:
            quirks.delete_fails_once = False
            return False
        items = (
            [model_of(each, model.Item) for each in timelineItems] if isinstance(timelineItems, list) else []
        )
        places = [self._model.track_of(item) if item else None for item in items]
        if not items or any(place is None or place[2].locked for place in places):
            return False
        for item, place in zip(items, places):
            assert place is not None
            place[2].items.remove(item)
            item.deleted = True
            if Bool:
                for later in place[2].items:
                    if later.start >= item.end:
                        later.start -= item.end - item.start
                        later.end -= item.end - item.start
        self._host.changed()
        return True

    def SetClipsLinked(self, timelineItems: List[Any], Bool: bool) -> bool:
        items = [model_of(each, model.Item) for each in timelineItems]
        if None in items:
            return False
        for item in items:
            item.linked = [each for each in items if each is not item] if Bool else []
        return True

    def InsertGeneratorIntoTimeline(self, generatorName: str) -> Any:
        return self._insert("generator", generatorName)

    def InsertTitleIntoTimeline(self, titleName: str) -> Any:
        return self._insert("title", titleName)

    def InsertFusionTitleIntoTimeline(self, titleName: str) -> Any:
        return self._insert("title", titleName)

    def _insert(self, kind: str, name: str) -> Any:
        """Put a title or generator on the first video track at the playhead; None where it is locked or full."""
        track = self._model.tracks["video"][0]
        start = self._model.playhead
        taken = any(each.start < start + GENERATOR_FRAMES and start < each.end for each in track.items)
        if track.locked or taken or not name:
            return None
        item = model.Item(name, kind=kind, start=start, end=start + GENERATOR_FRAMES)
        track.items.append(item)
        track.items.sort(key=lambda each: each.start)
        self._host.changed()
        return self._host.wrap(item)

    # Playhead.

    def GetCurrentTimecode(self) -> str:
        current = self._host.project.timeline
        other = self._host.quirks.playhead_of_current_timeline and current is not None
        shown = current if other else self._model
        return codes.to_text(shown.playhead, shown.fps)

    def SetCurrentTimecode(self, timecode: str) -> bool:
        frame = codes.to_frame(timecode, self._model.fps)
        if frame < 0 or self._host.page not in PAGES_WITH_PLAYHEAD:
            return False
        self._model.playhead = frame
        return True

    # Settings and copies.

    def GetSetting(self, settingName: Optional[str] = None) -> Any:
        found = {**self._host.project.settings, "useCustomSettings": "0", **self._model.settings}
        return found.get(settingName, "") if settingName else found

    def SetSetting(self, settingName: str, settingValue: Any) -> bool:
        known = settingName == "useCustomSettings" or settingName in self._host.project.settings
        own = self._model.settings.get("useCustomSettings") == "1"
        if not known or not (own or settingName == "useCustomSettings") or settingName == "timelineFrameRate":
            return False
        self._model.settings[settingName] = str(settingValue)
        width, height = (
            int(Timeline.GetSetting(self, f"timelineResolution{each}")) for each in ("Width", "Height")
        )
        self._model.size = (width, height)
        self._host.changed()
        return True

    def DuplicateTimeline(self, timelineName: str = "") -> Any:
        project = self._host.project
        name = timelineName or f"{self._model.name} copy"
        if any(each.name == name for each in project.timelines):
            return None
        clip, self._model.clip = self._model.clip, None
        twin = copy.deepcopy(self._model, _shared(self._host))
        self._model.clip = clip
        twin.id, twin.name = model.new_id(), name
        for item in twin.items():
            item.id = model.new_id()
        twin.clip = model.Clip(name, kind="Timeline", fps=twin.fps, size=twin.size, timeline=twin)
        project.folder.clips.append(twin.clip)
        project.timelines.append(twin)
        self._host.changed()
        return self._host.wrap(twin)

    def GetNodeGraph(self) -> Any:
        from fakes.resolve_host.graph import Graph

        return Graph(self._host, self._model.nodes)

    # Stills.

    def GrabStill(self) -> Any:
        project, shown = self._host.project, self._model.top_item(self._model.playhead)
        if shown is None:
            return None
        line, luts = self._model, self._host.lut_folder
        pixels = pictures.frame_of(project, line, line.playhead, line.size, luts)
        project.albums[project.album].stills.append(model.Still("", pixels))
        return self._host.wrap(project.albums[project.album].stills[-1])

    def GetCurrentClipThumbnailImage(self) -> Optional[Dict[str, Any]]:
        host = self._host
        wrong_page = host.quirks.thumbnail_needs_color_page and host.page != "color"
        if (
            wrong_page
            or not host.frontmost
            or not host.gui
            or self._model.top_item(self._model.playhead) is None
        ):
            return None
        pixels = pictures.frame_of(host.project, self._model, self._model.playhead, (96, 54), host.lut_folder)
        data = np.round(np.clip(pixels[..., :3], 0, 1) * 255).astype(np.uint8).tobytes()
        return {
            "width": 96,
            "height": 54,
            "format": "RGB 8 bit",
            "data": base64.b64encode(data).decode("ascii"),
        }


def _shared(host: Any) -> Dict[int, Any]:
    """Return what a copy of a timeline shares with it: the application, and clips and groups of the project."""
    project = host.project
    return {id(each): each for each in [host, *project.clips(), *project.groups]}
