"""Commands that other rooms bring: found by name in the entry point group `harmovid.commands`, loaded when run.

The core imports nothing of ours; a room names its command in the package's metadata instead:

    [project.entry-points."harmovid.commands"]
    evaluate = "harmovid_evaluate.command:run"

Such a command is a function `run(words, console) -> exit code`; it reads its own words.
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Callable, List, Sequence

from harmovid.cli.console import Console
from harmovid.errors import InputError

GROUP = "harmovid.commands"
EXTRAS = {"evaluate": "training"}
"""Command -> the extra of the package that brings what it needs."""

Command = Callable[[Sequence[str], Console], int]


def run(words: Sequence[str], console: Console) -> int:
    """Run the command `words[0]` with the words behind it.

    Raises:
        InputError: it is not installed, or something that it needs is not.
    """
    name = words[0]
    mend = f"Run pip install 'harmovid[{EXTRAS[name]}]'."
    found = [entry for entry in _entry_points() if entry.name == name]
    if not found:
        raise InputError(f"the command {name} is not installed here.", fix=mend)
    try:
        command: Command = found[0].load()
    except ImportError as error:
        raise InputError(f"the command {name} cannot be loaded: {error}.", fix=mend) from error
    return command(words[1:], console)


def _entry_points() -> List[Any]:
    every: Any = metadata.entry_points()
    # Python 3.9 answers with a dict of lists.
    return list(every.select(group=GROUP) if hasattr(every, "select") else every.get(GROUP, []))
