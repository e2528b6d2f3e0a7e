"""Base of all knobs of the stand-in Nuke; a number in a knob is a value, an animation or an expression."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import Any, List, Optional, Tuple, Union

from fakes.nuke_host import tcl
from fakes.nuke_host.host import main_thread_only

INVISIBLE, STARTLINE, DO_NOT_WRITE, DISABLED = 0x400, 0x1000, 0x200, 0x80
Channel = Union[float, "Curve", "Expr"]


@dataclass
class Curve:
    """Animation: values at frames; linear between them, or held (`steps`)."""

    keys: List[Tuple[float, float]] = field(default_factory=list)
    steps: bool = False

    def at(self, frame: float) -> float:
        """Return the value at a frame."""
        frames = [key[0] for key in self.keys]
        after = bisect.bisect_right(frames, frame)
        if after == 0 or after == len(frames):
            return self.keys[0 if after == 0 else -1][1]
        (x0, y0), (x1, y1) = self.keys[after - 1], self.keys[after]
        return y0 if self.steps or frame == x0 else y0 + (y1 - y0) * (frame - x0) / (x1 - x0)

    def set(self, frame: float, value: float) -> None:
        """Put a key."""
        self.keys = sorted([*(key for key in self.keys if key[0] != frame), (frame, value)])


@dataclass(frozen=True)
class Expr:
    """An expression in place of a value."""

    text: str


class Knob:
    """What all knobs have. `spot` is what the knob number in `addUserKnob` stands for."""

    user_type = 0

    def __init__(self, name: str, label: Optional[str] = None) -> None:
        self._name, self._label, self._tooltip = name, label or "", ""
        self._flags = STARTLINE
        self._node: Any = None
        self.user = False
        self.enabled_, self.visible_ = True, True

    @main_thread_only
    def name(self) -> str:
        return self._name

    @main_thread_only
    def label(self) -> str:
        return self._label

    @main_thread_only
    def Class(self) -> str:
        return type(self).__name__

    @main_thread_only
    def node(self) -> Any:
        return self._node

    @main_thread_only
    def setTooltip(self, tooltip: str) -> None:
        self._tooltip = tooltip

    @main_thread_only
    def tooltip(self) -> str:
        return self._tooltip

    @main_thread_only
    def setFlag(self, flag: int) -> None:
        self._flags |= flag

    @main_thread_only
    def clearFlag(self, flag: int) -> None:
        self._flags &= ~flag

    @main_thread_only
    def getFlag(self, flag: int) -> bool:
        return bool(self._flags & flag)

    @main_thread_only
    def setEnabled(self, enabled: bool) -> None:
        self.enabled_ = enabled

    @main_thread_only
    def enabled(self) -> bool:
        return self.enabled_

    @main_thread_only
    def setVisible(self, visible: bool) -> None:
        self.visible_ = visible

    def _changed(self) -> None:
        if self._node is not None:
            self._node.knob_changed(self)


def channel_of(part: tcl.Word) -> Channel:
    if part.kind != tcl.BRACED and not part.text.startswith("curve"):
        return {"true": 1.0, "false": 0.0}[part.text] if part.text in ("true", "false") else float(part.text)
    words = tcl.commands(part.text)[0]
    if words[0].text != "curve":
        return Expr(words[0].text)
    curve, at, step = Curve(), 0.0, 1.0
    for word in words[1:]:
        if word.text == "K":
            curve.steps = True
        elif word.text.startswith("x"):
            at = float(word.text[1:]) - step
        elif word.text not in ("L", "C", "R", "Z"):
            at += step
            curve.keys.append((at, float(word.text)))
    return curve


def channel_text(channel: Channel) -> str:
    if isinstance(channel, Expr):
        quoted = channel.text.replace('"', '\\"')
        return '{"' + quoted + '"}'
    if isinstance(channel, Curve):
        keys = " ".join(f"x{_number(frame)} {_number(value)}" for frame, value in channel.keys)
        return "{curve " + ("K " if channel.steps else "") + keys + "}"
    return _number(channel)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
