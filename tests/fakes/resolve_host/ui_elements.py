"""Elements of UIManager: known kinds, attributes and types alone. Names of the stand-in itself end in an underscore."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional

from fakes.resolve_host import ui_kinds
from fakes.resolve_host.ui_functions import Functions

if TYPE_CHECKING:
    from fakes.resolve_host.host import Host


class Element:
    """One element of a window, or the window."""

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
            return getattr(Functions(self), name, None) or (lambda *given: None)
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
