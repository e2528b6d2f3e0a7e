"""A stand-in for Nuke that enforces its rules: threads, knobs, choices, undo, views, rendering to real EXR files.

    host = Host(gui=True)
    install()                            # `import nuke` finds whichever host is there
    host.run_until(lambda: done)         # the main thread's event loop
    assert host.violations == []         # also what the plugin swallowed

`gui=False` is `nuke -t`: nobody serves the main thread's queue, nothing may be asked. What it does not do: draw, play,
convert colour, run without numpy (unless `renderer` names an interpreter that has it).
"""

from __future__ import annotations

import functools
import json
import os
import queue
import re
import sys
import threading
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple

CLASSES_FILE = Path(__file__).resolve().parents[2] / "plugin_nuke" / "node_classes.json"
_LOOP_S = 0.02
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_current: List[Host] = []


class _Nuke(ModuleType):
    """The module `nuke`: that of the current host, so that modules which imported it once meet the next host, too."""

    def __getattr__(self, name: str) -> Any:
        if not _current:
            raise AttributeError(f"no host runs: nuke.{name}")
        return getattr(_current[-1].module, name)


def install() -> None:
    """Make `import nuke` work in this process."""
    sys.modules["nuke"] = _Nuke("nuke")


class HostRuleBroken(RuntimeError):
    """The plugin did something that hangs or crashes Nuke."""


def current() -> Host:
    """Return the host that is installed."""
    return _current[-1]


def main_thread_only(call: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator for functions that Nuke allows on its main thread only."""

    @functools.wraps(call)
    def checked(*args: Any, **kwargs: Any) -> Any:
        current().check_main(call.__qualname__)
        return call(*args, **kwargs)

    return checked


class Host:
    """One running Nuke. Settings are attributes; what happened is in `violations`, `notes` and `messages`."""

    def __init__(
        self, gui: bool = True, version: Tuple[int, int, int] = (16, 0, 8), renderer: str = ""
    ) -> None:
        from fakes.nuke_host import api, nodes

        self.gui, self.version, self.renderer = gui, version, renderer
        self.main = threading.get_ident()
        self.queue: queue.Queue[Callable[[], None]] = queue.Queue()
        self.violations: List[str] = []
        self.notes: List[Tuple[Any, ...]] = []
        self.messages: List[str] = []
        self.answers: List[Any] = []
        self.progress: List[Any] = []
        self.callbacks: Dict[str, List[Tuple[Callable[..., Any], Any, Any]]] = {}
        self.context: List[Tuple[Any, Any]] = []
        self.groups: List[Any] = []
        self.menus: Dict[str, Any] = {}
        self.plugin_path: List[str] = []
        self.cancel_after_frames: Optional[int] = None
        self.before_frame: Callable[[int], None] = lambda frame: None
        self.frame, self.view = 1.0, "main"
        self.views = ["main"]
        self.classes = json.loads(CLASSES_FILE.read_text(encoding="utf-8"))
        _current.append(self)
        self.root = nodes.Root(self)
        self.module: ModuleType = api.module(self)

    def remove(self) -> None:
        """Make the previous host, if any, the current one."""
        _current.remove(self)

    def come_back(self) -> None:
        """Make this host the current one."""
        _current.append(self)

    def give_scope(self, sets: Dict[str, Dict[str, str]]) -> None:
        """Add Graph Scope Variables, as in Nuke 16 and later."""
        from fakes.nuke_host import knobs

        knob = knobs.Gsv_Knob("gsv")
        knob.sets = sets
        self.root.attach(knob)

    # Threads.

    def on_main(self) -> bool:
        """Return whether this is the main thread."""
        return threading.get_ident() == self.main

    def broken(self, what: str) -> HostRuleBroken:
        """Record a broken rule, and return it as an error."""
        self.violations.append(what)
        return HostRuleBroken(what)

    def check_main(self, what: str) -> None:
        """Raise unless this is the main thread."""
        if not self.on_main():
            raise self.broken(f"{what} from the thread {threading.current_thread().name}")

    def pump(self, wait_s: float = 0.0) -> bool:
        """Serve one call of the main thread's queue; return whether there was one."""
        try:
            call = self.queue.get(timeout=wait_s) if wait_s else self.queue.get_nowait()
        except queue.Empty:
            return False
        call()
        return True

    def run_until(self, done: Callable[[], bool], timeout_s: float = 400.0) -> None:
        """Run the main thread's event loop until a condition holds."""
        until = time.monotonic() + timeout_s
        while not done():
            self.pump(_LOOP_S)
            if time.monotonic() > until:
                raise TimeoutError(
                    f"not within {timeout_s} s; notes: {self.notes[-5:]}, messages: {self.messages}"
                )

    def drain(self) -> None:
        """Serve all waiting calls."""
        while self.pump():
            pass

    # Scripts in knobs.

    def note(self, *what: Any) -> None:
        """Record an event."""
        self.notes.append(what)

    def run_script(self, code: str, node: Any, knob: Any) -> None:
        """Run the Python text of a knob, as a button or a callback does."""
        if not code:
            return
        self.context.append((node, knob))
        try:
            exec(compile(code, f"<{node.full_name}>", "exec"), {"nuke": self.module, "__name__": "nuke_knob"})  # noqa: S102
        finally:
            self.context.pop()

    def call_back(self, event: str, node: Any, knob: Any = None) -> None:
        """Run the callbacks of an event."""
        for call, args, kwargs in list(self.callbacks.get(event, ())):
            self.context.append((node, knob))
            try:
                call(*args, **kwargs)
            except Exception:
                self.violations.append(f"callback {event} raised: {traceback.format_exc()}")
            finally:
                self.context.pop()

    def substituted(self, text: str, node: Any, frame: float) -> str:
        """Return text with its Tcl brackets evaluated, the inner ones first."""
        while True:
            match = _BRACKETS.search(text)
            if match is None:
                return text
            text = text[: match.start()] + self._tcl(match.group(1), node, frame) + text[match.end() :]

    def _tcl(self, command: str, node: Any, frame: float) -> str:
        words = command.split(None, 2)
        if words[:1] == ["value"] and len(words) == 2:
            return str(node.named_text(words[1], frame))
        if words[:1] == ["knob"]:
            return node.knobs_[words[1]].script()
        if words[:2] == ["file", "dirname"]:
            return os.path.dirname(words[2])
        if words[:1] == ["getenv"]:
            return os.environ.get(words[1], "")
        raise ValueError(f"Tcl command {command!r} is not known here")
