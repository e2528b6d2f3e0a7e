"""What other packages add to HarmoVid: entry points, found by group and loaded when they are used.

Core imports none of our other packages. A package declares its additions in its metadata instead:

    [project.entry-points."harmovid.engines"]
    regrain = "studio_engines.regrain:create"

| group | value |
|---|---|
| `harmovid.commands` | `run(words, console) -> exit code`: a command of `harmovid` that parses its own arguments |
| `harmovid.engines` | `create() -> Engine`: an engine of the server; its `info` describes it |
| `harmovid.doctor` | a list of checks for `harmovid doctor` (`harmovid.doctor.Check`) |
| `harmovid.plugins` | `run(action, words, console) -> exit code`: installs a host's plugin; the name is the host's |
"""

from __future__ import annotations

from typing import Any, Dict

COMMANDS, ENGINES = "harmovid.commands", "harmovid.engines"
DOCTOR, PLUGINS = "harmovid.doctor", "harmovid.plugins"


def find(group: str) -> Dict[str, Any]:
    """Return the entry points of a group by name, in the order of the installed packages.

    Each has `load()`. If a package is installed twice (an editable install over another), the first is used.
    """
    from importlib import metadata  # slow to import, and most commands need no entry point

    every: Any = metadata.entry_points()
    # Python 3.9 answers with a dict of lists.
    found = every.select(group=group) if hasattr(every, "select") else every.get(group, [])
    names: Dict[str, Any] = {}
    for entry in found:
        names.setdefault(entry.name, entry)
    return names
