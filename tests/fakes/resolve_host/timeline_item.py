"""TimelineItem: position, source, grade versions, takes and Fusion comps."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from fakes.resolve_host import graph, luts, model
from fakes.resolve_host.base import model_of
from fakes.resolve_host.markers import HasColor

PROPERTIES: Dict[str, Any] = {
    "Pan": 0.0, "Tilt": 0.0, "ZoomX": 1.0, "ZoomY": 1.0, "ZoomGang": True, "RotationAngle": 0.0, "AnchorPointX": 0.0,
    "AnchorPointY": 0.0, "Pitch": 0.0, "Yaw": 0.0, "FlipX": False, "FlipY": False, "CropLeft": 0.0, "CropRight": 0.0,
    "CropTop": 0.0, "CropBottom": 0.0, "CropSoftness": 0.0, "CropRetain": False, "DynamicZoomEase": 0,
    "CompositeMode": 0, "Opacity": 100.0, "Distortion": 0.0, "RetimeProcess": 0, "MotionEstimation": 0, "Scaling": 0,
    "ResizeFilter": 0,
}  # fmt: skip


class TimelineItem(HasColor):
    def GetName(self) -> str:
        hidden = self._model.kind == "transition" and self._host.quirks.empty_name_of_transition
        return "" if hidden else self._model.name

    def SetName(self, name: str) -> bool:
        if not name or not isinstance(name, str):
            return False
        self._model.name = name
        self._host.changed()
        return True

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
        from fakes.resolve_host import timecode

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

    # Takes.

    def AddTake(self, mediaPoolItem: Any, startFrame: Any = None, endFrame: Any = None) -> bool:
        item, clip = self._model, model_of(mediaPoolItem, model.Clip)
        if clip is None or item.kind != "clip":
            return False
        first = clip.first if startFrame is None else int(startFrame)
        last = clip.last if endFrame is None else int(endFrame) - int(self._host.quirks.take_end_exclusive)
        if not clip.first <= first <= last <= clip.last:
            return False
        if not item.takes:
            own_last = item.source_frame(item.end - 1)
            item.takes, item.take = [model.Take(item.clip, item.source_in, own_last)], 1
        item.takes.append(model.Take(clip, first, last))
        if self._host.quirks.add_take_selects:
            item.take = len(item.takes)
        self._host.changed()
        return True

    def GetSelectedTakeIndex(self) -> int:
        return self._model.take if self._model.takes else 0

    def GetTakesCount(self) -> int:
        return len(self._model.takes)

    def GetTakeByIndex(self, idx: int) -> Dict[str, Any]:
        if not self._is_take(idx):
            return {}
        take = self._model.takes[idx - 1]
        end = take.end + int(self._host.quirks.take_end_exclusive)
        return {"startFrame": take.start, "endFrame": end, "mediaPoolItem": self._host.wrap(take.clip)}

    def DeleteTakeByIndex(self, idx: int) -> bool:
        item = self._model
        # The selected take cannot be deleted; the last but one ends the take selector.
        if not self._is_take(idx) or idx == item.take:
            return False
        item.takes.pop(idx - 1)
        item.take -= int(idx < item.take)
        if len(item.takes) == 1:
            self._end_takes()
        self._host.changed()
        return True

    def SelectTakeByIndex(self, idx: int) -> bool:
        if not self._is_take(idx):
            return False
        self._model.take = idx
        self._host.changed()
        return True

    def FinalizeTake(self) -> bool:
        if not self._model.takes:
            return False
        self._end_takes()
        self._host.changed()
        return True

    def _is_take(self, index: Any) -> bool:
        return isinstance(index, int) and 1 <= index <= len(self._model.takes)

    def _end_takes(self) -> None:
        """Let the selected take be the clip, and forget the others."""
        item = self._model
        item.clip, item.source_in = item.shown()
        item.takes, item.take = [], 0

    # Grade.

    def SetCDL(self, cdlMap: Dict[str, Any]) -> bool:
        node = self._node(cdlMap)
        values = graph.cdl_of(cdlMap)
        if node is None or values is None:
            return False
        node.cdl = values
        self._host.changed()
        return True

    def _node(self, cdl: Any) -> Optional[model.Node]:
        try:
            index = int(cdl["NodeIndex"])
        except (TypeError, KeyError, ValueError):
            return None
        nodes = self._model.grade.nodes
        graded = self._model.kind in ("clip", "title", "generator")
        return nodes[index - 1] if graded and 1 <= index <= len(nodes) else None

    def CopyGrades(self, tgtTimelineItems: List[Any]) -> bool:
        if not isinstance(tgtTimelineItems, list):
            return False
        items = [model_of(each, model.Item) for each in tgtTimelineItems]
        if not items or None in items:
            return False
        for item in items:
            item.versions[item.version] = model.Grade(item.grade.name, self._model.grade.copy().nodes)
        self._host.changed()
        return True

    def GetNumNodes(self) -> int:
        return len(self._model.grade.nodes)

    def SetLUT(self, nodeIndex: int, lutPath: str) -> bool:
        return graph.set_lut(self._host, self._model.grade, nodeIndex, lutPath)

    def GetLUT(self, nodeIndex: int) -> str:
        return graph.lut_of(self._model.grade, nodeIndex)

    def GetNodeLabel(self, nodeIndex: int) -> str:
        nodes = self._model.grade.nodes
        return nodes[nodeIndex - 1].label if 1 <= nodeIndex <= len(nodes) else ""

    def GetNodeGraph(self, layerIdx: int = 1) -> Any:
        return graph.Graph(self._host, self._model.grade) if layerIdx == 1 else None

    def GetColorGroup(self) -> Any:
        return self._host.wrap(self._model.group)

    def AssignToColorGroup(self, colorGroup: Any) -> bool:
        group = model_of(colorGroup, model.ColorGroup)
        if group is None:
            return False
        self._model.group = group
        return True

    def RemoveFromColorGroup(self) -> bool:
        had, self._model.group = self._model.group is not None, None
        return had

    def ExportLUT(self, exportType: Any, path: str) -> bool:
        host = self._host
        if host.quirks.export_lut_needs_color_page and host.page != "color":
            return False
        return luts.export(host, self._model.grade, exportType, path)

    # Color versions.

    def AddVersion(self, versionName: str, versionType: int) -> bool:
        versions = self._versions(versionType)
        if versions is None or not versionName or any(each.name == versionName for each in versions):
            return False
        versions.append(model.Grade(versionName, self._model.grade.copy().nodes))
        if versionType == 0:
            self._model.version = len(versions) - 1
        self._host.changed()
        return True

    def GetCurrentVersion(self) -> Dict[str, Any]:
        return {"versionName": self._model.grade.name, "versionType": 0}

    def GetVersionNameList(self, versionType: int) -> List[str]:
        return [each.name for each in self._versions(versionType) or []]

    def LoadVersionByName(self, versionName: str, versionType: int) -> bool:
        index = self._version(versionName, versionType)
        if index is None or versionType != 0:
            return False
        self._model.version = index
        self._host.changed()
        return True

    def DeleteVersionByName(self, versionName: str, versionType: int) -> bool:
        index = self._version(versionName, versionType)
        if index is None or (versionType == 0 and index == self._model.version):
            return False
        (self._versions(versionType) or []).pop(index)
        if versionType == 0 and index < self._model.version:
            self._model.version -= 1
        self._host.changed()
        return True

    def RenameVersionByName(self, oldName: str, newName: str, versionType: int) -> bool:
        index = self._version(oldName, versionType)
        if index is None or not newName or self._version(newName, versionType) is not None:
            return False
        (self._versions(versionType) or [])[index].name = newName
        return True

    def _versions(self, kind: int) -> Optional[List[model.Grade]]:
        return {0: self._model.versions, 1: self._model.remote_versions}.get(kind)

    def _version(self, name: str, kind: int) -> Optional[int]:
        found = [index for index, each in enumerate(self._versions(kind) or []) if each.name == name]
        return found[0] if found else None

    # Fusion comps.

    def GetFusionCompCount(self) -> int:
        return len(self._model.comps)

    def GetFusionCompByIndex(self, compIndex: int) -> Any:
        inside = isinstance(compIndex, int) and 1 <= compIndex <= len(self._model.comps)
        return self._model.comps[compIndex - 1] if inside else None

    def GetFusionCompNameList(self) -> List[str]:
        return [comp.name_ for comp in self._model.comps]

    def GetFusionCompByName(self, compName: str) -> Any:
        return next((comp for comp in self._model.comps if comp.name_ == compName), None)

    def AddFusionComp(self) -> Any:
        from fakes.resolve_host.comp import Comp

        if self._model.kind != "clip":
            return None
        taken = {comp.name_ for comp in self._model.comps}
        number = next(n for n in range(1, 1000) if f"Composition {n}" not in taken)
        self._model.comps.append(Comp(self._host, f"Composition {number}"))
        self._host.changed()
        return self._model.comps[-1]

    def LoadFusionCompByName(self, compName: str) -> Any:
        found = TimelineItem.GetFusionCompByName(self, compName)
        if found is not None:
            self._model.comps.remove(found)
            self._model.comps.insert(0, found)
        return found

    def RenameFusionCompByName(self, oldName: str, newName: str) -> bool:
        found = TimelineItem.GetFusionCompByName(self, oldName)
        if found is None or not newName or TimelineItem.GetFusionCompByName(self, newName) is not None:
            return False
        found.name_ = newName
        return True

    def DeleteFusionCompByName(self, compName: str) -> bool:
        found = TimelineItem.GetFusionCompByName(self, compName)
        if found is None:
            return False
        self._model.comps.remove(found)
        self._host.changed()
        return True

    def ImportFusionComp(self, path: str) -> Any:
        from fakes.resolve_host.comp import Comp

        if not os.path.isfile(path):
            return None
        self._model.comps.append(Comp.from_file(self._host, path))
        self._host.changed()
        return self._model.comps[-1]

    def ExportFusionComp(self, path: str, compIndex: int) -> bool:
        found = TimelineItem.GetFusionCompByIndex(self, compIndex)
        return found is not None and found.to_file(path)

    # Caches.

    def SetColorOutputCache(self, cache_value: int) -> bool:
        self._model.caches["color"] = cache_value
        return True

    def GetIsColorOutputCacheEnabled(self) -> int:
        return self._model.caches.get("color", 0)
