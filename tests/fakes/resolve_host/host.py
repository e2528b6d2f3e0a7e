"""A stand-in for DaVinci Resolve that offers only what the version and edition it plays has, misbehaves as the real
one was measured to, and renders real EXR files.

    host = Host(version=(21, 0, 4), studio=True, folder=tmp_path)
    resolve = host.resolve()             # the object that scripts get
    before = snapshot(host)
    ...
    assert snapshot(host) == before and host.violations == []

`host.project` and what hangs on it is plain data (`model.py`), free to read and set; `scene.py` builds projects.
"""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple

from fakes.resolve_host import api, model
from fakes.resolve_host.base import Remote
from fakes.resolve_host.inject import PERFORM, Injector
from fakes.resolve_host.quirks import Quirks
from fakes.resolve_host.rendering import RenderQueue
from fakes.resolve_host.ui_user import User

PAGES = ("media", "photo", "cut", "edit", "fusion", "color", "fairlight", "deliver")
Version = Tuple[int, ...]


class ResolveRuleBroken(TypeError):
    """The plugin called the API in a way that no version of it offers."""


class Host:
    """One running Resolve. Settings are attributes; what the plugin did wrong is in `violations`."""

    def __init__(
        self,
        version: Version = (21, 0, 4),
        studio: bool = True,
        gui: bool = True,
        folder: Optional[Path] = None,
        quirks: Optional[Quirks] = None,
    ) -> None:
        self.version, self.studio, self.gui = tuple(version), studio, gui
        self.folder = Path(folder) if folder else Path.cwd()
        self.quirks = quirks or Quirks()
        self.volumes: List[Path] = [self.folder]
        """What the user has in Media Storage: only there can be rendered to."""
        self.injector = Injector()
        self.violations: List[str] = []
        self.page = self.page_before = "edit"
        self.page_lag = 0
        self.modal = False
        self.closed = False
        self.gallery_panel = False
        self.frontmost = True
        self.lock = threading.RLock()
        self.projects: List[model.Project] = [model.Project("Untitled Project")]
        self.project: model.Project = self.projects[0]
        self.layout_presets: List[str] = ["Default"]
        self.keyframe_mode = 0
        self.lut_folder = self.folder / "LUT"
        self.known_luts: FrozenSet[str] = frozenset()
        self.requested_folder = ""
        """What the user picks in RequestDir and RequestFile; "" is Cancel."""
        self.asked: Optional[Dict[str, Any]] = {}
        """What the user answers in AskUser, by the name of the control; None is Cancel."""
        self.queue = RenderQueue(self)
        self.user = User(self)
        self._methods: Dict[str, FrozenSet[str]] = {}
        self._fusion: Any = None

    # What scripts get.

    def resolve(self) -> Any:
        """Return the Resolve object."""
        from fakes.resolve_host.application import Resolve

        return Resolve(self, self)

    def scriptapp(self, name: str) -> Any:
        """Return what `DaVinciResolveScript.scriptapp` gives a process outside: nothing on the free edition."""
        if name == "Fusion":
            return self.fusion() if self.studio else None
        return self.resolve() if name == "Resolve" and self.studio and not self.closed else None

    def fusion(self) -> Any:
        """Return the Fusion object; it is one for the whole session."""
        from fakes.resolve_host.fusion import Fusion

        if self._fusion is None:
            self._fusion = Fusion(self, self)
        return self._fusion

    def bmd(self) -> ModuleType:
        """Return the module `bmd` that menu scripts find as a global."""
        from fakes.resolve_host import ui

        module = ModuleType("bmd")
        module.UIDispatcher = lambda manager: ui.UIDispatcher(self, manager)  # type: ignore[attr-defined]
        module.scriptapp = self.scriptapp  # type: ignore[attr-defined]
        return module

    def script_globals(self) -> Dict[str, Any]:
        """Return the globals of a script that was started from the Workspace menu: there is no `__file__`."""
        fusion = self.fusion()
        return {
            "__name__": "__main__",
            "resolve": self.resolve(),
            "fusion": fusion,
            "fu": fusion,
            "app": fusion,
            "bmd": self.bmd(),
        }

    def lists_python_scripts(self) -> bool:
        """Return whether Workspace > Scripts shows .py files: not on the free edition from 21.1 on."""
        return self.studio or self.version < (21, 1)

    def has_ui_manager(self) -> bool:
        """Return whether this edition has UIManager: the free one lost it with 19.1."""
        return self.studio or self.version < (19, 1)

    def run_menu_script(self, path: Path) -> Dict[str, Any]:
        """Run a script as the menu does; return its globals.

        Raises:
            LookupError: this edition does not list Python scripts.
        """
        if not self.lists_python_scripts():
            raise LookupError("the free edition of this version lists no Python scripts")
        found = self.script_globals()
        code = compile(path.read_text(encoding="utf-8"), "<string>", "exec")
        exec(code, found)  # noqa: S102
        return found

    # The rules.

    def methods(self, kind: str) -> FrozenSet[str]:
        """Return the names that a class has in this version."""
        if kind not in self._methods:
            self._methods[kind] = api.methods(kind, self.version)
        return self._methods[kind]

    def broken(self, what: str) -> ResolveRuleBroken:
        """Note a misuse, and return it as an error."""
        self.violations.append(what)
        return ResolveRuleBroken(what)

    def call(self, remote: Remote, name: str, args: Tuple[Any, ...], named: Dict[str, Any]) -> Any:
        """Perform one call of the API, or what stands in its place: an injected failure, a dialog, a closed host."""
        kind = type(remote).__name__
        with self.lock:
            instead = self.injector.outcome(f"{kind}.{name}")
            if instead is not PERFORM:
                return instead
            if self.closed:
                return None
            if self.modal and name not in ("GetProductName", "GetVersion", "GetVersionString"):
                return None if name.startswith("Get") else False
            if not self.studio and (kind, name) in api.STUDIO_ONLY:
                self.modal = self.quirks.modal_after_studio_call
                return False
            if remote._gone():
                return None
            method = getattr(type(remote), name, None)
            if method is None:
                self.violations.append(f"the stand-in does not play {kind}.{name}")
                raise NotImplementedError(self.violations[-1])
            method = method.__get__(remote)
            self._check(f"{kind}.{name}", method, args, named)
            answer = method(*args, **named)
            assert api.is_published(kind, name, answer), f"{kind}.{name} answered {answer!r}"
            return self.injector.answer(answer)

    def _check(self, what: str, method: Any, args: Tuple[Any, ...], named: Dict[str, Any]) -> None:
        """Raise where no version of the API takes such arguments; of keywords it takes one."""
        unknown = set(named) - {"isInteractiveMode"}
        if unknown:
            raise self.broken(f"{what} with keywords: {', '.join(sorted(unknown))}")
        try:
            inspect.signature(method).bind(*args, **named)
        except TypeError as error:
            raise self.broken(f"{what}: {error}") from error

    def wrap(self, thing: Any) -> Any:
        """Return a new API object for a piece of data; None for None."""
        from fakes.resolve_host import application, gallery, graph, media_pool, pool_item, project, timeline
        from fakes.resolve_host.timeline_item import TimelineItem

        kinds: Dict[type, Callable[[Host, Any], Any]] = {
            model.Project: project.Project,
            model.Folder: media_pool.Folder,
            model.Clip: pool_item.MediaPoolItem,
            model.Timeline: timeline.Timeline,
            model.Item: TimelineItem,
            model.ColorGroup: graph.ColorGroup,
            model.Album: gallery.GalleryStillAlbum,
            model.Still: gallery.GalleryStill,
            Host: application.Resolve,
        }
        return None if thing is None else kinds[type(thing)](self, thing)

    # What the user does.

    def dismiss(self) -> None:
        """Click the dialog away that a Studio call opened."""
        self.modal = False

    def quit(self) -> None:
        """Close the application: every call from now on returns None."""
        self.queue.stop()
        self.closed = True

    def open_page(self, page: str) -> None:
        """Switch to a page."""
        self.page_lag, self.page_before = self.quirks.page_lag, self.page
        self.page = page

    def changed(self) -> None:
        """Note that the project differs from what is saved."""
        self.project.changed = True
