"""UIManager, which makes elements, and UIDispatcher, which makes windows and runs their loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from fakes.resolve_host import ui_kinds
from fakes.resolve_host.ui_elements import Element
from fakes.resolve_host.ui_user import IDLE_S

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host

_TICK_S = 0.01


class UIManager:
    """Makes elements: `ui.Button({...})`; calling the manager itself returns it, as both ways are documented."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __call__(self) -> UIManager:
        return self

    def __getattr__(self, kind: str) -> Any:
        if kind in ("FindWindow", "FindWindows", "QueueEvent"):
            return getattr(self, f"_{kind}")
        if kind not in ui_kinds.KINDS or kind in ("Window", "Dialog"):
            raise self._host.broken(f"UIManager has no element {kind}")
        return lambda *given: Element(self._host, kind, given)

    def _FindWindow(self, name: str) -> Optional[Element]:
        return next(iter(self._FindWindows(name)), None)

    def _FindWindows(self, name: str) -> List[Element]:
        return [each for each in self._host.user.windows if each.values_.get("ID") == name]

    def _QueueEvent(self, element: Element, event: str, info: Dict[str, Any]) -> None:
        self._host.user.does(lambda: element.fire_(event, **info))


class UIDispatcher:
    """Makes windows and runs the loop; `On.Timeout` gets what a timer fires that is in no window."""

    def __init__(self, host: Host, manager: Any) -> None:
        if not isinstance(manager, UIManager):
            raise host.broken("UIDispatcher without a UIManager")
        self._host, self._code, self._depth = host, None, 0
        self.On = _Loose()

    def AddWindow(self, props: Any, children: Any = ()) -> Element:
        return self._add("Window", props, children)

    def AddDialog(self, props: Any, children: Any = ()) -> Element:
        return self._add("Dialog", props, children)

    def _add(self, kind: str, props: Any, children: Any) -> Element:
        inside = [children] if isinstance(children, Element) else list(children)
        window = Element(self._host, kind, (props, inside))
        names = [each.values_["ID"] for each in window.walk_() if each.values_.get("ID")]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not window.values_.get("ID"):
            raise self._host.broken(f"a window without an ID, or IDs twice: {twice}")
        self._host.user.windows.append(window)
        return window

    def RunLoop(self) -> Any:
        """Serve the user until ExitLoop.

        Raises:
            TimeoutError: nobody ended it.
        """
        self._code = _RUNS
        until = time.monotonic() + IDLE_S
        while self._code is _RUNS:
            if self._host.user.next_(_TICK_S):
                until = time.monotonic() + IDLE_S
            self._ring()
            if time.monotonic() > until:
                raise TimeoutError("the loop of the window runs, and nobody does anything")
        return self._code

    def _ring(self) -> None:
        for timer in list(self._host.user.timers_):
            if timer.due_ is not None and time.monotonic() >= timer.due_:
                again = timer.values_.get("Interval", 0) / 1000
                timer.set_("due_", None if timer.values_.get("SingleShot") else time.monotonic() + again)
                timer.fire_("Timeout")
                if self.On.Timeout is not None:
                    self.On.Timeout({"who": timer.values_.get("ID"), "what": "Timeout", "sender": timer})

    def ExitLoop(self, code: Any = None) -> None:
        self._code = code


class _Loose:
    """Handlers of the dispatcher itself."""

    Timeout: Optional[Callable[[Dict[str, Any]], Any]] = None


_RUNS = object()
