"""What media pool items, timelines and timeline items have alike: markers, flags, clip colors, in and out marks."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from fakes.resolve_host.base import Remote
from fakes.resolve_host.model import Marker

MARKER_COLORS = (
    "Blue", "Cyan", "Green", "Yellow", "Red", "Pink", "Purple", "Fuchsia", "Rose", "Lavender", "Sky", "Mint", "Lemon",
    "Sand", "Cocoa", "Cream",
)  # fmt: skip
CLIP_COLORS = (
    "Orange", "Apricot", "Yellow", "Lime", "Olive", "Green", "Teal", "Navy", "Blue", "Purple", "Violet", "Pink", "Tan",
    "Beige", "Brown", "Chocolate",
)  # fmt: skip


class HasMarkers(Remote):
    """Markers by frame offset; one a frame."""

    def AddMarker(
        self, frameId: Any, color: str, name: str, note: str, duration: Any, customData: str = ""
    ) -> bool:
        frame = _frame(frameId)
        if frame is None or frame in self._model.markers or color not in MARKER_COLORS:
            return False
        if not all(isinstance(each, str) for each in (name, note, customData)) or (_frame(duration) or 0) < 1:
            return False
        self._model.markers[frame] = Marker(color, name, note, int(duration), customData)
        self._host.changed()
        return True

    def GetMarkers(self) -> Dict[float, Dict[str, Any]]:
        return {float(frame): marker.told() for frame, marker in sorted(self._model.markers.items())}

    def GetMarkerByCustomData(self, customData: str) -> Dict[str, Any]:
        frame = self._with_data(customData)
        return {} if frame is None else self._model.markers[frame].told()

    def UpdateMarkerCustomData(self, frameId: Any, customData: str) -> bool:
        marker = self._model.markers.get(_frame(frameId))
        if marker is None or not isinstance(customData, str):
            return False
        marker.custom = customData
        self._host.changed()
        return True

    def GetMarkerCustomData(self, frameId: Any) -> str:
        marker = self._model.markers.get(_frame(frameId))
        return marker.custom if marker else ""

    def DeleteMarkersByColor(self, color: str) -> bool:
        found = [frame for frame, each in self._model.markers.items() if color in ("All", each.color)]
        return self._delete(found)

    def DeleteMarkerAtFrame(self, frameNum: Any) -> bool:
        frame = _frame(frameNum)
        return self._delete([frame] if frame in self._model.markers else [])

    def DeleteMarkerByCustomData(self, customData: str) -> bool:
        frame = self._with_data(customData)
        return self._delete([] if frame is None else [frame])

    def _delete(self, frames: List[Any]) -> bool:
        for frame in frames:
            del self._model.markers[frame]
        if frames:
            self._host.changed()
        return bool(frames)

    def _with_data(self, data: str) -> Optional[int]:
        return next(
            (frame for frame, each in sorted(self._model.markers.items()) if each.custom == data), None
        )


class HasColor(HasMarkers):
    """Flags and the clip color of media pool items and timeline items."""

    def AddFlag(self, color: str) -> bool:
        if color not in MARKER_COLORS:
            return False
        if color not in self._model.flags:
            self._model.flags.append(color)
        self._host.changed()
        return True

    def GetFlagList(self) -> List[str]:
        return list(self._model.flags)

    def ClearFlags(self, color: str) -> bool:
        before = len(self._model.flags)
        self._model.flags[:] = [each for each in self._model.flags if color not in ("All", each)]
        self._host.changed()
        return len(self._model.flags) < before

    def GetClipColor(self) -> str:
        return self._model.color

    def SetClipColor(self, colorName: str) -> bool:
        if colorName not in CLIP_COLORS:
            return False
        # Measured: True for titles and generators, too, whose color does not change.
        if getattr(self._model, "kind", "clip") not in ("title", "generator", "transition"):
            self._model.color = colorName
            self._host.changed()
        return True

    def ClearClipColor(self) -> bool:
        self._model.color = ""
        self._host.changed()
        return True


class HasMarks(Remote):
    """In and out marks of media pool items and timelines."""

    def GetMarkInOut(self) -> Dict[str, Dict[str, int]]:
        return {kind: dict(marks) for kind, marks in self._model.marks.items() if marks}

    def SetMarkInOut(self, mark_in: Any, mark_out: Any, type: str = "all") -> bool:
        first, last = _frame(mark_in), _frame(mark_out)
        if first is None or last is None or first > last or type not in ("all", "video", "audio"):
            return False
        for kind in ("video", "audio") if type == "all" else (type,):
            self._model.marks[kind] = {"in": first, "out": last}
        self._host.changed()
        return True

    def ClearMarkInOut(self, type: str = "all") -> bool:
        if type not in ("all", "video", "audio"):
            return False
        for kind in ("video", "audio") if type == "all" else (type,):
            self._model.marks.pop(kind, None)
        self._host.changed()
        return True


def _frame(value: Any) -> Optional[int]:
    """Return a whole number that came as int or float, else None; a bool is no frame."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        return None
    return int(value)
