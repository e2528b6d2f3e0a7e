"""Use of the plugin in the stand-in Nuke as by an artist: make a shot and a node, press a button."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

from fakes import nuke_shots as shots

FIRST, LAST = 1001, 1006
OVER_S = 600.0
"""Limit of the wait for a job: a busy machine takes minutes to load an engine's networks."""


def harmonize(nuke: Any, folder: Path, endpoint: str, first: int = FIRST, last: int = LAST) -> Any:
    """Make a shot, a script that is saved, and a Harmonize node on it."""
    from harmovid_nuke import node

    frames = range(first, last + 1)
    fg = shots.save(folder / "fg", "fg", {n: shots.plate(n) for n in frames})
    bg = shots.save(folder / "bg", "bg", {n: shots.plate(100 + n, alpha=False) for n in frames})
    nuke.root()["first_frame"].setValue(first)
    nuke.root()["last_frame"].setValue(last)
    nuke.frame(first)
    group = node.create("harmonize")
    group.setInput(0, shots.reader(nuke, fg, first, last, "Foreground"))
    group.setInput(1, shots.reader(nuke, bg, first, last, "Background"))
    settle(
        group, (("server", endpoint), ("engine", "harmonize-statistics"), ("first", first), ("last", last))
    )
    nuke.scriptSave(str(folder / "shot.nk"))
    return group


def settle(group: Any, values: Sequence[Any]) -> None:
    """Set several knobs."""
    for name, value in values:
        group[name].setValue(value)


def sent(host: Any, group: Any, button: str = "send") -> Any:
    """Press a button and run Nuke's event loop until the job is over; return the run."""
    from harmovid_nuke import jobs

    before = jobs.latest(group)
    group[button].execute()
    run = jobs.latest(group)
    assert run is not None, group["status"].value()
    assert run is not before, group["status"].value()
    host.run_until(lambda: run.over, OVER_S)
    host.drain()
    return run
