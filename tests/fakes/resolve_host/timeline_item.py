"""TimelineItem: position, source and properties; takes, grade and Fusion comps are in the files beside."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from fakes.resolve_host import timecode
from fakes.resolve_host.item_comps import HasComps
from fakes.resolve_host.item_grade import HasGrade
from fakes.resolve_host.item_takes import HasTakes
from fakes.resolve_host.markers import HasColor

PROPERTIES: Dict[str, Any] = {
    "Pan": 0.0, "Tilt": 0.0, "ZoomX": 1.0, "ZoomY": 1.0, "ZoomGang": True, "RotationAngle": 0.0, "AnchorPointX": 0.0,
    "AnchorPointY": 0.0, "Pitch": 0.0, "Yaw": 0.0, "FlipX": False, "FlipY": False, "CropLeft": 0.0, "CropRight": 0.0,
    "CropTop": 0.0, "CropBottom": 0.0, "CropSoftness": 0.0, "CropRetain": False, "DynamicZoomEase": 0,
    "CompositeMode": 0, "Opacity": 100.0, "Distortion": 0.0, "RetimeProcess": 0, "MotionEstimation": 0, "Scaling": 0,
    "ResizeFilter": 0,
}  # fmt: skip


class TimelineItem(HasColor, HasTakes, HasGrade, HasComps):
    def GetName(self) -> str:
        hidden = self._model.kind == "transition" and self._host.quirks.empty_name_of_transition
        return "" if hidden else self._model.name

    def SetName(self, name: str) -> bool:
        if not name or not isinstance(name, str):
            return False
        self._model.name = name
        self._host.changed()
        return True

    def GetType(self) -> str:
        return {"clip": "video", "title": "generator"}.get(self._model.kind, self._model.kind)

    def GetUniqueId(self) -> str:
        return self._model.id

    def GetMediaPoolItem(self) -> Any:
        clip = self._model.shown()[0]
        return None if clip is None or clip.deleted else self._host.wrap(clip)

    # Position. Record frames; `end` is the first frame after the item.

    def GetStart(self, subframe_precision: bool = False) -> Any:
        return float(self._model.start) if subframe_precision else self._model.start

    def GetEnd(self, subframe_precision: bool = False) -> Any:
        return float(self._model.end) if subframe_precision else self._model.end

    def GetDuration(self, subframe_precision: bool = False) -> Any:
        length = self._model.end - self._model.start
        return float(length) if subframe_precision else length

    def GetLeftOffset(self, subframe_precision: bool = False) -> Any:
        clip, source_in = self._model.shown()
        # Measured: position / speed, so it says nothing about a retime.
        offset = (source_in - clip.first) / self._model.speed if clip else 0
        return float(offset) if subframe_precision else int(offset)

    def GetRightOffset(self, subframe_precision: bool = False) -> Any:
        clip, source_in = self._model.shown()
        length = self._model.end - self._model.start
        left = (source_in - clip.first) / self._model.speed if clip else 0
        whole = clip.frames / self._model.speed if clip else length
        offset = left + length if self._host.quirks.right_offset_is_source_out else whole - left - length
        return float(offset) if subframe_precision else int(offset)

    def GetSourceStartFrame(self) -> int:
        return self._source(self._model.shown()[1])

    def GetSourceEndFrame(self) -> int:
        length = (self._model.end - self._model.start) * self._model.speed
        return self._source(self._model.shown()[1]) + int(length)

    def GetSourceStartTime(self) -> float:
        return self._seconds(0)

    def GetSourceEndTime(self) -> float:
        return self._seconds((self._model.end - self._model.start) * self._model.speed)

    def _source(self, frame: int) -> int:
        clip = self._model.shown()[0]
        quirks = self._host.quirks
        if clip is None:
            return 0
        return frame - (clip.first if quirks.source_start_from_zero else 0) + quirks.source_start_off

    def _seconds(self, later: float) -> float:
        """Return a time of the source: measured to count from the timecode of its first frame."""
        clip, source_in = self._model.shown()
        if clip is None:
            return 0.0
        first = timecode.to_frame(clip.start_timecode, clip.fps)
        return (first + source_in - clip.first + later) / clip.fps

    def GetTrackTypeAndIndex(self) -> List[Any]:
        for timeline in self._host.project.timelines:
            place = timeline.track_of(self._model)
            if place is not None:
                return [place[0], place[1]]
        return []

    def GetLinkedItems(self) -> List[Any]:
        return [self._host.wrap(item) for item in self._model.linked]

    # Properties.

    def GetProperty(self, propertyKey: Optional[str] = None) -> Any:
        if self._model.kind != "clip":
            return None if propertyKey else {}
        found = {**PROPERTIES, **self._model.properties}
        return found.get(propertyKey) if propertyKey else found

    def SetProperty(self, propertyKey: Any, propertyValue: Any = None) -> bool:
        given = propertyKey if isinstance(propertyKey, dict) else {propertyKey: propertyValue}
        if self._model.kind != "clip" or not given or not set(given) <= set(PROPERTIES):
            return False
        self._model.properties.update(given)
        self._host.changed()
        return True

    def SetClipEnabled(self, Bool: bool) -> bool:
        self._model.enabled = bool(Bool)
        self._host.changed()
        return True

    def GetClipEnabled(self) -> bool:
        return self._model.enabled

    # Caches.

    def SetColorOutputCache(self, cache_value: int) -> bool:
        self._model.caches["color"] = cache_value
        return True

    def GetIsColorOutputCacheEnabled(self) -> int:
        return self._model.caches.get("color", 0)
