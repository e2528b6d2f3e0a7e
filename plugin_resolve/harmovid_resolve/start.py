"""What the door in Resolve's menu starts: the right Resolve, the client process, and the panel where it can be drawn.

run(globals(), settings)            # never raises; what is missing is said in one sentence
"""

from __future__ import annotations

import traceback
from typing import Any, Callable, Mapping

from harmovid_resolve import session, ui_manager, window_process
from harmovid_resolve.client import ClientProcess
from harmovid_resolve.errors import HostError
from harmovid_resolve.panel import Panel

__all__ = ["run"]

Say = Callable[[str], None]
END_S = 60.0
"""How long the worker may take to leave Resolve as it was when the window is closed in the middle of a render."""


def run(injected: Mapping[str, Any], settings: Mapping[str, Any], say: Say = print) -> None:
    """Show the panel until it is closed.

    Args:
        injected: the globals of the script that Resolve started.
        settings: of the settings file that the installation wrote; `python` is the client's interpreter.
        say: takes a sentence for Resolve's console.
    """
    try:
        _run(injected, str(settings.get("python", "")))
    except HostError as error:
        say(f"HarmoVid: {error}")
    except Exception as error:  # the door: nothing may be raised into Resolve
        traceback.print_exc()
        say(f"HarmoVid: something went wrong: {error!r}. Run `harmovid doctor` in a terminal.")


def _run(injected: Mapping[str, Any], python: str) -> None:
    if not python:
        raise HostError(
            "the settings name no Python that has HarmoVid.",
            fix="Run `harmovid plugin install resolve` again.",
        )
    found = session.session_of(session.find(injected))
    fusion = injected.get("fusion") or injected.get("fu")
    with ClientProcess(python) as client:
        panel = Panel(found, client)
        try:
            if ui_manager.manager_of(fusion) is not None:
                ui_manager.draw(fusion, injected.get("bmd"), panel)
            else:
                window_process.show(python, panel)
        finally:
            panel.close()
            panel.wait(END_S)
