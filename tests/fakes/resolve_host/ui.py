"""UIManager and UIDispatcher: windows of known elements, events, and a loop that a test's user drives.

host.user.does(lambda: host.user.click("go"))       # in the order given, once RunLoop runs
host.user.does(lambda: host.user.close("panel"))
door.main()                                          # shows its window and runs the loop
"""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional

from fakes.resolve_host import ui_kinds

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host

_TICK_S = 0.01
_IDLE_S = 60.0


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
        self.until = time.monotonic() + _IDLE_S

    def over(self) -> bool:
        """Return whether it is so."""
        if self.what():
            return True
        if time.monotonic() > self.until:
            raise TimeoutError("what the user waits for never came")
        return False


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


class Element:
    """One element. Names of the stand-in itself end in an underscore."""

    def __init__(self, host: Host, kind: str, given: Any) -> None:
        start = {"Text": "", "Enabled": True, "Visible": True, "Hidden": False}
        known = ui_kinds.KINDS[kind].attributes | ui_kinds.COMMON
        values = {key: value for key, value in start.items() if key in known}
        set_ = object.__setattr__
        set_(self, "host_", host)
        set_(self, "kind_", kind)
        set_(self, "values_", {**values, **ui_kinds.START.get(kind, {})})
        set_(self, "children_", [])
        set_(self, "entries_", [])
        set_(self, "rows_", [])
        set_(self, "shown_", False)
        set_(self, "parent_", None)
        set_(self, "due_", None)
        for each in given:
            self._take(each)

    def _take(self, given: Any) -> None:
        """Take properties from a dict and children from a list; either may hold the other kind."""
        if isinstance(given, dict):
            for key, value in given.items():
                if isinstance(key, str):
                    setattr(self, key, value)
                else:
                    self._take(value)
        elif isinstance(given, list):
            for each in given:
                self._take(each)
        elif isinstance(given, Element):
            given.set_("parent_", self)
            self.children_.append(given)
        elif self.kind_ in ("HGap", "VGap"):
            self.values_.setdefault("Size", given)
        else:
            raise self.host_.broken(f"{self.kind_} was given {given!r}")

    def set_(self, name: str, value: Any) -> None:
        """Set a value of the stand-in itself."""
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = ui_kinds.KINDS[self.kind_]
        if name not in kind.attributes | ui_kinds.COMMON:
            raise self.host_.broken(f"{self.kind_} has no attribute {name}")
        wanted = ui_kinds.TYPES.get(name)
        right = isinstance(value, wanted or object) and not (wanted is int and isinstance(value, bool))
        if not right:
            raise self.host_.broken(f"{self.kind_}.{name} was set to {value!r}")
        self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        if name == "CurrentIndex":
            self.set_index_(value)
        elif name == "CurrentText":
            if value in self.entries_:
                self.set_index_(self.entries_.index(value))
        elif name == "Value" and "Maximum" in self.values_:
            self.set_value_(value)
        else:
            changed = self.values_.get(name) != value
            self.values_[name] = value
            if name == "Text" and changed and self.shown_window_():
                self.fire_("TextChanged", Text=value)

    def __getattr__(self, name: str) -> Any:
        kind = ui_kinds.KINDS[self.kind_]
        if name == "On" and self.kind_ in ("Window", "Dialog"):
            return _On(self)
        if name in kind.functions | ui_kinds.COMMON_FUNCTIONS:
            return getattr(_Functions(self), name, None) or (lambda *given: None)
        if name in kind.attributes | ui_kinds.COMMON:
            return self.values_.get(name)
        raise self.host_.broken(f"{self.kind_} has no {name}")

    # What the stand-in does with it.

    def walk_(self) -> Iterator[Element]:
        """Return this element and all in it."""
        yield self
        for child in self.children_:
            yield from child.walk_()

    def parents_(self) -> List[Element]:
        """Return what it is in, from the inside."""
        found, each = [], self.parent_
        while each is not None:
            found.append(each)
            each = each.parent_
        return found

    def shown_window_(self) -> Optional[Element]:
        """Return the window it is in, if that is shown."""
        top = ([self, *self.parents_()])[-1]
        return top if top.kind_ in ("Window", "Dialog") and top.shown_ else None

    def set_index_(self, index: int) -> None:
        """Select an entry of a list, and tell."""
        count = len(self.entries_)
        if self.kind_ in ("ComboBox", "TabBar") and not -1 <= index < count:
            return
        changed = self.values_.get("CurrentIndex") != index
        self.values_["CurrentIndex"] = index
        self.values_["CurrentText"] = self.entries_[index] if 0 <= index < count else ""
        if changed:
            self.fire_("CurrentIndexChanged" if self.kind_ == "ComboBox" else "CurrentChanged", Index=index)

    def set_value_(self, value: int) -> None:
        """Set a number within its range, and tell."""
        value = min(max(value, self.values_["Minimum"]), self.values_["Maximum"])
        changed = self.values_["Value"] != value
        self.values_["Value"] = value
        if changed:
            self.fire_("ValueChanged", Value=value)

    def fire_(self, event: str, **info: Any) -> None:
        """Call the handler of an event, if it is switched on and one is there."""
        on = self.values_.get("Events", {}).get(event, event in ui_kinds.ON_BY_DEFAULT)
        top = ([self, *self.parents_()])[-1]
        handler = self.host_.user.handlers_.get((id(top), self.values_.get("ID"), event))
        if on and handler is not None:
            name = self.values_.get("ID", "")
            handler({"who": name, "what": event, "when": time.time(), "sender": self, "window": top, **info})


class _Functions:
    """The functions of elements that do something here; the others are taken and do nothing."""

    def __init__(self, element: Element) -> None:
        self.element = element

    def Show(self) -> None:
        self.element.set_("shown_", True)
        self.element.values_["Visible"], self.element.values_["Hidden"] = True, False

    def Hide(self) -> None:
        self.element.set_("shown_", False)
        self.element.values_["Visible"], self.element.values_["Hidden"] = False, True

    def Close(self) -> bool:
        self.element.fire_("Close")
        return True

    def Find(self, name: str) -> Optional[Element]:
        return next((each for each in self.element.walk_() if each.values_.get("ID") == name), None)

    FindWindow = Find

    def GetItems(self) -> Dict[str, Element]:
        return {each.values_["ID"]: each for each in self.element.walk_() if each.values_.get("ID")}

    def GetChildren(self) -> List[Element]:
        return list(self.element.children_)

    def AddChild(self, child: Element) -> None:
        child.set_("parent_", self.element)
        self.element.children_.append(child)

    def RemoveChild(self, child: Element) -> None:
        self.element.children_.remove(child)

    def QueueEvent(self, name: str, info: Dict[str, Any]) -> None:
        self.element.host_.user.does(lambda: self.element.fire_(name, **info))

    def Click(self) -> None:
        self.element.fire_("Clicked")

    # Lists.

    def AddItem(self, text: str) -> None:
        self.AddItems([text])

    def AddItems(self, texts: List[str]) -> None:
        if not all(isinstance(text, str) for text in texts):
            raise self.element.host_.broken(f"AddItems with {texts!r}")
        self.element.entries_.extend(texts)
        if self.element.values_["CurrentIndex"] < 0 and self.element.entries_:
            self.element.set_index_(0)

    def RemoveItem(self, index: int) -> None:
        del self.element.entries_[index]
        self.element.set_index_(min(self.element.values_["CurrentIndex"], len(self.element.entries_) - 1))

    def Count(self) -> int:
        return len(self.element.entries_)

    AddTab = AddItem

    def Clear(self) -> None:
        self.element.entries_.clear()
        self.element.rows_.clear()
        if self.element.kind_ == "ComboBox":
            self.element.set_index_(-1)
        elif "Text" in self.element.values_:
            self.element.values_["Text"] = ""

    # Numbers and text.

    def SetRange(self, low: int, high: int) -> None:
        self.element.values_.update(Minimum=low, Maximum=high)
        self.element.set_value_(self.element.values_["Value"])

    def Append(self, text: str) -> None:
        self.element.values_["Text"] = f"{self.element.values_['Text']}\n{text}".lstrip("\n")

    # Trees.

    def NewItem(self) -> TreeItem:
        return TreeItem(self.element.host_, "TreeItem", ())

    def AddTopLevelItem(self, item: TreeItem) -> None:
        self.element.rows_.append(item)

    def TopLevelItemCount(self) -> int:
        return len(self.element.rows_)

    def TopLevelItem(self, index: int) -> Optional[TreeItem]:
        return self.element.rows_[index] if 0 <= index < len(self.element.rows_) else None

    def CurrentItem(self) -> Optional[TreeItem]:
        return next((row for row in self.element.rows_ if row.values_.get("Selected")), None)

    # Timers and windows.

    def Start(self) -> None:
        interval = self.element.values_.get("Interval", 0) / 1000
        self.element.set_("due_", time.monotonic() + interval)
        if self.element not in self.element.host_.user.timers_:
            self.element.host_.user.timers_.append(self.element)

    def Stop(self) -> None:
        self.element.set_("due_", None)


class TreeItem(Element):
    """A row of a Tree: `item.Text[0] = "name"`."""

    def __init__(self, host: Host, kind: str, given: Any) -> None:
        super().__init__(host, kind, given)
        for name in ("Text", "ToolTip", "TextColor", "BackgroundColor", "CheckState"):
            self.values_[name] = {}


class _On:
    """`window.On.ID.Event = handler`, or `window.On["ID"].Event = handler`."""

    def __init__(self, window: Element) -> None:
        object.__setattr__(self, "window_", window)

    def __getattr__(self, name: str) -> _Events:
        return self[name]

    def __getitem__(self, name: str) -> _Events:
        found = next((each for each in self.window_.walk_() if each.values_.get("ID") == name), None)
        if found is None:
            raise self.window_.host_.broken(f"the window has no element with the ID {name}")
        return _Events(self.window_, found)


class _Events:
    def __init__(self, window: Element, element: Element) -> None:
        object.__setattr__(self, "window_", window)
        object.__setattr__(self, "element_", element)

    def __setattr__(self, event: str, handler: Callable[[Dict[str, Any]], Any]) -> None:
        element: Element = self.element_
        if event not in ui_kinds.KINDS[element.kind_].events:
            raise element.host_.broken(f"{element.kind_} has no event {event}")
        element.host_.user.handlers_[(id(self.window_), element.values_["ID"], event)] = handler


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
        until = time.monotonic() + _IDLE_S
        while self._code is _RUNS:
            if self._host.user.next_(_TICK_S):
                until = time.monotonic() + _IDLE_S
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
