"""The user of UIManager's windows, as a test plays them.

host.user.does(lambda: host.user.click("go"))       # in the order given, once RunLoop runs
host.user.waits_for(lambda: done)
host.user.does(lambda: host.user.close("panel"))
"""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host
    from fakes.resolve_host.ui_elements import Element

IDLE_S = 300.0
"""So long nothing may happen."""


class User:
    """Who sits before the windows: finds elements by ID, and does to them what a person can do."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.windows: List[Element] = []
        self.handlers_: Dict[Any, Callable[[Dict[str, Any]], Any]] = {}
        self.timers_: List[Element] = []
        self._plan: queue.Queue[Any] = queue.Queue()
        self._waiting: Optional[_Wait] = None

    def does(self, what: Callable[[], Any]) -> None:
        """Do something as soon as the loop runs and what was asked for before is done; from any thread."""
        self._plan.put(what)

    def waits_for(self, what: Callable[[], bool]) -> None:
        """Do nothing more until something is so."""
        self._plan.put(_Wait(what))

    def find(self, name: str) -> Any:
        """Return the element with an ID in a window that is shown."""
        for window in self.windows:
            for each in window.walk_():
                if each.values_.get("ID") == name and (each is window or window.shown_):
                    return each
        raise LookupError(f"no window that is shown has an element {name!r}")

    def click(self, name: str) -> None:
        """Click a button or a checkbox."""
        element = self._usable(name)
        if element.kind_ == "CheckBox" or element.values_.get("Checkable"):
            element.values_["Checked"] = not element.values_["Checked"]
        element.fire_("Clicked")

    def type(self, name: str, text: str) -> None:
        """Replace the text of a line or a text field."""
        element = self._usable(name)
        element.values_["Text"] = text
        element.fire_("TextChanged", Text=text)

    def choose(self, name: str, text: str) -> None:
        """Choose an entry of a list by its text."""
        element = self._usable(name)
        if text not in element.entries_:
            raise LookupError(f"{name} offers {element.entries_}, not {text!r}")
        element.set_index_(element.entries_.index(text))

    def enter(self, name: str, value: int) -> None:
        """Enter a number; it is moved into the element's range, as Qt does."""
        element = self._usable(name)
        element.set_value_(min(max(value, element.values_["Minimum"]), element.values_["Maximum"]))

    def close(self, name: str) -> None:
        """Close a window by its title bar."""
        self.find(name).fire_("Close")

    def _usable(self, name: str) -> Any:
        element = self.find(name)
        for each in [element, *element.parents_()]:
            if (
                not each.values_.get("Enabled", True)
                or each.values_.get("Hidden")
                or not each.values_.get("Visible", True)
            ):
                raise LookupError(f"{name} cannot be used: {each.kind_} is disabled or hidden")
        return element

    def next_(self, timeout_s: float) -> bool:
        """Do the next thing; return whether there was one."""
        if self._waiting is not None and not self._waiting.over():
            time.sleep(timeout_s)
            return True
        self._waiting = None
        try:
            what = self._plan.get(timeout=timeout_s)
        except queue.Empty:
            return False
        if isinstance(what, _Wait):
            self._waiting = what
        else:
            what()
        return True


class _Wait:
    """Something that the user waits for.

    Raises:
        TimeoutError: from `over`, when it never came.
    """

    def __init__(self, what: Callable[[], bool]) -> None:
        self.what = what
        self.until = time.monotonic() + IDLE_S

    def over(self) -> bool:
        """Return whether it is so."""
        if self.what():
            return True
        if time.monotonic() > self.until:
            raise TimeoutError("what the user waits for never came")
        return False
