"""The panel drawn with Fusion's UIManager, inside Resolve Studio (the free edition has none since 19.1).

    draw(fusion, bmd, panel)            # returns when the window is closed

The elements are those in Blackmagic's documentation. A tab bar shows one page at a time. The window is rebuilt when
other
rows have to be shown (another engine, advanced options); otherwise only changed values are written.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, List, Tuple

from harmovid_resolve.panel import Panel
from harmovid_resolve.rows import PAGES, Row

__all__ = ["Drawing", "draw", "manager_of"]

POLL_MS = 200
SLIDER_STEPS = 1000
SLIDER, BROWSE = "slider", "browse"
LABEL_SHARE, FIELD_SHARE = 1, 3
SIZE = (100, 100, 760, 620)
BAR = 30
"""Characters of the progress bar, because UIManager has no such element."""


def manager_of(fusion: Any) -> Any:
    """Return the UIManager, or None if this Resolve has none."""
    try:
        return fusion.UIManager if fusion is not None else None
    except Exception:  # Resolve's bridge may raise any error
        return None


def draw(fusion: Any, bmd: Any, panel: Panel) -> None:
    """Show the panel until its window is closed."""
    Drawing(fusion, bmd, panel).run()


def id_of(name: str, part: str = "") -> str:
    """Return the id of a row's element: letters and underscores only, because UIManager may interpret dots."""
    return (f"{name}.{part}" if part else name).replace(".", "_").replace(" ", "_")


def progress_text(share: float) -> str:
    """Return a bar and the percentage."""
    full = round(max(0.0, min(share, 1.0)) * BAR)
    return "\u2588" * full + "\u2591" * (BAR - full) + f" {share * 100:.0f} %"


class Drawing:
    """One panel on one UIManager."""

    def __init__(self, fusion: Any, bmd: Any, panel: Panel) -> None:
        """Take the UIManager and the panel; `run` shows the window."""
        self._fusion, self._ui, self._panel = fusion, fusion.UIManager, panel
        self._dispatcher = bmd.UIDispatcher(self._ui)
        self._window: Any = None
        self._items: Dict[str, Any] = {}
        self._rows: Dict[str, Row] = {}
        self._shape: Tuple[Any, ...] = ()
        self._filling, self._page, self._count = False, 0, 0

    def run(self) -> None:
        """Show the window and handle its events until it is closed."""
        timer = self._ui.Timer({"ID": "HarmoVidPoll", "Interval": POLL_MS, "SingleShot": False})
        self._dispatcher.On.Timeout = lambda event: self._tick()
        self._show()
        timer.Start()
        try:
            self._dispatcher.RunLoop()
        finally:
            timer.Stop()
            self._window.Hide()
            self._panel.close()

    def _tick(self) -> None:
        if self._panel.poll():
            self._show()

    def _show(self) -> None:
        """Update the window; rebuild it if its rows have changed."""
        found = self._panel.rows()
        shape = tuple((row.name, row.kind, row.label, row.minimum, row.maximum) for row in found)
        if shape != self._shape:
            self._build(found)
            self._shape = shape
        self._fill(found)

    def _build(self, found: List[Row]) -> None:
        old, self._count = self._window, self._count + 1
        name = f"HarmoVid{self._count}"
        pages = [
            self._ui.VGroup({"ID": f"page{index}", "Hidden": index != self._page}, self._lines(page, found))
            for index, page in enumerate(PAGES)
        ]
        tabs = self._ui.TabBar({"ID": "tabs", "Weight": 0})
        props = {"ID": name, "WindowTitle": "HarmoVid", "Geometry": list(SIZE)}
        self._window = self._dispatcher.AddWindow(props, self._ui.VGroup({"Spacing": 6}, [tabs, *pages]))
        self._items = self._window.GetItems()
        self._filling = True
        for page in PAGES:
            self._items["tabs"].AddTab(page)
        self._items["tabs"].CurrentIndex = self._page
        self._rows = {}
        self._filling = False
        self._listen(name, found)
        self._window.Show()
        if old is not None:
            old.Hide()

    def _lines(self, page: str, found: List[Row]) -> List[Any]:
        """Return the elements of a page: a line per row, with buttons side by side."""
        lines: List[Any] = []
        buttons: List[Any] = []
        for row in (each for each in found if each.page == page):
            if row.kind == "button":
                buttons.append(
                    self._ui.Button({"ID": id_of(row.name), "Text": row.label, "ToolTip": row.help})
                )
                continue
            lines += self._beside(buttons)
            buttons = []
            lines.append(self._line(row))
        return [*lines, *self._beside(buttons), self._ui.VGap(0)]

    def _beside(self, buttons: List[Any]) -> List[Any]:
        return [self._ui.HGroup({"Weight": 0}, buttons)] if buttons else []

    def _line(self, row: Row) -> Any:
        ui, tip = self._ui, {"ToolTip": row.help}
        if row.kind == "heading":
            return ui.Label({"ID": id_of(row.name), "Text": f"<b>{row.label}</b>", "Weight": 0})
        if row.kind in ("line", "progress", "pictures"):
            return ui.Label({"ID": id_of(row.name), "Text": "", "WordWrap": True, "Weight": 0, **tip})
        if row.kind == "list":
            return ui.TextEdit({"ID": id_of(row.name), "Text": "", "ReadOnly": True, "Weight": 1})
        if row.kind == "bool":
            return ui.CheckBox({"ID": id_of(row.name), "Text": row.label, "Weight": 0, **tip})
        unit = f" ({row.unit})" if row.unit else ""
        label = ui.Label({"Text": row.label + unit, "Weight": LABEL_SHARE, **tip})
        return ui.HGroup({"Weight": 0}, [label, *self._fields(row, tip)])

    def _fields(self, row: Row, tip: Dict[str, str]) -> List[Any]:
        ui, wide = self._ui, {"ID": id_of(row.name), "Weight": FIELD_SHARE, **tip}
        if row.kind == "choice":
            return [ui.ComboBox(wide)]
        if row.kind == "int" and row.minimum is not None and row.maximum is not None:
            return [ui.SpinBox({**wide, "Minimum": int(row.minimum), "Maximum": int(row.maximum)})]
        if row.kind == "float" and row.minimum is not None and row.maximum is not None:
            slider = {
                "ID": id_of(row.name, SLIDER),
                "Weight": FIELD_SHARE - 1,
                "Minimum": 0,
                "Maximum": SLIDER_STEPS,
                **tip,
            }
            return [ui.Slider(slider), ui.LineEdit({**wide, "Weight": 1})]
        if row.kind == "folder":
            return [ui.LineEdit(wide), ui.Button({"ID": id_of(row.name, BROWSE), "Text": "...", "Weight": 0})]
        return [ui.LineEdit(wide)]

    # Values of the rows to the elements.

    def _fill(self, found: List[Row]) -> None:
        """Write changed values; events that this causes are not the user's."""
        self._filling = True
        try:
            for row in found:
                item, before = self._items[id_of(row.name)], self._rows.get(row.name)
                if row.kind == "choice" and (before is None or before.labels != row.labels):
                    item.Clear()
                    item.AddItems(list(row.labels))
                self._rows[row.name] = row
                self._write(item, row)
                if item.Enabled != row.enabled:
                    item.Enabled = row.enabled
        finally:
            self._filling = False

    def _write(self, item: Any, row: Row) -> None:
        if row.kind == "choice":
            index = row.choices.index(row.value) if row.value in row.choices else -1
            if item.CurrentIndex != index:
                item.CurrentIndex = index
        elif row.kind == "bool":
            if item.Checked != bool(row.value):
                item.Checked = bool(row.value)
        elif row.kind == "int" and row.minimum is not None and row.maximum is not None:
            if item.Value != int(row.value):
                item.Value = int(row.value)
        elif row.kind not in ("heading", "button"):
            if id_of(row.name, SLIDER) in self._items:
                self._items[id_of(row.name, SLIDER)].Value = _step(row)
            text = _text(row)
            if item.Text != text:
                item.Text = text

    # Actions of the user.

    def _listen(self, window: str, found: List[Row]) -> None:
        on = self._window.On
        on[window].Close = lambda event: self._dispatcher.ExitLoop()
        on["tabs"].CurrentChanged = lambda event: self._turn(int(self._items["tabs"].CurrentIndex))
        for row in found:
            events = on[id_of(row.name)]
            if row.kind == "button":
                events.Clicked = self._handler(partial(self._panel.press, row.name))
            elif row.kind == "choice":
                events.CurrentIndexChanged = self._handler(partial(self._choose, row.name))
            elif row.kind == "bool":
                events.Clicked = self._handler(partial(self._ticked, row.name))
            elif row.kind == "int" and row.minimum is not None and row.maximum is not None:
                events.ValueChanged = self._handler(partial(self._turned, row.name))
            elif row.kind in ("text", "folder", "float", "int"):
                events.TextChanged = self._handler(partial(self._typed, row), redraw=False)
            if row.kind == "folder":
                on[id_of(row.name, BROWSE)].Clicked = self._handler(partial(self._browse, row.name))
            if id_of(row.name, SLIDER) in self._items:
                on[id_of(row.name, SLIDER)].ValueChanged = self._handler(partial(self._slid, row))

    def _ticked(self, name: str) -> None:
        self._panel.set(name, bool(self._items[id_of(name)].Checked))

    def _turned(self, name: str) -> None:
        self._panel.set(name, int(self._items[id_of(name)].Value))

    def _handler(self, action: Callable[[], None], redraw: bool = True) -> Callable[[Any], None]:
        def called(event: Any) -> None:
            if self._filling:
                return
            action()
            if redraw:
                self._show()

        return called

    def _turn(self, page: int) -> None:
        """Show another page."""
        if self._filling or page < 0:
            return
        self._page = page
        for index in range(len(PAGES)):
            self._items[f"page{index}"].Hidden = index != page

    def _choose(self, name: str) -> None:
        index, choices = int(self._items[id_of(name)].CurrentIndex), self._rows[name].choices
        if 0 <= index < len(choices):
            self._panel.set(name, choices[index])

    def _typed(self, row: Row) -> None:
        """Take typed text; an unfinished number is ignored until it is one."""
        text = str(self._items[id_of(row.name)].Text)
        if row.kind in ("text", "folder"):
            self._panel.set(row.name, text)
            return
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            return
        self._panel.set(row.name, value if row.kind == "float" else int(value))

    def _browse(self, name: str) -> None:
        """Ask for a folder in Fusion's own dialog."""
        chosen = self._fusion.RequestDir(str(self._items[id_of(name)].Text))
        if chosen:
            self._panel.set(name, str(chosen))

    def _slid(self, row: Row) -> None:
        low, high = float(row.minimum or 0.0), float(row.maximum or 0.0)
        value = low + (high - low) * int(self._items[id_of(row.name, SLIDER)].Value) / SLIDER_STEPS
        self._panel.set(row.name, round(value, 3))


def _step(row: Row) -> int:
    low, high = float(row.minimum or 0.0), float(row.maximum or 0.0)
    share = (float(row.value) - low) / (high - low) if high > low else 0.0
    return round(max(0.0, min(share, 1.0)) * SLIDER_STEPS)


def _text(row: Row) -> str:
    if row.kind == "progress":
        return progress_text(float(row.value))
    if row.kind == "list":
        return "\n".join(row.value)
    if row.kind == "pictures":
        before, after = row.value
        return f'<img src="{before}" width="330"> <img src="{after}" width="330">' if before else ""
    if row.kind in ("float", "int"):
        return f"{float(row.value):g}"
    return str(row.value)
