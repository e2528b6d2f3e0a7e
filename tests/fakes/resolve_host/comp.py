"""Fusion compositions of timeline items: MediaIn, Loader, Custom Tool and MediaOut, rendered with numpy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Optional

import numpy as np
from fakes.resolve_host.base import words
from fakes.resolve_host.lua_table import Table, parse, written
from fakes.resolve_host.tool import INPUTS, FusionObject, Tool

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host

COMP_NAMES = words("AddTool FindTool GetToolList Lock Unlock StartUndo EndUndo SetAttrs GetAttrs AskUser")


class Comp(FusionObject):
    """A composition; a new one has MediaIn1 wired to MediaOut1."""

    _names = COMP_NAMES

    def __init__(self, host: Host, name: str) -> None:
        super().__init__(host)
        self.name_ = name
        self.tools_: Dict[str, Tool] = {}
        self.locked_ = False
        self.primed_ = False
        self.live_ = True
        first, last = self._new("MediaIn"), self._new("MediaOut")
        last.values_["Input"] = first

    def _other(self, name: str) -> Any:
        return self.tools_.get(name)

    def _new(self, kind: str) -> Tool:
        number = next(n for n in range(1, 1000) if f"{kind}{n}" not in self.tools_)
        tool = Tool(self._host, self, kind, f"{kind}{number}")
        self.tools_[tool.name_] = tool
        return tool

    def AddTool(self, id: str, xpos: int = -32768, ypos: int = -32768) -> Any:
        if id not in INPUTS:
            self._host.violations.append(f"AddTool of {id!r}, which the stand-in does not play")
            return None
        self._host.changed()
        return self._new(id)

    def FindTool(self, name: str) -> Any:
        return self.tools_.get(name)

    def GetToolList(self, selected: bool = False, type: Optional[str] = None) -> Dict[int, Any]:
        found = [tool for tool in self.tools_.values() if type in (None, tool.kind_)] if not selected else []
        return dict(enumerate(found, 1))

    def Lock(self) -> bool:
        self.locked_ = True
        return True

    def Unlock(self) -> bool:
        self.locked_ = False
        return True

    def StartUndo(self, name: str) -> None:
        self.primed_ = True

    def EndUndo(self, keep: bool = True) -> None:
        """End a step; nothing is undone here."""

    def SetAttrs(self, attrs: Dict[str, Any]) -> bool:
        self.name_ = attrs.get("COMPS_Name", self.name_)
        return True

    def GetAttrs(self) -> Dict[str, Any]:
        return {"COMPS_Name": self.name_, "COMPB_Locked": self.locked_}

    def AskUser(self, title: str, controls: Dict[int, Dict[Any, Any]]) -> Optional[Dict[str, Any]]:
        known = {"FileBrowse", "PathBrowse", "ClipBrowse", "Slider", "Checkbox", "Position", "Screw", "Text"}
        for control in controls.values():
            if control[2] not in known | {"Dropdown", "Multibutton", "ColorPicker"}:
                raise self._host.broken(f"AskUser with a control {control[2]!r}")
        if not self._host.gui or self._host.asked is None:
            return None
        return {
            control[1]: self._host.asked.get(control[1], control.get("Default"))
            for control in controls.values()
        }

    # What the stand-in does with it.

    def rendered(self, pixels: np.ndarray, frame: int, offset: int) -> np.ndarray:
        """Return what MediaOut1 gives; the clip itself where MediaOut has no path from MediaIn, as was measured.

        Raises:
            OSError: a Loader's file is missing, or a tool lacks its source.
        """
        if self.live_ and self._host.quirks.live_comps_ignored:
            return pixels
        out = self.tools_.get("MediaOut1")
        source = out.values_.get("Input") if out else None
        if source is None or not any(tool.kind_ == "MediaIn" for tool in source.above_()):
            return pixels
        return source.pixels_({"MediaIn": pixels, "offset": offset})

    def data(self) -> Dict[str, Any]:
        """Return it as plain data."""
        return {"name": self.name_, "tools": [tool.data() for tool in self.tools_.values()]}

    def to_file(self, path: str) -> bool:
        """Write it in Fusion's form."""
        if not os.path.isdir(os.path.dirname(path)):
            return False
        tools = Table("ordered()", {name: tool.table_() for name, tool in self.tools_.items()})
        with open(path, "w", encoding="utf-8") as file:
            file.write(written(Table("Composition", {"Tools": tools})) + "\n")
        return True

    @classmethod
    def from_file(cls, host: Host, path: str, name: str) -> Comp:
        """Return the comp of a file; measured: one that cannot be read is an empty comp, and nothing is said."""
        comp = cls(host, name)
        comp.tools_.clear()
        comp.live_ = False
        try:
            with open(path, encoding="utf-8") as file:
                tools = parse(file.read()).fields.get("Tools")
        except (ValueError, OSError):
            return comp
        made = tools.fields if isinstance(tools, Table) else {}
        for title, table in made.items():
            comp.tools_[title] = Tool(host, comp, table.kind, title)
        for title, table in made.items():
            comp.tools_[title].load_(table)
        return comp
