"""The module `nuke` of the stand-in: functions with Nuke's names and signatures (a test compares them)."""

from __future__ import annotations

import os
import threading
import traceback
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Callable, ClassVar, Dict, List, Optional

from fakes.nuke_host import knobs, rendering, script
from fakes.nuke_host.host import Host, current, main_thread_only
from fakes.nuke_host.nodes import Group, Node, Root, make, read_body

RESULT_WAIT_S = 300.0


class FrameRange:
    """First, last and step."""

    def __init__(self, first: int, last: int, increment: int) -> None:
        self._first, self._last, self._increment = first, last, increment

    def first(self) -> int:
        return self._first

    def last(self) -> int:
        return self._last

    def increment(self) -> int:
        return self._increment


class Format:
    """Size and pixel aspect of a node's pictures."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._width, self._height, self._aspect = args

    def width(self) -> int:
        return self._width

    def height(self) -> int:
        return self._height

    def pixelAspect(self) -> float:
        return self._aspect


class ProgressTask:
    """A progress bar; any thread may own it. The test cancels it by `cancelled = True`."""

    def __init__(self, name: str = "", *args: Any) -> None:
        self.name, self.cancelled, self.values, self.texts = name, False, [], []
        host = current()
        if not host.gui:
            raise host.broken("a ProgressTask in -t mode")
        host.progress.append(self)

    def isCancelled(self) -> bool:
        return self.cancelled

    def setProgress(self, i: int) -> None:
        if not isinstance(i, int) or not 0 <= i <= 100:
            raise current().broken(f"progress of {i!r}")
        self.values.append(i)

    def setMessage(self, s: str) -> None:
        self.texts.append(s)


class Undo:
    """Undo steps: counted, and refused when they are not closed."""

    depth = 0
    disabled = 0
    steps: ClassVar[List[str]] = []

    @staticmethod
    def begin(*args: Any) -> None:
        Undo.depth += 1

    @staticmethod
    def name(s: str) -> None:
        Undo.steps.append(s)

    @staticmethod
    def end() -> None:
        Undo.depth -= 1

    @staticmethod
    def disable() -> None:
        Undo.disabled += 1

    @staticmethod
    def enable() -> None:
        Undo.disabled -= 1


class Menu:
    """A menu, with the commands put into it."""

    def __init__(self, name: str = "") -> None:
        self._name, self.items = name, {}

    def addMenu(self, name: str, icon: str = "", tooltip: str = "", index: int = -1) -> Menu:
        return self.items.setdefault(name, Menu(name))

    def addCommand(
        self, name: str, command: Any = None, shortcut: str = "", icon: str = "", **more: Any
    ) -> Any:
        self.items[name] = SimpleNamespace(command=command, invoke=command)
        return self.items[name]

    def addSeparator(self, **more: Any) -> None:
        return None

    def findItem(self, name: str) -> Any:
        return self.items.get(name)

    def name(self) -> str:
        return self._name


def _here() -> Group:
    host = current()
    return host.groups[-1] if host.groups else host.root


def executeInMainThread(
    call: Callable[..., Any], args: Any = (), kwargs: Optional[Dict[str, Any]] = None
) -> None:
    host = current()
    if host.on_main():
        raise host.broken("executeInMainThread from the main thread: NUKE would hang")
    if not host.gui:
        raise host.broken("executeInMainThread in -t mode: nobody serves the queue")
    told = args if isinstance(args, tuple) else (args,)

    def run() -> None:
        try:
            call(*told, **(kwargs or {}))
        except Exception:
            host.violations.append(f"a call in the main thread raised: {traceback.format_exc()}")

    host.queue.put(run)


def executeInMainThreadWithResult(
    call: Callable[..., Any], args: Any = (), kwargs: Optional[Dict[str, Any]] = None
) -> Any:
    done, box = threading.Event(), []

    def run() -> None:
        try:
            box.append(call(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {})))
        finally:
            done.set()

    executeInMainThread(run)
    done.wait(RESULT_WAIT_S)
    return box[0] if box else None


@main_thread_only
def createNode(typ: str, knobs: str = "", inpanel: bool = True) -> Node:
    made = make(current(), typ, _here())
    selected = selectedNodes()
    read_body(made, knobs)
    if selected and made.maxInputs():
        made.setInput(0, selected[0])
    for one in selected:
        one.setSelected(False)
    made.setSelected(True)
    current().call_back("onCreate", made)
    return made


@main_thread_only
def delete(n: Node) -> None:
    for one in n.parent_.nodes_:
        one.inputs_ = [None if feeding is n else feeding for feeding in one.inputs_]
    n.parent_.nodes_.remove(n)
    current().note("deleted", n.cls)


@main_thread_only
def toNode(s: str) -> Optional[Node]:
    absolute = s.startswith("root.")
    owner: Any = current().root if absolute or "." in s else _here()
    for part in s[len("root.") :].split(".") if absolute else s.split("."):
        owner = next((one for one in owner.nodes_ if one.knobs_["name"]._text == part), None)
        if owner is None:
            return None
    return owner


@main_thread_only
def root() -> Root:
    return current().root


@main_thread_only
def thisNode() -> Any:
    context = current().context
    return context[-1][0] if context else _here()


@main_thread_only
def thisKnob() -> Any:
    context = current().context
    return context[-1][1] if context else None


@main_thread_only
def allNodes(filter: Optional[str] = None, group: Optional[Group] = None) -> List[Node]:
    return [one for one in (group or _here()).nodes_ if filter in (None, one.cls)]


@main_thread_only
def selectedNodes(filter: Optional[str] = None) -> List[Node]:
    return [one for one in _here().nodes_ if one.isSelected()]


@main_thread_only
def nodePaste(s: str) -> Optional[Node]:
    host = current()
    for one in _here().nodes_:
        one.setSelected(False)
    made = script.read(Path(s).read_text(encoding="utf-8"), _here())
    for one in made:
        one.setSelected(True)
        if one.knobs_["onCreate"]._text:
            host.run_script(one.knobs_["onCreate"]._text, one, None)
    return made[-1] if made else None


@main_thread_only
def execute(
    nameOrNode: Any,
    start: int,
    end: int,
    incr: int = 1,
    views: Optional[List[str]] = None,
    continueOnError: bool = False,
) -> None:
    node = toNode(nameOrNode) if isinstance(nameOrNode, str) else nameOrNode
    rendering.execute(
        current(), node, range(start, end + 1, incr), views or [current().view], continueOnError
    )


@main_thread_only
def scriptOpen(filename: Optional[str] = None) -> None:
    host = current()
    host.root.nodes_.clear()
    host.root.knobs_["name"]._text = str(filename)
    script.load(host, Path(str(filename)).read_text(encoding="utf-8"))


@main_thread_only
def scriptSave(filename: Optional[str] = None) -> bool:
    host = current()
    host.call_back("onScriptSave", host.root)
    host.root.knobs_["name"]._text = str(filename or host.root.knobs_["name"]._text)
    Path(host.root.knobs_["name"]._text).write_text(script.write(host.root), encoding="utf-8")
    return True


@main_thread_only
def scriptSaveToTemp(str: str) -> str:
    Path(str).write_text(script.write(current().root), encoding="utf-8")
    return str


@main_thread_only
def scriptClear(*args: Any, **kwargs: Any) -> None:
    host = current()
    host.call_back("onScriptClose", host.root)
    host.root.nodes_.clear()


@main_thread_only
def message(prompt: str) -> None:
    host = current()
    if not host.gui:
        raise host.broken("nuke.message in -t mode")
    host.messages.append(prompt)


@main_thread_only
def ask(prompt: str) -> bool:
    host = current()
    if not host.gui:
        raise host.broken("nuke.ask in -t mode")
    host.messages.append(prompt)
    return bool(host.answers.pop(0)) if host.answers else False


@main_thread_only
def views() -> List[str]:
    return list(current().views)


@main_thread_only
def frame(f: Optional[int] = None) -> int:
    host = current()
    if f is not None:
        host.frame = float(f)
    return int(host.frame)


@main_thread_only
def menu(name: str) -> Menu:
    host = current()
    if not host.gui:
        raise host.broken("nuke.menu in -t mode")
    return host.menus.setdefault(name, Menu(name))


@main_thread_only
def pluginAddPath(args: Any, addToSysPath: bool = True) -> None:
    host = current()
    host.plugin_path += [args] if isinstance(args, str) else list(args)


@main_thread_only
def pluginPath() -> List[str]:
    return list(current().plugin_path)


@main_thread_only
def tprint(value: Any, *more: Any, **kwargs: Any) -> None:
    current().note("tprint", str(value))


@main_thread_only
def error(message: str) -> None:
    current().note("error", message)


@main_thread_only
def activeViewer() -> Any:
    viewers = [one for one in current().root.nodes_ if one.cls == "Viewer"]
    return SimpleNamespace(node=lambda: viewers[0], view=lambda: current().view) if viewers else None


def _registrar(event: str) -> Callable[..., None]:
    @main_thread_only
    def add(call: Any, args: Any = (), kwargs: Optional[Dict[str, Any]] = None, nodeClass: str = "*") -> None:
        current().callbacks.setdefault(event, []).append((call, args, kwargs or {}))

    return add


class _Nodes:
    """`nuke.nodes`: makes a node without touching the selection."""

    def __getattr__(self, cls: str) -> Callable[..., Node]:
        @main_thread_only
        def create(**values: Any) -> Node:
            made = make(current(), cls, _here())
            inputs = values.pop("inputs", [])
            for index, one in enumerate(inputs):
                made.setInput(index, one)
            for name, value in values.items():
                made.setName(value) if name == "name" else made[name].setValue(value)
            return made

        return create


FUNCTIONS = (
    executeInMainThread, executeInMainThreadWithResult, createNode, delete, toNode, root, thisNode, thisKnob, allNodes,
    selectedNodes, nodePaste, execute, scriptOpen, scriptSave, scriptSaveToTemp, scriptClear, message, ask, views,
    frame, menu, pluginAddPath, pluginPath, tprint, error, activeViewer,
)  # fmt: skip
EVENTS = (
    "KnobChanged",
    "OnCreate",
    "OnScriptLoad",
    "OnScriptSave",
    "OnScriptClose",
    "UpdateUI",
    "BeforeRender",
)


def module(host: Host) -> ModuleType:
    """Return the module `nuke` of a host."""
    made: Any = ModuleType("nuke")
    for function in FUNCTIONS:
        setattr(made, function.__name__, function)
    for event in EVENTS:
        setattr(made, f"add{event}", _registrar(event[0].lower() + event[1:]))
    for name, cls in knobs.CLASSES.items():
        setattr(made, name, cls)
    for cls in (Node, Group, Root, FrameRange, Format, ProgressTask, Undo, Menu):
        setattr(made, cls.__name__, cls)
    made.nodes = _Nodes()
    made.GUI, made.env = host.gui, {"gui": host.gui, "nc": False, "indie": False, "studio": False}
    made.INVISIBLE, made.STARTLINE, made.DISABLED = knobs.INVISIBLE, knobs.STARTLINE, knobs.DISABLED
    major, minor, release = host.version
    made.NUKE_VERSION_MAJOR, made.NUKE_VERSION_MINOR, made.NUKE_VERSION_RELEASE = major, minor, release
    made.NUKE_VERSION_STRING = f"{major}.{minor}v{release}"
    made.EXE_PATH = os.environ.get("FAKE_NUKE", "/usr/local/Nuke/Nuke")
    made.INPUTS, made.HIDDEN_INPUTS, made.EXPRESSIONS = 1, 2, 4
    made.TO_SCRIPT, made.WRITE_NON_DEFAULT_ONLY = 0x10, 0x20
    return made
