"""Graph and ColorGroup: nodes, LUTs, CDL."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from fakes.resolve_host import model
from fakes.resolve_host.base import Remote, model_of

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host

CDL_KEYS = {"NodeIndex", "Slope", "Offset", "Power", "Saturation"}


def cdl_of(given: Any) -> Optional[Dict[str, Tuple[float, ...]]]:
    """Return the numbers of a CDL map, all of whose values are text; None where it is none."""
    if (
        not isinstance(given, dict)
        or set(given) != CDL_KEYS
        or not all(isinstance(v, str) for v in given.values())
    ):
        return None
    try:
        found = {key: tuple(float(each) for each in given[key].split()) for key in CDL_KEYS - {"NodeIndex"}}
    except ValueError:
        return None
    lengths = {key: len(values) for key, values in found.items()}
    return found if lengths == {"Slope": 3, "Offset": 3, "Power": 3, "Saturation": 1} else None


def set_lut(host: Host, grade: model.Grade, index: Any, path: str) -> bool:
    """Put a LUT on a node; it is found in the master LUT folder alone, after RefreshLUTList."""
    if not isinstance(index, int) or not 1 <= index <= len(grade.nodes) or not isinstance(path, str):
        return False
    relative = os.path.relpath(path, host.lut_folder) if os.path.isabs(path) else path
    relative = relative.replace(os.sep, "/")
    if path and host.quirks.lut_needs_master_folder and relative not in host.known_luts:
        return False
    grade.nodes[index - 1].lut = relative if path else ""
    host.changed()
    return True


def lut_of(grade: model.Grade, index: Any) -> str:
    """Return the path of a node's LUT, relative to the master folder."""
    return grade.nodes[index - 1].lut if isinstance(index, int) and 1 <= index <= len(grade.nodes) else ""


class Graph(Remote):
    def GetNumNodes(self) -> int:
        return len(self._model.nodes)

    def SetLUT(self, nodeIndex: int, lutPath: str) -> bool:
        return set_lut(self._host, self._model, nodeIndex, lutPath)

    def GetLUT(self, nodeIndex: int) -> str:
        return lut_of(self._model, nodeIndex)

    def GetNodeLabel(self, nodeIndex: int) -> str:
        node = self._node(nodeIndex)
        return node.label if node else ""

    def GetToolsInNode(self, nodeIndex: int) -> List[str]:
        node = self._node(nodeIndex)
        return [] if node is None or not (node.cdl or node.lut or node.function) else ["Primary"]

    def SetNodeEnabled(self, nodeIndex: int, isEnabled: bool) -> bool:
        node = self._node(nodeIndex)
        if node is None:
            return False
        node.enabled = bool(isEnabled)
        self._host.changed()
        return True

    def SetNodeCacheMode(self, nodeIndex: int, cache_value: int) -> bool:
        node = self._node(nodeIndex)
        if node is None or cache_value not in (-1, 0, 1):
            return False
        node.cache = cache_value
        return True

    def GetNodeCacheMode(self, nodeIndex: int) -> Optional[int]:
        node = self._node(nodeIndex)
        return node.cache if node else None

    def ResetAllGrades(self) -> bool:
        self._model.nodes[:] = [model.Node()]
        self._host.changed()
        return True

    def ApplyArriCdlLut(self) -> bool:
        return False

    def ApplyGradeFromDRX(self, path: str, gradeMode: int) -> bool:
        return False

    def _node(self, index: Any) -> Optional[model.Node]:
        nodes = self._model.nodes
        return nodes[index - 1] if isinstance(index, int) and 1 <= index <= len(nodes) else None


class ColorGroup(Remote):
    def GetName(self) -> str:
        return self._model.name

    def SetName(self, groupName: str) -> bool:
        if not groupName or any(each.name == groupName for each in self._host.project.groups):
            return False
        self._model.name = groupName
        return True

    def GetClipsInTimeline(self, timeline: Any = None) -> List[Any]:
        found = model_of(timeline, model.Timeline) if timeline is not None else self._host.project.timeline
        items = found.items("video") if found else []
        return [self._host.wrap(item) for item in items if item.group is self._model]

    def GetPreClipNodeGraph(self) -> Any:
        return Graph(self._host, self._model.before)

    def GetPostClipNodeGraph(self) -> Any:
        return Graph(self._host, self._model.after)
