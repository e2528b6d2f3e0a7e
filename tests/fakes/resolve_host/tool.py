"""Tools of Fusion compositions, and their pictures. Names of tools and inputs are Fusion's own.

An unknown input is refused, so that a misspelt one cannot pass; the real host ignores it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, FrozenSet, List, Optional

import numpy as np
from fakes.resolve_host import custom_tool, pictures
from fakes.resolve_host.base import Call, words
from fakes.resolve_host.lua_table import Table

if TYPE_CHECKING:
    from fakes.resolve_host.comp import Comp
    from fakes.resolve_host.host import Host

TOOL_NAMES = words(
    "SetInput GetInput ConnectInput FindMainInput FindMainOutput SetAttrs GetAttrs Delete GetInputList"
)
LONG = ("Red", "Green", "Blue", "Alpha")
INPUTS: Dict[str, FrozenSet[str]] = {
    "MediaIn": words("GlobalIn GlobalOut"),
    "MediaOut": words("Input"),
    "Loader": words(
        "Clip GlobalIn GlobalOut ClipTimeStart ClipTimeEnd Loop HoldFirstFrame HoldLastFrame MissingFrames"
    )
    | frozenset(f"Clip1.OpenEXRFormat.{name}Name" for name in LONG),
    "Custom": custom_tool.INPUTS,
}
PICTURES = frozenset({"Input", "Image1", "Image2", "Image3"})
"""Inputs that take a tool."""


class FusionObject:
    """Answers every name: published ones with a call, the rest with None."""

    _names: FrozenSet[str] = frozenset()

    def __init__(self, host: Host) -> None:
        object.__setattr__(self, "_host", host)
        object.__setattr__(self, "_model", None)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name.endswith("_") or name in ("rendered", "data", "to_file", "from_file"):
            return object.__getattribute__(self, name)
        return Call(self, name) if name in self._names else self._other(name)  # type: ignore[arg-type]

    def _other(self, name: str) -> Any:
        return None

    def _gone(self) -> bool:
        return False

    def __dir__(self) -> List[str]:
        return sorted(self._names)


class Tool(FusionObject):
    """One tool of a composition; its inputs are attributes, too."""

    _names = TOOL_NAMES

    def __init__(self, host: Host, comp: Comp, kind: str, name: str) -> None:
        super().__init__(host)
        set_ = object.__setattr__
        set_(self, "comp_", comp)
        set_(self, "kind_", kind)
        set_(self, "name_", name)
        set_(self, "values_", {})
        set_(self, "unseen_", {})
        set_(self, "passed_", False)

    def _other(self, name: str) -> Any:
        if name in ("Name", "ID"):
            return self.name_ if name == "Name" else self.kind_
        if name == "Output":
            return self
        return self.values_.get(name) if name in INPUTS[self.kind_] else None

    def __setattr__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def _put(self, name: str, value: Any) -> None:
        if name not in INPUTS[self.kind_]:
            raise self._host.broken(f"{self.kind_} has no input {name!r}")
        if name in PICTURES and not (value is None or isinstance(value, Tool)):
            raise self._host.broken(f"{self.kind_}.{name} was connected to {value!r}")
        comp = self.comp_
        lost = comp.locked_ and not comp.primed_ and name not in PICTURES
        if lost and self._host.quirks.comp_lock_loses_values:
            # Measured: it reads back, and the render does not see it.
            self.unseen_.setdefault(name, self.values_.get(name))
        elif name not in PICTURES:
            comp.primed_ = True
            self.unseen_.clear()
        self.values_[name] = value
        self._host.changed()

    def SetInput(self, input: str, value: Any, time: Any = None) -> None:
        self._put(input, value)

    def GetInput(self, input: str, time: Any = None) -> Any:
        return self.values_.get(input)

    def ConnectInput(self, input: str, target: Any) -> bool:
        self._put(input, target)
        return True

    def GetInputList(self, type: Optional[str] = None) -> Dict[int, str]:
        return dict(enumerate(sorted(INPUTS[self.kind_]), 1))

    def FindMainInput(self, index: int) -> Any:
        return None

    def FindMainOutput(self, index: int) -> Any:
        return self if index == 1 else None

    def SetAttrs(self, attrs: Dict[str, Any]) -> bool:
        unknown = set(attrs) - {"TOOLS_Name", "TOOLB_NameSet", "TOOLB_PassThrough", "TOOLB_Selected"}
        if unknown:
            raise self._host.broken(f"SetAttrs of a tool with {sorted(unknown)}")
        if "TOOLS_Name" in attrs:
            tools = self.comp_.tools_
            tools[attrs["TOOLS_Name"]] = tools.pop(self.name_)
            object.__setattr__(self, "name_", attrs["TOOLS_Name"])
        object.__setattr__(self, "passed_", bool(attrs.get("TOOLB_PassThrough", self.passed_)))
        return True

    def GetAttrs(self) -> Dict[str, Any]:
        return {"TOOLS_Name": self.name_, "TOOLS_RegID": self.kind_, "TOOLB_PassThrough": self.passed_}

    def Delete(self) -> None:
        self.comp_.tools_.pop(self.name_, None)

    # What the stand-in does with it.

    def above_(self) -> List[Tool]:
        """Return this tool and all that feeds it."""
        fed = [value for name, value in self.values_.items() if name in PICTURES and value is not None]
        return [self, *(each for tool in fed for each in tool.above_())]

    def pixels_(self, sources: Dict[str, Any]) -> np.ndarray:
        """Return its picture.

        Raises:
            OSError: a file is missing, or a source.
        """
        seen = {**self.values_, **{name: value for name, value in self.unseen_.items() if value is not None}}
        for name in self.unseen_:
            if self.unseen_[name] is None:
                seen.pop(name, None)
        if self.kind_ == "MediaIn":
            return sources["MediaIn"]
        if self.kind_ == "Loader":
            path = _loader_file(seen, sources["offset"])
            if self._host.quirks.loader_channels_ignored:
                return pictures.read(path, pictures.first_layer(path))
            names = [seen.get(f"Clip1.OpenEXRFormat.{long}Name") or long[0] for long in LONG]
            return pictures.read(path, names)
        if self.kind_ == "Custom":
            return self._custom(seen, sources)
        raise OSError(f"the stand-in does not render the tool {self.name_}")

    def _custom(self, seen: Dict[str, Any], sources: Dict[str, Any]) -> np.ndarray:
        fed = {name: seen[name].pixels_(sources) for name in ("Image1", "Image2", "Image3") if seen.get(name)}
        if "Image1" not in fed:
            raise OSError(f"the tool {self.name_} has no Image1")
        return fed["Image1"] if self.passed_ else custom_tool.render(fed, seen)

    def load_(self, table: Table) -> None:
        """Take the inputs of a file; one that is not known is noted, as the real host ignores it."""
        inputs = table.fields.get("Inputs", Table()).fields
        for name, given in inputs.items():
            source = given.fields.get("SourceOp")
            value = given.fields.get("Value")
            if name in PICTURES:
                self.values_[name] = self.comp_.tools_.get(source)
            elif name in INPUTS.get(self.kind_, {name}):
                self.values_[name] = value.items[0] if isinstance(value, Table) else value
            else:
                self._host.violations.append(f"a comp file sets {self.kind_}.{name}, which there is not")
        for clip in table.fields.get("Clips", Table()).items[:1]:
            self.values_["Clip"] = clip.fields.get("Filename", "")
            self.values_["GlobalIn"] = clip.fields.get("GlobalStart", 0)

    def table_(self) -> Table:
        """Return it as Fusion writes it."""
        inputs = Table()
        for name, value in self.values_.items():
            if isinstance(value, Tool):
                inputs.fields[name] = Table("Input", {"SourceOp": value.name_, "Source": "Output"})
            elif value is not None and name != "Clip":
                inputs.fields[name] = Table("Input", {"Value": value})
        made = Table(self.kind_, {"Inputs": inputs})
        if self.values_.get("Clip"):
            clip = Table("Clip", {"ID": "Clip1", "Filename": self.values_["Clip"]})
            made.fields["Clips"] = Table(items=[clip])
        return made

    def data(self) -> Dict[str, Any]:
        """Return it as plain data."""
        inputs = {k: v.name_ if isinstance(v, Tool) else v for k, v in self.values_.items() if v is not None}
        return {"name": self.name_, "kind": self.kind_, "inputs": inputs, "pass through": self.passed_}


def _loader_file(values: Dict[str, Any], offset: int) -> str:
    """Return the file of a Loader at a frame of the comp: its Clip is the first file of a sequence.

    Raises:
        OSError: it has no clip.
    """
    path = str(values.get("Clip") or "")
    head, tail = os.path.splitext(path)
    digits = len(head) - len(head.rstrip("0123456789"))
    if not path:
        raise OSError("a Loader without a Clip")
    if not digits:
        return path
    frame = (
        int(head[-digits:])
        + int(values.get("ClipTimeStart") or 0)
        + offset
        - int(values.get("GlobalIn") or 0)
    )
    return f"{head[:-digits]}{frame:0{digits}d}{tail}"
