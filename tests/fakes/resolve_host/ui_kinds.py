"""UIManager's elements as Blackmagic's text describes them: attributes, functions and events of each kind.

Source: the README of Workflow Integrations, which lists the main ones and says that there are more; what it does not
list is refused here. `Timer` is from public scripts, not from that text.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, NamedTuple

from fakes.resolve_host.base import words


class Kind(NamedTuple):
    """What an element has beside the common names."""

    attributes: FrozenSet[str]
    functions: FrozenSet[str]
    events: FrozenSet[str]


def _kind(attributes: str, functions: str = "", events: str = "") -> Kind:
    return Kind(words(attributes), words(functions), words(events))


COMMON = words(
    "ID Enabled Hidden Visible Font WindowTitle BackgroundColor Geometry ToolTip StatusTip StyleSheet WindowOpacity"
    " MinimumSize MaximumSize FixedSize Weight Events"
)
COMMON_FUNCTIONS = words(
    "Show Hide Raise Lower Close Find GetChildren AddChild RemoveChild SetParent Move Resize Size Pos HasFocus SetFocus"
    " FocusWidget IsActiveWindow SetTabOrder Update Repaint SetPaletteColor QueueEvent GetItems"
)
_WINDOW_EVENTS = (
    "Close Show Hide Resize MousePress MouseRelease MouseDoubleClick MouseMove Wheel KeyPress KeyRelease FocusIn"
    " FocusOut ContextMenu Enter Leave"
)

KINDS: Dict[str, Kind] = {
    "Window": _kind("Spacing Margin", "RecalcLayout FindWindow", _WINDOW_EVENTS),
    "Dialog": _kind("Spacing Margin", "RecalcLayout FindWindow Exec IsRunning Done", _WINDOW_EVENTS),
    "HGroup": _kind("Spacing Margin"),
    "VGroup": _kind("Spacing Margin"),
    "HGap": _kind("Size"),
    "VGap": _kind("Size"),
    "Label": _kind(
        "Text Alignment FrameStyle WordWrap Indent Margin",
        "SetSelection HasSelection SelectedText SelectionStart",
    ),
    "Button": _kind(
        "Text Down Checkable Checked Icon IconSize Flat",
        "Click Toggle AnimateClick",
        "Clicked Toggled Pressed Released",
    ),
    "CheckBox": _kind(
        "Text Down Checkable Checked Tristate CheckState",
        "Click Toggle AnimateClick",
        "Clicked Toggled Pressed Released",
    ),
    "ComboBox": _kind(
        "ItemText Editable CurrentIndex CurrentText",
        "AddItem InsertItem AddItems InsertItems InsertSeparator RemoveItem Clear SetEditText ClearEditText Count"
        " ShowPopup HidePopup",
        "CurrentIndexChanged CurrentTextChanged TextEdited EditTextChanged EditingFinished ReturnPressed Activated",
    ),
    "SpinBox": _kind(
        "Value Minimum Maximum SingleStep Prefix Suffix Alignment ReadOnly Wrapping",
        "SetRange StepBy StepUp StepDown SelectAll Clear",
        "ValueChanged EditingFinished",
    ),
    "Slider": _kind(
        "Value Minimum Maximum SingleStep PageStep Orientation Tracking SliderPosition",
        "SetRange TriggerAction",
        "ValueChanged SliderMoved ActionTriggered SliderPressed SliderReleased RangeChanged",
    ),
    "LineEdit": _kind(
        "Text PlaceholderText MaxLength ReadOnly Modified ClearButtonEnabled",
        "SetSelection HasSelectedText SelectedText SelectionStart SelectAll Clear Cut Copy Paste Undo Redo Deselect"
        " Insert Backspace Del Home End CursorPositionAt",
        "TextChanged TextEdited EditingFinished ReturnPressed SelectionChanged CursorPositionChanged",
    ),
    "TextEdit": _kind(
        "Text PlaceholderText HTML Alignment ReadOnly TextColor TextBackgroundColor TabStopWidth Lexer LexerColors",
        "InsertPlainText InsertHTML Append SelectAll Clear Cut Copy Paste Undo Redo ScrollToAnchor ZoomIn ZoomOut"
        " EnsureCursorVisible MoveCursor CanPaste AnchorAt",
        "TextChanged SelectionChanged CursorPositionChanged",
    ),
    "TabBar": _kind(
        "CurrentIndex TabsClosable Expanding AutoHide Movable DrawBase UsesScrollButtons DocumentMode"
        " ChangeCurrentOnDrag",
        "AddTab InsertTab Count RemoveTab MoveTab",
        "CurrentChanged CloseRequested TabMoved TabBarClicked TabBarDoubleClicked",
    ),
    "Tree": _kind(
        "ColumnCount SortingEnabled ItemsExpandable ExpandsOnDoubleClick AutoExpandDelay HeaderHidden IconSize"
        " RootIsDecorated Animated AllColumnsShowFocus WordWrap TreePosition SelectionBehavior SelectionMode"
        " UniformRowHeights Indentation AlternatingRowColors FrameStyle LineWidth ColumnWidth",
        "AddTopLevelItem AddTopLevelItems InsertTopLevelItem TopLevelItemCount TopLevelItem TakeTopLevelItem"
        " CurrentItem SelectedItems SetHeaderLabels SetHeaderLabel NewItem Clear SortByColumn IndexOfTopLevelItem",
        "CurrentItemChanged ItemClicked ItemPressed ItemActivated ItemDoubleClicked ItemChanged ItemEntered"
        " ItemExpanded ItemCollapsed ItemSelectionChanged",
    ),
    "TreeItem": _kind(
        "Selected Hidden Expanded Disabled Flags Text ToolTip TextColor BackgroundColor CheckState"
    ),
    "Font": _kind(
        "Family StyleName PointSize PixelSize Bold Italic Underline Overline StrikeOut Kerning Weight"
    ),
    "Icon": _kind("File"),
    "ColorPicker": _kind("Text Color Tracking DoAlpha", "", "ColorChanged"),
    "Timer": _kind("Interval SingleShot", "Start Stop", "Timeout"),
}

ON_BY_DEFAULT = words(
    "Clicked Close CurrentIndexChanged CurrentTextChanged ValueChanged TextChanged CurrentChanged Timeout"
)
"""Events that fire without an `Events` attribute. The text names Clicked and Close "and some others"."""

TYPES: Dict[str, type] = {
    "ID": str, "Text": str, "HTML": str, "WindowTitle": str, "PlaceholderText": str, "ToolTip": str,
    "StyleSheet": str, "CurrentText": str, "Prefix": str, "Suffix": str, "Enabled": bool, "Hidden": bool,
    "Visible": bool, "Checked": bool, "Checkable": bool, "ReadOnly": bool, "WordWrap": bool, "Value": int,
    "Minimum": int, "Maximum": int, "SingleStep": int, "CurrentIndex": int, "Interval": int, "ColumnCount": int,
    "Events": dict,
}  # fmt: skip
"""The type of a value that is set."""

START: Dict[str, Dict[str, object]] = {
    "SpinBox": {"Value": 0, "Minimum": 0, "Maximum": 99},
    "Slider": {"Value": 0, "Minimum": 0, "Maximum": 99},
    "ComboBox": {"CurrentIndex": -1, "CurrentText": ""},
    "Button": {"Checked": False},
    "CheckBox": {"Checked": False},
    "TabBar": {"CurrentIndex": -1},
}
"""First values, which are those of Qt's widgets; of every element Text is "" and Enabled and Visible are true."""
