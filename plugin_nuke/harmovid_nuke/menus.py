"""HarmoVid's menus, and the callback for opened scripts. For an interactive Nuke only.

install()           # what `menu.py` does
"""

from __future__ import annotations

import threading
import traceback
from typing import Any, Callable

import nuke
from harmovid.errors import HarmoVidError

from harmovid_nuke import buttons, connecting, node, private, status, threads
from harmovid_nuke.knobs import TITLES

NAME = "HarmoVid"


def install() -> None:
    """Add the toolbar's nodes and the menu, and register the callback for opened scripts."""
    toolbar = nuke.menu("Nodes").addMenu(NAME)
    for kind, title in TITLES.items():
        toolbar.addCommand(title, _guarded(_maker(kind)))
    menu = nuke.menu("Nuke").addMenu(NAME)
    menu.addCommand("Jobs", _guarded(_show_panel))
    menu.addCommand("Start private server", _guarded(start_private_server))
    menu.addCommand("Stop private server", _guarded(stop_private_server))
    menu.addCommand("Self-test", _guarded(_self_test))
    nuke.addOnScriptLoad(buttons.script_opened)


def _maker(kind: str) -> Callable[[], Any]:
    return lambda: make_node(kind)


def make_node(kind: str) -> Any:
    """Make a node and, where a server is named or runs, ask it in the background for the node's inputs and options."""
    group = node.create(kind)
    if private.settings_of("", "").server or private.running():
        connecting.connect(group, quiet=True)
    return group


def _guarded(call: Callable[[], Any]) -> Callable[[], None]:
    """Return a menu command that shows an error instead of raising it into Nuke."""

    def run() -> None:
        try:
            call()
        except HarmoVidError as error:
            buttons.message(status.words_of(error))
        except Exception as error:  # nothing may be raised into Nuke
            traceback.print_exc()
            buttons.message(status.words_of(error))

    return run


def start_private_server() -> threading.Thread:
    """Start a server on this machine, in the background: its start takes some seconds."""
    worker = threading.Thread(target=_start, name="harmovid-private-server", daemon=True)
    worker.start()
    return worker


def _start() -> None:
    try:
        client = private.start()
        text = (
            "The private server runs. It has: " + ", ".join(engine.name for engine in client.engines()) + "."
        )
    except HarmoVidError as error:
        text = status.words_of(error)
    except Exception as error:  # the thread's outermost level
        traceback.print_exc()
        text = status.words_of(error)
    threads.later(threads.from_event_loop, lambda: buttons.message(text))


def stop_private_server() -> None:
    """Stop the private server; its running jobs end with the frames that have arrived."""
    buttons.message("The private server is stopped." if private.stop() else "No private server runs.")


def _show_panel() -> None:
    from harmovid_nuke import panel

    panel.show()


def _self_test() -> None:
    from harmovid_nuke import selftest

    path = selftest.run()
    buttons.message(f"The report is in {path}. Please send it to us.")
