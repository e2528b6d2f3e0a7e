"""The Fusion object: what menu scripts find as `fusion`, `fu` and `app`."""

from __future__ import annotations

from typing import Any, FrozenSet

from fakes.resolve_host.base import Call, Remote

NAMES: FrozenSet[str] = frozenset({"GetResolve", "GetCurrentComp", "RequestDir", "RequestFile", "GetAppName"})


class Fusion(Remote):
    """Names beside these resolve to None, as everywhere."""

    def _attribute(self, name: str) -> Any:
        if name == "UIManager":
            return self._manager()
        return Call(self, name) if name in NAMES else None

    def __dir__(self) -> Any:
        return sorted([*NAMES, "UIManager"])

    def _manager(self) -> Any:
        """Return the UIManager; on a free edition without one nothing, and a dialog is opened."""
        from fakes.resolve_host.ui import UIManager

        if self._host.has_ui_manager() and self._host.gui:
            return UIManager(self._host)
        if not self._host.studio:
            self._host.modal = self._host.quirks.modal_after_studio_call
        return None

    def GetResolve(self) -> Any:
        return self._host.resolve()

    def GetAppName(self) -> str:
        return "Resolve"

    def GetCurrentComp(self) -> Any:
        timeline = self._host.project.timeline
        item = timeline.top_item(timeline.playhead) if timeline and self._host.page == "fusion" else None
        return item.comps[0] if item and item.comps else None

    def RequestDir(self, path: str = "") -> Any:
        return self._host.requested_folder or None if self._host.gui else None

    def RequestFile(self, path: str = "") -> Any:
        return self._host.requested_folder or None if self._host.gui else None
