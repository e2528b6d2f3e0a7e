"""The functions of UIManager's elements that do something here; the others are taken and do nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional

if TYPE_CHECKING:
    from fakes.resolve_host.ui_elements import Element, TreeItem


class Functions:
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
        from fakes.resolve_host.ui_elements import TreeItem

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
