"""Nodes of the stand-in Nuke: knobs by the table of classes, inputs, Groups, callbacks."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, List, Optional, Tuple

from fakes.nuke_host import knobs as k
from fakes.nuke_host import tcl
from fakes.nuke_host.host import Host, main_thread_only

DYNAMIC = ("file_type",)
"""Knobs whose value adds others: a Write has EXR's knobs only after its type is set."""


class Node:
    """One node. Plain names (`full_name`, `inputs_`, `knobs_`) are for the stand-in itself, without the thread rule."""

    def __init__(self, host: Host, cls: str, parent: Optional[Group]) -> None:
        if cls not in host.classes:
            raise RuntimeError(f'{cls}: Unknown command: "{cls}"')
        self.host, self.cls, self.parent_ = host, cls, parent
        self.inputs_: List[Optional[Node]] = []
        self.loaded: Dict[Any, Any] = {}
        self.knobs_: Dict[str, Any] = {}
        self._quiet = True
        for table in (host.classes[""], host.classes[cls]):
            self._take(table["knobs"])
        self._quiet = False
        if parent is not None:
            self.knobs_["name"]._text = parent.free_name(cls)
            parent.nodes_.append(self)

    def _take(self, table: Dict[str, Any]) -> None:
        for name, (kind, default, *choices) in table.items():
            knob = k.CLASSES[kind](name, None, *choices) if choices else k.CLASSES[kind](name)
            self.attach(knob)
            if default != "":
                knob.setValue(default)

    def attach(self, knob: Any) -> None:
        """Give a knob to this node."""
        knob._node = self
        self.knobs_[knob._name] = knob

    @property
    def full_name(self) -> str:
        """The name with those of the Groups around it."""
        own = self.knobs_["name"]._text
        outer = (
            self.parent_.full_name + "." if isinstance(self.parent_, Group) and self.parent_.parent_ else ""
        )
        return outer + own

    def knob_changed(self, knob: Any) -> None:
        """React to a change: add the knobs of a file type, run the callbacks."""
        more = self.host.classes[self.cls].get("by_file_type", {})
        if (
            knob._name in DYNAMIC
            and knob.value() in more
            and not more[knob.value()].keys() <= self.knobs_.keys()
        ):
            self._take(more[knob.value()])
        if self._quiet or self.parent_ is None:
            return
        self.host.run_script(self.knobs_["knobChanged"]._text, self, knob)
        self.host.call_back("knobChanged", self, knob)

    def named_value(self, name: str, frame: float, **where: Any) -> float:
        """Return the number that a name in an expression of this node stands for.

        Raises:
            ExpressionError: there is no such name.
        """
        knob, component = self._find(name)
        if knob is None:
            if name == "frame":
                return frame
            from fakes.nuke_host.expressions import ExpressionError

            raise ExpressionError(f"{self.full_name}: nothing is named {name!r}")
        names = getattr(knob, "names", ("",))
        return knob.at(frame, names.index(component) if component else 0, **where)

    def named_text(self, name: str, frame: float) -> Any:
        """Return the text that `[value name]` stands for."""
        knob, _ = self._find(name)
        return knob.evaluated(frame) if isinstance(knob, k.String_Knob) else knob.at(frame)

    def _find(self, name: str) -> Any:
        """Return the knob that a dotted name means, and the component behind it."""
        owner: Any = self
        parts = name.split(".")
        while len(parts) > 1:
            if parts[0] == "parent":
                owner = owner.parent_
            elif parts[0] == "root":
                owner = self.host.root
            elif parts[0] != "this":
                inside = getattr(owner.parent_, "nodes_", []) if owner is self else []
                found = [one for one in inside if one.knobs_["name"]._text == parts[0]]
                if not found:
                    break
                owner = found[0]
            parts = parts[1:]
        return owner.knobs_.get(parts[0]), parts[1] if len(parts) > 1 else ""

    # What Nuke offers.

    @main_thread_only
    def name(self) -> str:
        return self.knobs_["name"]._text

    @main_thread_only
    def fullName(self) -> str:
        return self.full_name

    @main_thread_only
    def setName(self, name: str, uncollide: bool = True, updateExpressions: bool = False) -> None:
        taken = (
            {one.knobs_["name"]._text for one in self.parent_.nodes_ if one is not self}
            if self.parent_
            else set()
        )
        while name in taken:
            stem = name.rstrip("0123456789")
            name = f"{stem}{int(name[len(stem) :] or 0) + 1}"
        self.knobs_["name"]._text = name

    @main_thread_only
    def Class(self) -> str:
        return self.cls

    @main_thread_only
    def knob(self, p: Any) -> Any:
        return self.knobs_.get(p)

    @main_thread_only
    def knobs(self) -> Dict[str, Any]:
        return dict(self.knobs_)

    @main_thread_only
    def allKnobs(self) -> List[Any]:
        return list(self.knobs_.values())

    @main_thread_only
    def __getitem__(self, name: str) -> Any:
        if name not in self.knobs_:
            raise NameError(f"knob {name} does not exist")
        return self.knobs_[name]

    @main_thread_only
    def addKnob(self, knob: Any) -> None:
        if knob._name in self.knobs_:
            raise self.host.broken(f"{self.full_name} has a knob {knob._name} already")
        knob.user = True
        self.attach(knob)

    @main_thread_only
    def removeKnob(self, knob: Any) -> None:
        if not knob.user or self.knobs_.get(knob._name) is not knob:
            raise ValueError(f"{knob._name} is no user knob of {self.full_name}")
        if any(running is knob for _, running in self.host.context):
            raise self.host.broken(f"{knob._name} is removed while its own callback runs: Nuke would crash")
        del self.knobs_[knob._name]

    @main_thread_only
    def readKnobs(self, s: str) -> None:
        read_body(self, s)

    @main_thread_only
    def writeKnobs(self, flags: int = 0) -> str:
        return "\n".join(body_lines(self, ""))

    def input(self, index: int) -> Optional[Node]:
        self.host.check_main("Node.input")
        return self.inputs_[index] if index < len(self.inputs_) else None

    @main_thread_only
    def setInput(self, i: int, node: Optional[Node]) -> bool:
        if i >= self.maxInputs():
            raise ValueError(f"{self.full_name} has no input {i}")
        self.inputs_ += [None] * (i + 1 - len(self.inputs_))
        self.inputs_[i] = node
        self.host.call_back("inputChange", self)
        return True

    @main_thread_only
    def parent(self) -> Any:
        return self.parent_

    @main_thread_only
    def inputs(self) -> int:
        return max((i + 1 for i, one in enumerate(self.inputs_) if one is not None), default=0)

    @main_thread_only
    def maxInputs(self) -> int:
        return int(self.host.classes[self.cls]["inputs"])

    @main_thread_only
    def dependencies(self, mask: int) -> List[Node]:
        return [one for one in self.inputs_ if one is not None]

    @main_thread_only
    def setXYpos(self, x: int, y: int) -> None:
        self.knobs_["xpos"].setValue(int(x))
        self.knobs_["ypos"].setValue(int(y))

    @main_thread_only
    def xpos(self) -> int:
        return int(self.knobs_["xpos"].value())

    @main_thread_only
    def ypos(self) -> int:
        return int(self.knobs_["ypos"].value())

    @main_thread_only
    def setSelected(self, selected: bool) -> None:
        self.knobs_["selected"]._channels = [float(selected)]

    @main_thread_only
    def isSelected(self) -> bool:
        return bool(self.knobs_["selected"]._channels[0])

    @main_thread_only
    def showControlPanel(self, forceFloat: bool = False) -> None:
        if not self.host.gui:
            raise self.host.broken("showControlPanel in -t mode")

    @main_thread_only
    def hasError(self) -> bool:
        if self.host.renderer:
            from fakes.nuke_host import rendering

            return bool(rendering.ask(self.host, "error", self))
        from fakes.nuke_host import images

        try:
            images.picture(self, self.host.frame, self.host.view)
        except images.RenderError:
            return True
        return False

    @main_thread_only
    def channels(self) -> List[str]:
        if self.host.renderer:
            from fakes.nuke_host import rendering

            return list(rendering.ask(self.host, "channels", self))
        from fakes.nuke_host import images

        return images.channel_names(self, self.host.frame, self.host.view)

    @main_thread_only
    def format(self) -> Any:
        from fakes.nuke_host import api

        if self.host.renderer:
            from fakes.nuke_host import rendering

            return api.Format(*rendering.ask(self.host, "format", self))
        from fakes.nuke_host import images

        return api.Format(*images.format_of(self, self.host.frame, self.host.view))

    @main_thread_only
    def sample(self, c: str, x: float, y: float) -> float:
        from fakes.nuke_host import images

        return images.sample(images.picture(self, self.host.frame, self.host.view), c, x, y)

    @main_thread_only
    def opHashes(self) -> List[int]:
        return [int(hashlib.sha256("\n".join(body_lines(self, "")).encode()).hexdigest()[:12], 16)]

    @main_thread_only
    def upstreamFrameRange(self, i: int) -> Any:
        from fakes.nuke_host import api

        if self.input(i) is None:
            return None
        first, last = frame_range(self.inputs_[i])
        return api.FrameRange(first, last, 1)


class Group(Node):
    """A node with nodes inside."""

    def __init__(self, host: Host, cls: str, parent: Optional[Group]) -> None:
        self.nodes_: List[Node] = []
        super().__init__(host, cls, parent)

    def free_name(self, cls: str) -> str:
        """Return a name that no node in here has."""
        taken, count = {one.knobs_["name"]._text for one in self.nodes_}, 1
        while f"{cls}{count}" in taken:
            count += 1
        return f"{cls}{count}"

    @main_thread_only
    def maxInputs(self) -> int:
        return len([one for one in self.nodes_ if one.cls == "Input"])

    @main_thread_only
    def nodes(self) -> List[Node]:
        return list(self.nodes_)

    @main_thread_only
    def node(self, s: str) -> Optional[Node]:
        return next((one for one in self.nodes_ if one.knobs_["name"]._text == s), None)

    @main_thread_only
    def begin(self) -> Group:
        self.host.groups.append(self)
        return self

    @main_thread_only
    def end(self) -> None:
        self.host.groups.remove(self)

    def __enter__(self) -> Group:
        return self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()


class Root(Group):
    """The script itself."""

    def __init__(self, host: Host) -> None:
        super().__init__(host, "Group", None)
        made = (
            k.Int_Knob("first_frame"), k.Int_Knob("last_frame"), k.Boolean_Knob("proxy"), k.Double_Knob("fps"),
            k.String_Knob("colorManagement"), k.File_Knob("OCIO_config"), k.String_Knob("workingSpaceLUT"),
            k.WH_Knob("format_size"), k.Double_Knob("pixel_aspect"),
        )  # fmt: skip
        for knob in made:
            self.attach(knob)
        for name, value in (("first_frame", 1), ("last_frame", 100), ("fps", 24), ("pixel_aspect", 1)):
            self.knobs_[name].setValue(value)
        self.knobs_["format_size"].setValue([64, 36])
        self.knobs_["colorManagement"].setValue("Nuke")
        self.knobs_["name"]._text = ""
        self.changed = False

    @main_thread_only
    def modified(self) -> bool:
        return self.changed

    @main_thread_only
    def setModified(self, modified: bool) -> None:
        self.changed = modified


def frame_range(node: Optional[Node]) -> Tuple[int, int]:
    """Return the frames that a node has: those of the Read at its top, moved as the nodes between move them."""
    moved = 0
    while node is not None and node.cls != "Read" and node.inputs_:
        if node.cls == "TimeOffset":
            moved += int(node.knobs_["time_offset"].at(1))
        node = node.inputs_[0]
    if node is not None and node.cls == "Read":
        return int(node.knobs_["first"].at(1)) + moved, int(node.knobs_["last"].at(1)) + moved
    return 1, 1


def make(host: Host, cls: str, parent: Group) -> Node:
    """Make a node of a class."""
    return (Group if cls == "Group" else Node)(host, cls, parent)


def read_body(node: Node, text: str) -> None:
    """Take knob values and user knobs from the body of a node in a script.

    Raises:
        ValueError: a knob that the class does not have.
    """
    if not node.host.on_main():
        raise node.host.broken("a script is read off the main thread")
    for name, *values in tcl.commands(text):
        if name.text == "inputs":
            continue
        if name.text == "addUserKnob":
            add_user_knob(node, values[0].text)
        elif name.text not in node.knobs_:
            raise ValueError(f"{node.cls} has no knob {name.text!r}")
        elif name.text == "name":
            node.setName(values[0].text)
        else:
            node.knobs_[name.text].read_script(values[0])
            if name.text in DYNAMIC:
                node.knob_changed(node.knobs_[name.text])


def add_user_knob(node: Node, text: str) -> None:
    """Make the knob that an `addUserKnob` line describes."""
    number, name, *rest = [word.text for word in tcl.commands(text)[0]]
    cls = k.USER_TYPES[int(number)]
    said = {"l": "", "t": "", "T": "", "M": "", "R": ""}
    flags: List[str] = []
    while rest:
        key = rest.pop(0)
        if key[0] in "+-":
            flags.append(key)
        elif key == "R":
            said["R"] = f"{rest.pop(0)} {rest.pop(0)}"
        else:
            said[key] = rest.pop(0)
    knob = cls(name, said["l"], tcl.elements(said["M"])) if said["M"] else cls(name, said["l"])
    knob._tooltip = said["t"]
    if said["T"]:
        knob._text = said["T"]
    if said["R"]:
        low, high = said["R"].split()
        knob._range = (float(low), float(high))
    if "+INVISIBLE" in flags:
        knob._flags |= k.INVISIBLE
    if "-STARTLINE" in flags:
        knob._flags &= ~k.STARTLINE
    node.addKnob(knob)


def body_lines(node: Node, indent: str) -> List[str]:
    """Return the knob lines of a node as a script says them: what differs from the class, and the user's knobs."""
    plain = Node.__new__(Node)
    plain.host, plain.cls, plain.parent_, plain.knobs_, plain._quiet = node.host, node.cls, None, {}, True
    for table in (node.host.classes[""], node.host.classes[node.cls]):
        plain._take(table["knobs"])
    lines: List[str] = []
    for name, knob in node.knobs_.items():
        if knob.user:
            lines += [f"{indent}{line}" for line in _user_lines(knob)]
        elif hasattr(knob, "script") and name not in ("selected",):
            text = knob.script()
            if name not in plain.knobs_ or plain.knobs_[name].script() != text:
                lines.append(f"{indent}{name} {text}")
    return lines


def _user_lines(knob: Any) -> List[str]:
    from harmovid_nuke.nk import number, word

    said = [f"{knob.user_type} {knob._name} l {word(knob._label)}"]
    if knob._tooltip:
        said.append(f"t {word(knob._tooltip)}")
    if knob._flags & k.INVISIBLE:
        said.append("+INVISIBLE")
    if not knob._flags & k.STARTLINE:
        said.append("-STARTLINE")
    if isinstance(knob, k.Enumeration_Knob):
        said.append("M {" + " ".join(word(item) for item in knob._items) + "}")
    if getattr(knob, "_range", None):
        said.append("R " + " ".join(number(each) for each in knob._range))
    if isinstance(knob, k.PyScript_Knob):
        return ["addUserKnob {" + " ".join([*said, f"T {word(knob._text)}"]) + "}"]
    lines = ["addUserKnob {" + " ".join(said) + "}"]
    return [*lines, f"{knob._name} {knob.script()}"] if hasattr(knob, "script") else lines
