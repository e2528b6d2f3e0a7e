"""The panel as a separate window, for a Resolve without UIManager: it receives rows and sends the user's actions.

    python -m harmovid_resolve.window       # started by `harmovid_resolve.window_process`, in the client's own Python

It uses Qt, which can be tested without a screen and looks the same everywhere: `pip install 'harmovid[window]'`.
"""

from __future__ import annotations

import json
import sys
import threading
from functools import partial
from typing import IO, Any, Callable, Dict, List, Mapping, Tuple

from PySide6 import QtCore, QtGui, QtWidgets

from harmovid_resolve.rows import PAGES, Row

SIZE = (760, 640)
STILL_PX = 340
DECIMALS, STEPS = 3, 1000
STYLE = """
QWidget { background: #28282e; color: #d0d0d4; font-size: 12px; }
QLineEdit, QComboBox, QSpinBox, QDoubleSpinBox, QPlainTextEdit { background: #1f1f24; padding: 3px; }
QLineEdit, QComboBox, QPlainTextEdit { border: 1px solid #16161a; }
QPushButton { background: #3a3a42; border: 1px solid #1c1c20; padding: 4px 12px; }
QPushButton:disabled { color: #6a6a70; } QTabBar::tab { background: #222227; padding: 5px 14px; }
QTabBar::tab:selected { background: #3a3a42; } QProgressBar { border: 1px solid #16161a; text-align: center; }
QProgressBar::chunk { background: #b5462f; }
"""
"""Colours similar to Resolve's own."""

Do = Callable[[Mapping[str, Any]], None]


class Window(QtWidgets.QWidget):
    """Draws rows. `do` is called with the user's actions."""

    def __init__(self, do: Do) -> None:
        """Make an empty window."""
        super().__init__()
        self._do, self._filling = do, False
        self.fields: Dict[str, Any] = {}
        self._rows: Dict[str, Row] = {}
        self._shape: Tuple[Any, ...] = ()
        self.setWindowTitle("HarmoVid")
        self.setStyleSheet(STYLE)
        self.resize(*SIZE)
        self.tabs = QtWidgets.QTabWidget()
        QtWidgets.QVBoxLayout(self).addWidget(self.tabs)

    def show_rows(self, found: List[Row]) -> None:
        """Update the window; its pages are rebuilt if the rows have changed."""
        shape = tuple((row.name, row.kind, row.label, row.minimum, row.maximum) for row in found)
        self._filling = True
        if shape != self._shape:
            self._build(found)
            self._shape, self._rows = shape, {}
        for row in found:
            before = self._rows.get(row.name)
            if row.kind == "choice" and (before is None or before.labels != row.labels):
                self.fields[row.name].clear()
                self.fields[row.name].addItems(list(row.labels))
            self._rows[row.name] = row
            self._write(self.fields[row.name], row)
            self.fields[row.name].setEnabled(row.enabled)
        self._filling = False

    def closeEvent(self, event: QtGui.QCloseEvent) -> None:  # noqa: N802 (Qt's name)
        """Say that the user has closed it."""
        self._do({"do": "close"})
        event.accept()

    def _build(self, found: List[Row]) -> None:
        page = max(self.tabs.currentIndex(), 0)
        self.tabs.clear()
        self.fields = {}
        for name in PAGES:
            inner = QtWidgets.QWidget()
            self._lines(QtWidgets.QFormLayout(inner), [row for row in found if row.page == name])
            area = QtWidgets.QScrollArea()
            area.setWidgetResizable(True)
            area.setWidget(inner)
            self.tabs.addTab(area, name)
        self.tabs.setCurrentIndex(page)

    def _lines(self, form: QtWidgets.QFormLayout, found: List[Row]) -> None:
        beside: Any = None
        for row in found:
            field = self.fields[row.name] = self._field(row)
            field.setToolTip(row.help)
            if row.kind == "button":
                if beside is None:
                    beside = QtWidgets.QHBoxLayout()
                    form.addRow(beside)
                beside.addWidget(field)
                continue
            beside = None
            if row.kind in ("heading", "line", "list", "pictures", "bool"):
                form.addRow(field)
            else:
                form.addRow(row.label + (f" ({row.unit})" if row.unit else ""), field)

    def _field(self, row: Row) -> Any:
        """Return the widget of a row, connected."""
        made = _made(row)
        if row.kind == "button":
            made.clicked.connect(partial(self._press, row.name))
        elif row.kind == "bool":
            made.toggled.connect(partial(self._set, row.name))
        elif row.kind == "choice":
            made.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)
            made.currentIndexChanged.connect(partial(self._choose, row.name))
        elif row.kind in ("int", "float"):
            _bound(made, row)
            made.valueChanged.connect(partial(self._set, row.name))
        elif row.kind in ("text", "folder"):
            made.textEdited.connect(partial(self._set, row.name))
        return made

    def _write(self, field: Any, row: Row) -> None:
        """Write a changed value of a row, so that text which is being typed stays."""
        value = row.value
        if row.kind in ("line", "text", "folder"):
            if field.text() != str(value):
                field.setText(str(value))
        elif row.kind == "bool":
            field.setChecked(bool(value))
        elif row.kind == "choice":
            field.setCurrentIndex(row.choices.index(value) if value in row.choices else -1)
        elif row.kind in ("int", "float"):
            field.setValue(int(value) if row.kind == "int" else float(value))
        elif row.kind == "progress":
            field.setMaximum(STEPS)
            field.setValue(round(float(value) * STEPS))
        elif row.kind == "list" and field.toPlainText() != "\n".join(value):
            field.setPlainText("\n".join(value))
        elif row.kind == "pictures":
            field.setText("".join(f'<img src="{path}" width="{STILL_PX}"> ' for path in value if path))

    # Actions of the user.

    def _set(self, name: str, value: Any) -> None:
        if not self._filling:
            self._do({"do": "set", "name": name, "value": value})

    def _choose(self, name: str, index: int) -> None:
        choices = self._rows[name].choices if name in self._rows else ()
        if 0 <= index < len(choices):
            self._set(name, choices[index])

    def _press(self, name: str, _: bool = False) -> None:
        self._do({"do": "press", "name": name})


class _Folder(QtWidgets.QWidget):
    """A text field for a folder, with a button that opens a dialog."""

    textEdited = QtCore.Signal(str)  # noqa: N815 (as QLineEdit's)

    def __init__(self) -> None:
        super().__init__()
        self._line = QtWidgets.QLineEdit()
        self._line.textEdited.connect(self.textEdited)
        button = QtWidgets.QPushButton("...")
        button.clicked.connect(self._ask)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(button)

    def text(self) -> str:
        """Return the folder."""
        return str(self._line.text())

    def setText(self, text: str) -> None:  # noqa: N802 (as QLineEdit's)
        """Show a folder."""
        self._line.setText(text)

    def _ask(self) -> None:
        chosen = QtWidgets.QFileDialog.getExistingDirectory(self, "Output folder", self.text())
        if chosen:
            self.setText(chosen)
            self.textEdited.emit(chosen)


def _made(row: Row) -> Any:
    """Return the widget for a kind of row."""
    if row.kind == "heading":
        return QtWidgets.QLabel(f"<b>{row.label}</b>")
    if row.kind in ("button", "bool"):
        return (QtWidgets.QPushButton if row.kind == "button" else QtWidgets.QCheckBox)(row.label)
    kinds: Dict[str, Callable[[], Any]] = {
        "line": _wrapped, "pictures": QtWidgets.QLabel, "list": _reading, "progress": QtWidgets.QProgressBar,
        "choice": QtWidgets.QComboBox, "int": QtWidgets.QSpinBox, "float": QtWidgets.QDoubleSpinBox, "folder": _Folder,
        "text": QtWidgets.QLineEdit,
    }  # fmt: skip
    return kinds[row.kind]()


def _wrapped() -> QtWidgets.QLabel:
    label = QtWidgets.QLabel()
    label.setWordWrap(True)
    return label


def _reading() -> QtWidgets.QPlainTextEdit:
    made = QtWidgets.QPlainTextEdit()
    made.setReadOnly(True)
    return made


def _bound(field: Any, row: Row) -> None:
    """Set a number's bounds; without bounds it accepts 32-bit numbers."""
    low = row.minimum if row.minimum is not None else -(2**31)
    high = row.maximum if row.maximum is not None else 2**31 - 1
    if row.kind == "int":
        field.setRange(int(low), int(high))
    else:
        field.setDecimals(DECIMALS)
        field.setSingleStep(0.05)
        field.setRange(float(low), float(high))


class _Lines(QtCore.QObject):
    """Passes rows from standard input to the window's thread; emits `ended` at the end of the stream."""

    arrived = QtCore.Signal(object)
    ended = QtCore.Signal()

    def read(self, stream: IO[bytes]) -> None:
        """Read until the stream ends."""
        for raw in iter(stream.readline, b""):
            self.arrived.emit(json.loads(raw))
        self.ended.emit()


def main() -> int:
    """Show the window until it is closed, or until standard input is."""
    application = QtWidgets.QApplication(sys.argv[:1])

    def do(what: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    window, lines = Window(do), _Lines()
    lines.arrived.connect(lambda line: window.show_rows([Row.from_dict(row) for row in line["rows"]]))
    lines.ended.connect(application.quit)
    threading.Thread(target=lines.read, args=(sys.stdin.buffer,), daemon=True).start()
    window.show()
    do({"do": "opened"})
    return int(application.exec())


if __name__ == "__main__":
    sys.exit(main())
