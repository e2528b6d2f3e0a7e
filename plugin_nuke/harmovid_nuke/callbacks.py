"""Callbacks of saved nodes. They are cheap: the other modules are imported only when one of our knobs changes."""

from __future__ import annotations

import traceback

import nuke

WATCHED = ("inputChange", "showPanel", "o_preset")
"""Knob names that the plugin handles: Nuke calls back for every change, also of a node's position in the graph."""


def knob_changed() -> None:
    """React to a change of a node's knob."""
    try:
        knob = nuke.thisKnob()
        name = knob.name() if knob is not None else ""
        if name in WATCHED:
            from harmovid_nuke import buttons

            buttons.changed(nuke.thisNode(), name)
    except Exception:  # a callback must never stop the artist's own change
        traceback.print_exc()


def opened() -> None:
    """Prepare a node of a script that was opened or pasted."""
    try:
        from harmovid_nuke import buttons

        buttons.opened(nuke.thisNode())
    except Exception:  # a script must open, whatever the state of its nodes
        traceback.print_exc()
