"""Grade of a timeline item: CDL, LUTs, nodes, color groups and versions."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from fakes.resolve_host import graph, luts, model
from fakes.resolve_host.base import Remote, model_of


class HasGrade(Remote):
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
