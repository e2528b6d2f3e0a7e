"""Knobs of the stand-in Nuke: values, and their text in scripts.

A knob refuses the same values as Nuke: a choice that is not in the list, a component that does not exist.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from fakes.nuke_host import tcl
from fakes.nuke_host.expressions import evaluate
from fakes.nuke_host.files import file_of
from fakes.nuke_host.host import main_thread_only
from fakes.nuke_host.knob_base import (
    DISABLED,
    INVISIBLE,
    STARTLINE,
    Channel,
    Curve,
    Expr,
    Knob,
    channel_of,
    channel_text,
)

__all__ = ["CLASSES", "DISABLED", "INVISIBLE", "STARTLINE", "USER_TYPES"]


class Array_Knob(Knob):
    """One number, or several."""

    user_type = 7
    names = ("",)
    whole = False

    def __init__(self, name: str, label: Optional[str] = None) -> None:
        super().__init__(name, label)
        self._channels: List[Channel] = [0.0] * len(self.names)
        self._range: Optional[Tuple[float, float]] = None

    @main_thread_only
    def setRange(self, low: float, high: float) -> None:
        self._range = (low, high)

    @main_thread_only
    def min(self) -> float:
        return self._range[0] if self._range else 0.0

    @main_thread_only
    def max(self) -> float:
        return self._range[1] if self._range else 1.0

    def at(self, frame: float, index: int = 0, **where: Any) -> float:
        """Return a component at a frame with expressions evaluated (from any thread, as the renderer uses it)."""
        channel = self._channels[min(index, len(self._channels) - 1)]
        if isinstance(channel, Curve):
            return channel.at(frame)
        if isinstance(channel, Expr):
            return float(evaluate(channel.text, lambda name: self._node.named_value(name, frame, **where)))
        return channel

    def _plain(self, frame: float) -> Any:
        values = [self.at(frame, i) for i in range(len(self._channels))]
        values = [int(v) for v in values] if self.whole else values
        # As in Nuke: several equal components are returned as one number.
        return values[0] if all(v == values[0] for v in values) else values

    @main_thread_only
    def value(self, index: int = -1) -> Any:
        now = self._plain(self._frame())
        return now if index < 0 else (now[index] if isinstance(now, list) else now)

    @main_thread_only
    def getValue(self, channel: int = -1) -> Any:
        return self.value(channel)

    @main_thread_only
    def valueAt(self, time: float, index: int = 0) -> Any:
        return self.at(time, index)

    @main_thread_only
    def getValueAt(self, frame: float, index: int = 0) -> Any:
        return self.at(frame, index)

    @main_thread_only
    def setValue(self, val: Any, chan: int = -1) -> bool:
        values = list(val) if isinstance(val, (list, tuple)) else [val] * len(self.names)
        if len(values) != len(self.names):
            raise TypeError(f"{self._name} has {len(self.names)} components, not {len(values)}")
        for i, one in enumerate(values):
            if chan in (-1, i):
                self._put(i, one)
        self._changed()
        return True

    def _put(self, index: int, value: Any) -> None:
        if isinstance(value, str):
            raise TypeError(f"{self._name} takes numbers, not {value!r}")
        channel = self._channels[index]
        if isinstance(channel, Curve):
            channel.set(self._frame(), float(value))
        else:
            self._channels[index] = float(value)

    @main_thread_only
    def setValueAt(self, val: float, time: float, index: int = 0) -> bool:
        channel = self._channels[index]
        if not isinstance(channel, Curve):
            channel = self._channels[index] = Curve()
        channel.set(time, float(val))
        self._changed()
        return True

    @main_thread_only
    def setAnimated(self, channel: int = -1) -> bool:
        for i, one in enumerate(self._channels):
            if channel in (-1, i) and not isinstance(one, Curve):
                self._channels[i] = Curve([(self._frame(), self.at(self._frame(), i))])
        return True

    @main_thread_only
    def clearAnimated(self, channel: int = -1) -> bool:
        for i in range(len(self._channels)):
            if channel in (-1, i):
                self._channels[i] = self.at(self._frame(), i)
        return True

    @main_thread_only
    def isAnimated(self, channel: int = 0) -> bool:
        return isinstance(self._channels[channel], Curve)

    @main_thread_only
    def hasExpression(self, index: int = -1) -> bool:
        return any(isinstance(one, Expr) for one in self._channels)

    @main_thread_only
    def setExpression(self, expression: str, channel: int = -1) -> bool:
        for i in range(len(self._channels)):
            if channel in (-1, i):
                self._channels[i] = Expr(expression)
        self._changed()
        return True

    @main_thread_only
    def fromScript(self, script: str) -> None:
        self.read_script(tcl.commands("x " + script)[0][1])
        self._changed()

    @main_thread_only
    def toScript(self, quote: bool = True) -> str:
        return self.script()

    def read_script(self, word: tcl.Word) -> None:
        """Take the value as a script says it."""
        parts = [one for command in tcl.commands(word.text) for one in command]
        if not parts:
            return
        found = [channel_of(part) for part in parts]
        wide = len(self.names)
        self._channels = [found[min(i, len(found) - 1)] for i in range(wide)]

    def script(self) -> str:
        """Return the value as a script says it."""
        parts = [channel_text(each) for each in self._channels]
        if len(parts) == 1 and not parts[0].startswith("{"):
            return parts[0]
        return "{" + (parts[0] if len(set(parts)) == 1 else " ".join(parts)) + "}"

    def _frame(self) -> float:
        return self._node.host.frame if self._node is not None else 1.0


class Double_Knob(Array_Knob):
    user_type = 7


class Int_Knob(Array_Knob):
    user_type = 3
    whole = True


class ColorChip_Knob(Int_Knob):
    user_type = 0


class Color_Knob(Array_Knob):
    user_type = 18
    names = ("r", "g", "b")


class AColor_Knob(Array_Knob):
    user_type = 19
    names = ("r", "g", "b", "a")


class WH_Knob(Array_Knob):
    user_type = 14
    names = ("w", "h")


class BBox_Knob(Array_Knob):
    user_type = 15
    names = ("x", "y", "r", "t")


class Boolean_Knob(Array_Knob):
    user_type = 6

    @main_thread_only
    def value(self, index: int = -1) -> bool:
        return bool(self.at(self._frame()))

    def script(self) -> str:
        """Return the value as a script says it."""
        channel = self._channels[0]
        return ("true" if channel else "false") if isinstance(channel, float) else super().script()


class Disable_Knob(Boolean_Knob):
    user_type = 0


class String_Knob(Knob):
    """Text. Brackets in it are evaluated where the class says so."""

    user_type = 1
    evaluates = False

    def __init__(self, name: str, label: Optional[str] = None, value: str = "") -> None:
        super().__init__(name, label)
        self._text = value

    @main_thread_only
    def value(self) -> str:
        return self.evaluated(self._frame()) if self.evaluates else self._text

    @main_thread_only
    def getValue(self) -> str:
        return self._text

    @main_thread_only
    def getText(self) -> str:
        return self._text

    @main_thread_only
    def evaluate(self, frame: Optional[float] = None) -> str:
        return self.evaluated(self._frame() if frame is None else frame)

    @main_thread_only
    def setValue(self, val: str) -> bool:
        if not isinstance(val, str):
            raise TypeError(f"{self._name} takes text, not {val!r}")
        self._text = val
        self._changed()
        return True

    @main_thread_only
    def setText(self, val: str) -> bool:
        return self.setValue(val)

    @main_thread_only
    def fromScript(self, script: str) -> None:
        self.read_script(tcl.commands("x " + script)[0][1])
        self._changed()

    @main_thread_only
    def toScript(self, quote: bool = True) -> str:
        return self.script()

    def evaluated(self, frame: float) -> str:
        """Return the text with `[value knob]` and `[file dirname ...]` worked out."""
        return (
            self._node.host.substituted(self._text, self._node, frame)
            if self._node is not None
            else self._text
        )

    def read_script(self, word: tcl.Word) -> None:
        """Take the value as a script says it."""
        self._text = word.text

    def script(self) -> str:
        """Return the value as a script says it."""
        from harmovid_nuke.nk import word

        return word(self._text)

    def _frame(self) -> float:
        return self._node.host.frame if self._node is not None else 1.0


class EvalString_Knob(String_Knob):
    user_type = 0
    evaluates = True


class File_Knob(EvalString_Knob):
    user_type = 2

    @main_thread_only
    def setValue(self, val: str) -> bool:
        if "\\" in val:
            raise ValueError(f"a file name with backslashes: {val!r}")
        return super().setValue(val)

    @main_thread_only
    def evaluate(self, frame: Optional[float] = None) -> str:
        at = self._frame() if frame is None else frame
        return file_of(self.evaluated(at), round(at), self._node.host.view)

    @main_thread_only
    def fromUserText(self, text: str) -> None:
        name, _, span = text.rpartition(" ")
        first, _, last = span.partition("-")
        if not name or not last:
            self.setValue(text)
            return
        self.setValue(name)
        for knob, value in (("first", first), ("last", last), ("origfirst", first), ("origlast", last)):
            self._node[knob].setValue(int(value))


class Multiline_Eval_String_Knob(EvalString_Knob):
    user_type = 43


class PythonKnob(String_Knob):
    user_type = 0


class Channel_Knob(String_Knob):
    user_type = 0

    def script(self) -> str:
        """Return the value as a script says it."""
        return self._text if " " not in self._text else "{" + self._text + "}"


class ChannelMask_Knob(Channel_Knob):
    pass


class MultiView_Knob(Channel_Knob):
    pass


class Enumeration_Knob(Knob):
    """One of several words."""

    user_type = 4

    def __init__(self, name: str, label: Optional[str] = None, items: Any = ()) -> None:
        super().__init__(name, label)
        self._items = [str(item) for item in items]
        self._at: Union[int, Expr] = 0

    def index_at(self, frame: float) -> int:
        """Return the chosen value, with expressions evaluated."""
        if isinstance(self._at, Expr):
            return int(evaluate(self._at.text, lambda name: self._node.named_value(name, frame)))
        return self._at

    def at(self, frame: float, index: int = 0, **where: Any) -> float:
        """Return the index of the chosen value, as expressions get it."""
        return float(self.index_at(frame))

    @main_thread_only
    def value(self) -> str:
        return self._items[self.index_at(1.0)]

    @main_thread_only
    def getValue(self) -> float:
        return float(self.index_at(1.0))

    @main_thread_only
    def values(self) -> List[str]:
        return list(self._items)

    @main_thread_only
    def setValues(self, items: List[str]) -> None:
        now = self._items[self._at] if isinstance(self._at, int) and self._at < len(self._items) else ""
        self._items = [str(item) for item in items]
        self._at = self._items.index(now) if now in self._items else 0

    @main_thread_only
    def setValue(self, val: Any) -> bool:
        item = val
        if isinstance(item, str):
            if item not in self._items:
                raise ValueError(f"{self._name} has no choice {item!r}: {self._items}")
            self._at = self._items.index(item)
        else:
            if not 0 <= int(item) < len(self._items):
                raise ValueError(f"{self._name} has no choice number {item}")
            self._at = int(item)
        self._changed()
        return True

    @main_thread_only
    def fromScript(self, script: str) -> None:
        self.read_script(tcl.commands("x " + script)[0][1])
        self._changed()

    @main_thread_only
    def toScript(self, quote: bool = True) -> str:
        return self.script()

    def read_script(self, word: tcl.Word) -> None:
        """Set the value from script text: a word or an expression."""
        if word.text.startswith("{"):
            self._at = Expr(tcl.commands(tcl.elements(word.text)[0])[0][0].text)
        elif word.text in self._items:
            self._at = self._items.index(word.text)
        else:
            raise ValueError(f"{self._name} has no choice {word.text!r}: {self._items}")

    def script(self) -> str:
        """Return the value as a script says it."""
        from harmovid_nuke.nk import word

        if isinstance(self._at, Expr):
            return "{{" + self._at.text + "}}"
        return word(self._items[self._at]) if self._items else '""'


class Tab_Knob(Knob):
    user_type = 20


class Text_Knob(Knob):
    user_type = 26

    @main_thread_only
    def setValue(self, val: str) -> bool:
        self._label = val
        return True


class Script_Knob(String_Knob):
    user_type = 25

    @main_thread_only
    def execute(self) -> None:
        self._node.host.note("execute", self._node.full_name, self._name)
        if self._name == "reload":  # runs `knob version [expr [value version]+1]`
            version = self._node.knobs_["version"]
            version.setValue(version.value() + 1)


class PyScript_Knob(String_Knob):
    user_type = 22

    def __init__(self, name: str, label: Optional[str] = None, command: str = "") -> None:
        super().__init__(name, label, command)

    @main_thread_only
    def setCommand(self, cmd: str) -> None:
        self._text = cmd

    @main_thread_only
    def command(self) -> str:
        return self._text

    @main_thread_only
    def execute(self) -> None:
        self._node.host.run_script(self._text, self._node, self)


class Gsv_Knob(Knob):
    """Graph Scope Variables: sets of names and texts. Only a script of Nuke 16 or later has it."""

    sets: Dict[str, Dict[str, str]]

    @main_thread_only
    def value(self) -> Dict[str, Dict[str, str]]:
        return {name: dict(values) for name, values in self.sets.items()}


CLASSES: Dict[str, Callable[..., Any]] = {
    cls.__name__: cls
    for cls in (
        Array_Knob, Double_Knob, Int_Knob, ColorChip_Knob, Color_Knob, AColor_Knob, WH_Knob, BBox_Knob, Boolean_Knob,
        Disable_Knob, String_Knob, EvalString_Knob, File_Knob, Multiline_Eval_String_Knob, PythonKnob, Channel_Knob,
        ChannelMask_Knob, MultiView_Knob, Enumeration_Knob, Tab_Knob, Text_Knob, Script_Knob, PyScript_Knob,
    )
}  # fmt: skip
USER_TYPES = {cls.user_type: cls for cls in CLASSES.values() if cls.user_type and cls is not Array_Knob}
