"""The start of the plugin from Resolve's menu: checks Resolve, starts the client process, and opens the panel.

run(globals(), settings)            # never raises; problems are printed in one sentence
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import Any, Callable, Iterator, Mapping

from harmovid_resolve import session, ui_manager, window_process
from harmovid_resolve.client import ClientProcess
from harmovid_resolve.errors import HostError
from harmovid_resolve.panel import Panel

__all__ = ["run"]

Say = Callable[[str], None]
LOCK = "open.lock"
END_S = 60.0
"""How long the worker may take to restore the project if the window is closed during a render."""


def run(injected: Mapping[str, Any], settings: Mapping[str, Any], say: Say = print) -> None:
    """Show the panel until it is closed.

    Args:
        injected: the globals of the script that Resolve started.
        settings: of the settings file that the installation wrote; `python` is the client's interpreter.
        say: prints a sentence on Resolve's console.
    """
    try:
        _run(injected, settings)
    except HostError as error:
        say(f"HarmoVid: {error}")
    except Exception as error:  # nothing may be raised into Resolve
        traceback.print_exc()
        say(f"HarmoVid: something went wrong: {error!r}. Run `harmovid doctor` in a terminal.")


def _run(injected: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    python = str(settings.get("python", ""))
    if not python:
        raise HostError(
            "the settings name no Python that has HarmoVid.",
            fix="Run `harmovid plugin install resolve` again.",
        )
    found = session.session_of(session.find(injected))
    fusion = injected.get("fusion") or injected.get("fu")
    with _only_one(str(settings.get("package", ""))), ClientProcess(python) as client:
        panel = Panel(found, client)
        try:
            if ui_manager.manager_of(fusion) is not None:
                ui_manager.draw(fusion, injected.get("bmd"), panel)
            else:
                window_process.show(python, panel)
        finally:
            panel.close()
            if not panel.in_project:
                client.close()  # ends open requests
            panel.wait(END_S)


@contextlib.contextmanager
def _only_one(folder: str) -> Iterator[None]:
    """Hold a lock while the panel is open: two panels would render at once, and Resolve does one thing at a time.

    Raises:
        HostError: another one is open.
    """
    if not os.path.isdir(folder):
        yield
        return
    with open(os.path.join(folder, LOCK), "a+b") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            raise HostError(
                "HarmoVid is open already.", fix="Look for its window, and close it first."
            ) from error
        yield


def _lock(descriptor: int) -> None:
    """Lock a file for this process, or raise OSError at once; the lock ends with the process."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
