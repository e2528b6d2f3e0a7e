"""The parts of Qt that the plugin's logic uses, for hosts without a window system: PySide6 by default, or PySide2.

    with stand_in("PySide2"): ...

`QTimer.singleShot` puts the call at the end of the host's queue, as Qt's event loop does. The Jobs window is tested in
a real Qt, in a process of its own.
"""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType
from typing import Any, Callable, Iterator

from fakes.nuke_host.host import current

BINDINGS = ("PySide6", "PySide2")


class QTimer:
    """Only what is used."""

    @staticmethod
    def singleShot(milliseconds: int, call: Callable[[], Any]) -> None:
        host = current()
        if not host.gui:
            raise host.broken("a Qt timer in -t mode")
        host.check_main("QTimer.singleShot")
        host.queue.put(call)


@contextlib.contextmanager
def stand_in(binding: str = "PySide6") -> Iterator[None]:
    """Make one binding importable and the other not."""
    names = [f"{each}{part}" for each in BINDINGS for part in ("", ".QtCore", ".QtWidgets")]
    before = {name: sys.modules.get(name) for name in names}
    for name in names:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError
    package: Any = ModuleType(binding)
    package.QtCore = ModuleType(binding + ".QtCore")
    package.QtCore.QTimer = QTimer
    sys.modules[binding], sys.modules[binding + ".QtCore"] = package, package.QtCore
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
