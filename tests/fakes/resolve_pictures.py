"""The picture of docs/resolve.md, drawn by a real Qt from the panel's real rows; and the test of that window.

    QT_QPA_PLATFORM=offscreen python tests/fakes/resolve_pictures.py docs/images

Writes resolve-window.png. The Resolve is the stand-in, the engines are those of this installation, the run is a copying
client's. Prints what a test wants to know as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.resolve_panel import PanelClient
from fakes.resolve_runs import Film
from harmovid_resolve.panel import Panel
from harmovid_resolve.rows import PAGES
from harmovid_resolve.window import Window
from PySide6 import QtGui, QtWidgets

WAIT_S = 300.0


def settle(panel: Panel) -> None:
    """Wait until the worker rests."""
    until = time.monotonic() + WAIT_S
    while (panel.poll() or panel.busy) and time.monotonic() < until:
        time.sleep(0.01)


def main(folder: Path) -> Dict[str, Any]:
    """Draw the window at work and return what was seen."""
    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["pictures"])
    done: List[Any] = []
    with tempfile.TemporaryDirectory() as work:
        film = Film(Path(work))
        panel = Panel(
            film.session(), PanelClient(), {"folder": str(Path(work) / "out"), "colour_space": "ACEScg"}
        )
        settle(panel)
        window = Window(done.append)
        window.show_rows(panel.rows())
        window.fields["strength"].setValue(0.8)
        window.fields["handles"].setValue(2)
        window.fields["selection"].setCurrentIndex(2)
        for each in list(done):
            panel.set(each["name"], each["value"])
        panel.set("selection", "playhead")
        panel.press("start")
        settle(panel)
        panel.values["folder"] = "/shots/graded"
        window.show_rows(panel.rows())
        typed = {name: window.fields[name].value() for name in ("strength", "handles")}
        before = len(done)
        window.show_rows(panel.rows())
        echoed = len(done) - before
        window.fields["look"].click()
        pressed = done[-1]
        picture = drawn(window)
        window.close()
        panel.close()
        panel.wait(WAIT_S)
        assert film.host.violations == []
    picture.save(str(folder / "resolve-window.png"))
    application.processEvents()
    return {"done": done, "typed": typed, "echoed": echoed, "pressed": pressed, "lines": _lines(panel)}


def _lines(panel: Panel) -> List[str]:
    return [row.value for row in panel.rows() if row.name == "line"]


def drawn(window: Window) -> QtGui.QImage:
    """Return two pages of the window beside each other."""
    shots = []
    for page in ("Clip", "Options"):
        window.tabs.setCurrentIndex(PAGES.index(page))
        window.show()
        QtWidgets.QApplication.processEvents()
        shots.append(window.grab().toImage())
    both = QtGui.QImage(
        sum(s.width() for s in shots) + 12, shots[0].height(), QtGui.QImage.Format.Format_RGB32
    )
    both.fill(QtGui.QColor("#ffffff"))
    painter = QtGui.QPainter(both)
    painter.drawImage(0, 0, shots[0])
    painter.drawImage(shots[0].width() + 12, 0, shots[1])
    painter.end()
    return both


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
