"""The Jobs window: every HarmoVid node of the script with its progress, and the server.

    show()                              # from the menu

A window of its own, not a docked panel: Nuke 16 may report a crash on quit when a docked one was never closed. Works
with PySide6 (Nuke 16 and later) and PySide2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional

from harmovid.frames import FrameRange

from harmovid_nuke import buttons, jobs, node, private
from harmovid_nuke.knobs import TITLES

try:
    from PySide6 import QtCore, QtWidgets
except ImportError:
    from PySide2 import QtCore, QtWidgets  # type: ignore[import-not-found,no-redef,unused-ignore]

COLUMNS = ("Node", "Version", "Frames", "State", "Status", "Worth a look")
REFRESH_MS = 1000
_windows: List[Any] = []


@dataclass(frozen=True)
class Row:
    """A node's row in the window. `done` and `total` are frames."""

    name: str
    title: str
    version: str
    frames: str
    done: int
    total: int
    state: str
    status: str
    review: str
    busy: bool

    @property
    def cells(self) -> List[str]:
        """The texts of the columns."""
        name = f"{self.name} ({self.title})"
        return [
            name,
            self.version,
            self.frames,
            f"{self.state} {self.done}/{self.total}",
            self.status,
            self.review,
        ]


def rows() -> List[Row]:
    """Return a row per HarmoVid node of the script."""
    return [_row(group) for group in node.all_of_ours()]


def _row(group: Any) -> Row:
    record = node.record_of(group)
    wanted = FrameRange.parse(record.wanted) if record is not None else FrameRange()
    return Row(
        name=group.name(),
        title=TITLES[str(group["harmovid_kind"].value())],
        version=f"v{record.version:03d}" if record is not None else "none",
        frames=str(wanted),
        done=len(record.present()) if record is not None else 0,
        total=len(wanted),
        state=record.state if record is not None else "not sent",
        status=str(group["status"].value()),
        review=str(group["review"].value()),
        busy=jobs.of(group) is not None,
    )


def server_line() -> str:
    """Return a line about the server for nodes that name none."""
    settings = private.settings_of("", "")
    if settings.server:
        return f"Server: {settings.server}"
    running = "runs" if private.running() else "is not started"
    return f"Server: a private one on this machine, it {running}"


class JobsWindow(QtWidgets.QWidget):  # type: ignore[misc]
    """The window. It updates once a second while it is open."""

    def __init__(self, parent: Optional[Any] = None) -> None:
        """Build it."""
        super().__init__(parent, QtCore.Qt.WindowType.Window)
        self.setWindowTitle("HarmoVid jobs")
        self.resize(980, 300)
        self.server = QtWidgets.QLabel()
        self.table = QtWidgets.QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setStretchLastSection(True)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(self.server)
        layout.addWidget(self.table)
        layout.addLayout(self._buttons())
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(REFRESH_MS)
        self.refresh()

    def _buttons(self) -> Any:
        line = QtWidgets.QHBoxLayout()
        for text, action in (
            ("Show node", self._open),
            ("Send", lambda: self._press("send")),
            ("Cancel", lambda: self._press("cancel")),
            ("Missing frames", lambda: self._press("missing")),
            ("Check", lambda: self._press("check")),
        ):
            button = QtWidgets.QPushButton(text)
            button.clicked.connect(self._each(action))
            line.addWidget(button)
        line.addStretch()
        return line

    def _each(self, action: Callable[[], None]) -> Callable[..., None]:
        def clicked(*_: Any) -> None:
            action()
            self.refresh()

        return clicked

    def refresh(self) -> None:
        """Update the rows."""
        found = rows()
        self.server.setText(server_line())
        self.table.setRowCount(len(found))
        for index, row in enumerate(found):
            for column, text in enumerate(row.cells):
                self.table.setItem(index, column, QtWidgets.QTableWidgetItem(text))
        self.table.resizeColumnsToContents()

    def chosen(self) -> List[Any]:
        """Return the nodes of the rows that are selected, or all of them where none is."""
        ours = {group.name(): group for group in node.all_of_ours()}
        names = [row.name for row in rows()]
        lines = sorted({index.row() for index in self.table.selectedIndexes()}) or range(len(names))
        return [ours[names[line]] for line in lines if line < len(names)]

    def _open(self) -> None:
        for group in self.chosen():
            group.showControlPanel()

    def _press(self, name: str) -> None:
        for group in self.chosen():
            buttons.press_on(group, name)


def show() -> Any:
    """Open the window, or bring it to the front; it closes before Nuke quits."""
    application = QtWidgets.QApplication.instance()
    if not _windows:
        _windows.append(JobsWindow(QtWidgets.QApplication.activeWindow()))
        if application is not None:
            application.aboutToQuit.connect(close)
    _windows[0].show()
    _windows[0].raise_()
    return _windows[0]


def close() -> None:
    """Close the window and drop the reference to it."""
    while _windows:
        _windows.pop().close()
