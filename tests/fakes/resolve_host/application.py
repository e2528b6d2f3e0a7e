"""Resolve and MediaStorage."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List, Optional

from fakes.resolve_host import api, formats
from fakes.resolve_host.base import Remote
from fakes.resolve_host.model import Deliver

KEYFRAME_MODES = (0, 1, 2)


class Resolve(Remote):
    def _attribute(self, name: str) -> Any:
        constants = api.constants(self._host.version)
        return constants[name] if name in constants else super()._attribute(name)

    def __dir__(self) -> List[str]:
        return sorted([*super().__dir__(), *api.constants(self._host.version)])

    def Fusion(self) -> Any:
        return self._host.fusion()

    def GetMediaStorage(self) -> Any:
        from fakes.resolve_host.media_pool import MediaStorage

        return MediaStorage(self._host, self._host)

    def GetProjectManager(self) -> Any:
        from fakes.resolve_host.project_manager import ProjectManager

        return ProjectManager(self._host, self._host)

    def OpenPage(self, pageName: str) -> bool:
        from fakes.resolve_host.host import PAGES

        if pageName not in PAGES or (pageName == "photo" and self._host.version < (21,)):
            return False
        self._host.open_page(pageName)
        return True

    def GetCurrentPage(self) -> Optional[str]:
        if self._host.page_lag > 0:
            self._host.page_lag -= 1
            return self._host.page_before
        return self._host.page if self._host.gui else None

    def GetProductName(self) -> str:
        return "DaVinci Resolve Studio" if self._host.studio else "DaVinci Resolve"

    def GetVersion(self) -> List[Any]:
        return [*[*self._host.version, 0, 0, 0, 0][:4], ""]

    def GetVersionString(self) -> str:
        major, minor, patch, build = [*self._host.version, 0, 0, 0, 0][:4]
        return f"{major}.{minor}.{patch}.{build:04d}"

    def GetLayoutPresetList(self) -> List[str]:
        return list(self._host.layout_presets)

    def LoadLayoutPreset(self, presetName: str) -> bool:
        return presetName in self._host.layout_presets

    def SaveLayoutPreset(self, presetName: str) -> bool:
        if presetName in self._host.layout_presets:
            return False
        self._host.layout_presets.append(presetName)
        return True

    def DeleteLayoutPreset(self, presetName: str) -> bool:
        if presetName not in self._host.layout_presets:
            return False
        self._host.layout_presets.remove(presetName)
        return True

    def GetKeyframeMode(self) -> int:
        return self._host.keyframe_mode

    def SetKeyframeMode(self, keyframeMode: int) -> bool:
        if keyframeMode not in KEYFRAME_MODES:
            return False
        self._host.keyframe_mode = keyframeMode
        return True

    def ImportRenderPreset(self, presetPath: str) -> bool:
        deliver = formats.read_preset(Path(presetPath)) if isinstance(presetPath, str) else None
        if deliver is None or deliver.format not in formats.CODECS:
            return False
        project = self._host.project
        project.presets[deliver.preset] = deliver
        project.deliver = loaded(deliver, project.deliver)
        return True

    def ExportRenderPreset(self, presetName: str, exportPath: str) -> bool:
        deliver = self._host.project.presets.get(presetName)
        if deliver is None or not os.path.isdir(os.path.dirname(exportPath)):
            return False
        formats.write_preset(Path(exportPath), deliver)
        return True

    def Quit(self) -> None:
        self._host.quit()


def loaded(preset: Deliver, before: Deliver) -> Deliver:
    """Return the Deliver state after a preset is loaded."""
    state = preset.copy()
    if preset.partial:
        kept = {key: before.settings[key] for key in ("TargetDir", "CustomName") if key in before.settings}
        state.settings = {**kept, **state.settings}
        state.partial = False
    return state
