"""The Nuke plugin: Harmonize and Deflicker nodes whose results live in ordinary nodes.

    from harmovid_nuke import node
    group = node.create("harmonize")        # in Nuke; everything else is done with the group's buttons

It runs in the host's own Python (3.9 to 3.13), with the standard library and `harmovid` alone. Modules: `nk` and
`graph` (the script text and the Group's inside), `knobs`, `inputs` and `node` (the Group from outside), `render`,
`jobs`, `readback` and `status` (one send from start to end), `panel`, `bake`, `farm`, `selftest`, `install`.
"""

from __future__ import annotations

import sys

__all__ = ["OLDEST_PYTHON", "SCHEMA", "python_problem"]

SCHEMA = "2"
"""Version of a saved Group; a newer one is opened but not changed, an older one is upgraded by its next send.

2: inputs from the engine's description; a foreground without alpha is changed where its matte is.
"""

OLDEST_PYTHON = (3, 9)


def python_problem() -> str:
    """Return why this Python cannot run the plugin, as a sentence for the artist; empty where it can."""
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return ""
    found = ".".join(map(str, sys.version_info[:2]))
    return (
        "HarmoVid needs Python 3.9 or newer, and this Nuke has " + found + ". Use Nuke 14 or later. "
        "Scripts with HarmoVid results open and render here all the same."
    )
