"""Fusion compositions of a timeline item; the first in the list is the active one."""

from __future__ import annotations

import os
from typing import Any, List

from fakes.resolve_host.base import Remote
from fakes.resolve_host.comp import Comp


class HasComps(Remote):
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
        if self._model.kind != "clip":
            return None
        self._model.comps.append(Comp(self._host, self._free_name()))
        self._host.changed()
        return self._model.comps[-1]

    def _free_name(self) -> str:
        taken = {comp.name_ for comp in self._model.comps}
        return next(name for n in range(1, 1000) for name in [f"Composition {n}"] if name not in taken)

    def LoadFusionCompByName(self, compName: str) -> Any:
        found = HasComps.GetFusionCompByName(self, compName)
        if found is not None:
            self._model.comps.remove(found)
            self._model.comps.insert(0, found)
        return found

    def RenameFusionCompByName(self, oldName: str, newName: str) -> bool:
        found = HasComps.GetFusionCompByName(self, oldName)
        if found is None or not newName or HasComps.GetFusionCompByName(self, newName) is not None:
            return False
        found.name_ = newName
        return True

    def DeleteFusionCompByName(self, compName: str) -> bool:
        found = HasComps.GetFusionCompByName(self, compName)
        if found is None:
            return False
        self._model.comps.remove(found)
        self._host.changed()
        return True

    def ImportFusionComp(self, path: str) -> Any:
        if not os.path.isfile(path):
            return None
        self._model.comps.append(Comp.from_file(self._host, path, self._free_name()))
        self._host.changed()
        return self._model.comps[-1]

    def ExportFusionComp(self, path: str, compIndex: int) -> bool:
        found = HasComps.GetFusionCompByIndex(self, compIndex)
        return found is not None and found.to_file(path)
