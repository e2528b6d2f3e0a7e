"""Pictures for docs/nuke.md, drawn by a real Qt from the real nodes and knobs; and the test of the Jobs window.

    QT_QPA_PLATFORM=offscreen python tests/fakes/nuke_pictures.py docs/images

Writes nuke-graph.png (the node graph, and the Group's inside), nuke-panel.png (the knobs, tab by tab) and nuke-jobs.png
(the Jobs window). Prints the facts for a test as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes import nuke_shots as shots
from fakes.nuke_host.host import Host, install
from fakes.nuke_host.knobs import INVISIBLE, STARTLINE
from PySide6 import QtCore, QtGui, QtWidgets

COLOURS = {"Read": "#b8b8b8", "Input": "#b8b8b8", "Output": "#b8b8b8", "Group": "#9fb4cf", "Blur": "#d09a5c",
           "Expression": "#7a9cc6", "MergeExpression": "#7a9cc6", "Copy": "#a06cd0", "Assert": "#cf7f7f"}  # fmt: skip
STYLE = """
QWidget { background: #323232; color: #dcdcdc; font-size: 12px; }
QLineEdit, QComboBox, QSpinBox { background: #262626; border: 1px solid #1c1c1c; padding: 2px; }
QPushButton { background: #484848; border: 1px solid #222; padding: 3px 8px; }
QTabBar::tab { background: #2a2a2a; padding: 4px 10px; } QTabBar::tab:selected { background: #454545; }
QHeaderView::section { background: #3c3c3c; border: 0; padding: 3px; }
"""


def panel_of(group: Any) -> Tuple[QtWidgets.QTabWidget, int]:
    """Return a properties panel made from a node's own knobs, and how many knobs it shows."""
    tabs, page, line, count = QtWidgets.QTabWidget(), None, None, 0
    for knob in (each for each in group.allKnobs() if each.user and not each.getFlag(INVISIBLE)):
        count += 1
        if knob.Class() == "Tab_Knob":
            page, line = _page(tabs, knob.label()), None
            continue
        if line is None or knob.getFlag(STARTLINE):
            line = QtWidgets.QHBoxLayout()
            _form(page).addRow(_label(knob), line)
        elif knob.Class() not in ("PyScript_Knob",):
            line.addWidget(QtWidgets.QLabel(knob.label()))
        line.addWidget(_widget(knob))
    return tabs, count


def _page(tabs: QtWidgets.QTabWidget, name: str) -> QtWidgets.QWidget:
    page = QtWidgets.QWidget()
    QtWidgets.QFormLayout(page).setLabelAlignment(QtCore.Qt.AlignmentFlag.AlignRight)
    tabs.addTab(page, name)
    return page


def _form(page: Any) -> QtWidgets.QFormLayout:
    return page.layout()


def _label(knob: Any) -> str:
    return "" if knob.Class() in ("PyScript_Knob", "Boolean_Knob", "Text_Knob") else knob.label()


def _widget(knob: Any) -> QtWidgets.QWidget:
    """Return the control of a knob as Nuke has one for its kind."""
    kind = knob.Class()
    if kind == "PyScript_Knob":
        return QtWidgets.QPushButton(knob.label())
    if kind == "Text_Knob":
        return QtWidgets.QLabel(f"<b>{knob.label()}</b>")
    if kind == "Boolean_Knob":
        box = QtWidgets.QCheckBox(knob.label())
        box.setChecked(knob.value())
        return box
    if kind == "Enumeration_Knob":
        choice = QtWidgets.QComboBox()
        choice.addItems(knob.values())
        choice.setCurrentText(knob.value())
        return choice
    if kind == "Double_Knob":
        return _slider(knob)
    field = QtWidgets.QLineEdit(str(knob.value()))
    field.setCursorPosition(0)
    return field


def _slider(knob: Any) -> QtWidgets.QWidget:
    whole = QtWidgets.QWidget()
    line = QtWidgets.QHBoxLayout(whole)
    line.setContentsMargins(0, 0, 0, 0)
    field = QtWidgets.QLineEdit(f"{knob.value():g}")
    field.setFixedWidth(60)
    slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
    span = max(knob.max() - knob.min(), 1e-6)
    slider.setValue(int(100 * (knob.value() - knob.min()) / span))
    line.addWidget(field)
    line.addWidget(slider)
    return whole


def draw_graph(groups: List[Tuple[str, List[Any]]], path: str) -> None:
    """Draw nodes at their positions, with their connections, one column per list."""
    scale, width, height = 0.72, 152, 30
    columns = []
    for title, nodes in groups:
        xs, ys = [each.xpos() for each in nodes], [each.ypos() for each in nodes]
        columns.append((title, nodes, min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)))
    total = int(sum(column[4] * scale + width + 60 for column in columns))
    image = QtGui.QImage(
        total, int(max(column[5] for column in columns) * 1.0) + 120, QtGui.QImage.Format.Format_RGB32
    )
    image.fill(QtGui.QColor("#323232"))
    painter = QtGui.QPainter(image)
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    left = 30.0
    for title, nodes, x0, y0, wide, _ in columns:
        painter.setPen(QtGui.QColor("#dcdcdc"))
        painter.drawText(QtCore.QPointF(left, 24), title)
        places = {id(each): (left + (each.xpos() - x0) * scale, 50 + (each.ypos() - y0)) for each in nodes}
        _arrows(painter, nodes, places, width, height)
        for each in nodes:
            _box(painter, each, places[id(each)], width, height)
        left += wide * scale + width + 60
    painter.end()
    image.save(path)


def _arrows(
    painter: Any, nodes: List[Any], places: Dict[int, Tuple[float, float]], width: int, height: int
) -> None:
    painter.setPen(QtGui.QPen(QtGui.QColor("#c8c8c8"), 1.4))
    for each in nodes:
        feeding = [one for one in each.inputs_ if one is not None and id(one) in places]
        for index, one in enumerate(feeding):
            (x0, y0), (x1, y1) = places[id(one)], places[id(each)]
            at = x1 + width * (index + 1) / (len(feeding) + 1)
            painter.drawLine(QtCore.QPointF(x0 + width / 2, y0 + height), QtCore.QPointF(at, y1))


def _box(painter: Any, node: Any, place: Tuple[float, float], width: int, height: int) -> None:
    painter.setBrush(QtGui.QColor(COLOURS.get(node.Class(), "#a0a0a0")))
    painter.setPen(QtGui.QColor("#202020"))
    box = QtCore.QRectF(place[0], place[1], width, height)
    painter.drawRoundedRect(box, 4, 4)
    kind = "" if node.name().startswith(node.Class()) else f" ({node.Class()})"
    painter.drawText(box, QtCore.Qt.AlignmentFlag.AlignCenter, node.name() + kind)


def scene(nuke: Any, folder: Path) -> Tuple[Any, Any]:
    """Make a small comp with both nodes, a result and an interrupted job; return the Harmonize and the Deflicker."""
    from harmovid.job import EngineInfo
    from harmovid_nuke import node, record, status
    from harmovid_server.engines import load

    plates = {n: shots.plate(n) for n in range(1001, 1007)}
    fg = shots.reader(nuke, shots.save(folder / "fg", "fg", plates), 1001, 1006, "Foreground")
    bg = shots.reader(nuke, shots.save(folder / "bg", "bg", plates), 1001, 1006, "Background")
    engines: Dict[str, EngineInfo] = {each.info.name: each.info for each in load(["harmonize", "deflicker"])}
    made = []
    for kind, inputs, x in (("deflicker", [bg], 260), ("harmonize", [fg, bg], 40)):
        group = node.create(kind)
        for index, one in enumerate(inputs):
            group.setInput(index, one)
        node.take_engine(group, engines[kind])
        group.setXYpos(x, 140)
        group["first"].setValue(1001)
        group["last"].setValue(1006)
        made.append(group)
    fg.setXYpos(0, 0)
    bg.setXYpos(240, 0)
    found = record.Record(
        f"{folder.as_posix()}/v003", made[1].fullName(), "harmonize", "harmonize", "1001-1006", "1001-1006",
        state=record.DONE, started="2026-11-29 10:12",
    )  # fmt: skip
    shots.save(
        folder / "v003", "result", {n: shots.field(n, plate) for n, plate in plates.items() if n != 1004}
    )
    found.save().save_reports({1005: {"engine": {"confidence": 0.31}}})
    node.show(made[1], found)
    status.tell(made[0], "No result yet. Press Send.")
    return made[1], made[0]


def main(target: Path) -> Dict[str, Any]:
    """Draw everything and return the facts to check."""
    target.mkdir(parents=True, exist_ok=True)
    install()
    host = Host(gui=True)
    application = QtWidgets.QApplication([])
    application.setStyleSheet(STYLE)
    with tempfile.TemporaryDirectory() as work:
        # The pictures show example paths, not those of the machine that drew them.
        group, other = scene(host.module, Path(work))
        draw_graph(
            [("In the script", host.module.allNodes()), ("Inside Harmonize1", group.nodes())],
            str(target / "nuke-graph.png"),
        )
        tabs, count = panel_of(group)
        tabs.setStyleSheet(STYLE)
        pages = [tabs.tabText(index) for index in range(tabs.count())]
        sheets = []
        for index in range(tabs.count()):
            tabs.setCurrentIndex(index)
            tabs.resize(560, 520)
            tabs.show()
            application.processEvents()
            sheets.append(tabs.grab().toImage())
        _side_by_side(sheets, str(target / "nuke-panel.png"))
        from harmovid_nuke import panel

        window = panel.show()
        window.setStyleSheet(STYLE)
        window.resize(1150, 170)
        window.refresh()
        application.processEvents()
        window.grab().save(str(target / "nuke-jobs.png"))
        rows = [row.cells for row in panel.rows()]
        window.table.selectRow([row[0].split()[0] for row in rows].index(group.name()))
        window._press("check")
        said = {
            "knobs": count, "pages": pages, "rows": rows, "columns": window.table.columnCount(),
            "shown": [window.table.item(0, c).text() for c in range(window.table.columnCount())],
            "other": other.name(), "violations": host.violations, "windows": len(panel._windows),
        }  # fmt: skip
        panel.close()
        said["closed"] = len(panel._windows)
    return said


def _side_by_side(images: List[Any], path: str) -> None:
    """Put pictures into a sheet of three columns."""
    columns = 3
    wide, high = images[0].width(), images[0].height()
    rows = -(-len(images) // columns)
    sheet = QtGui.QImage(columns * (wide + 12), rows * (high + 12), QtGui.QImage.Format.Format_RGB32)
    sheet.fill(QtGui.QColor("#1e1e1e"))
    painter = QtGui.QPainter(sheet)
    for index, image in enumerate(images):
        painter.drawImage((index % columns) * (wide + 12) + 6, (index // columns) * (high + 12) + 6, image)
    painter.end()
    sheet.save(path)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201
