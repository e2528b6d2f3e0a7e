"""The text of a whole node, as it is pasted into a script.

text("harmonize")           # a Group with the knobs of every node; the engine's options are added by the first Connect
"""

from __future__ import annotations

from harmovid_nuke.graph import INPUTS, LAYER, inside
from harmovid_nuke.knobs import CALLBACK, TITLES, own_knobs
from harmovid_nuke.nk import NkNode, script, word

_HELP = {
    "harmonize": "Gives a foreground the light of a background. The result is applied to the input, live.",
    "deflicker": "Takes flicker of light out of a plate. The result is applied to the input, live.",
}


def text(kind: str) -> str:
    """Return the script text of a new node.

    Args:
        kind: "harmonize" or "deflicker".
    """
    knobs = {
        "name": TITLES[kind] + "1",
        "help": word(_HELP[kind]),
        "knobChanged": word(CALLBACK.format(call="knob_changed()")),
        "onCreate": word(CALLBACK.format(call="opened()")),
    }
    user = [line for knob in own_knobs(kind) for line in knob.lines()]
    group = NkNode("Group", knobs, inputs=[None] * len(INPUTS[kind]), user=user, inside=inside(kind))
    return LAYER + "\n" + script([group])
