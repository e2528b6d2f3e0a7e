"""Commands of other packages: found in the entry point group `harmovid.commands`, loaded when they run.

Such a command is a function `run(words, console) -> exit code`; it parses its own arguments (`harmovid.entry_points`).
"""

from __future__ import annotations

from typing import Callable, Dict, Sequence, Tuple

from harmovid import entry_points
from harmovid.cli.console import Console
from harmovid.errors import InputError

KNOWN: Dict[str, Tuple[str, str]] = {
    "serve": ("server", "run a server"),
    "dashboard": ("dashboard", "a server's jobs, frames and engines in a web browser"),
    "evaluate": ("training", "measure methods on clips with masks; preference study"),
    "train": ("training", "train networks: index, stages 1 to 3, rendered clips, costs, the toy"),
    "generate": ("training", "run a checkpoint that training wrote on footage"),
    "export": ("training,export", "make an engine bundle of a trained model, and TensorRT plans"),
    "bundle": ("export", "look into an engine bundle, check it, pack it"),
}
"""Our own commands of this kind: the extra with their requirements, and their help text.

Others are searched only when used, because searching takes a moment and `--help` should answer at once.
"""

Command = Callable[[Sequence[str], Console], int]


def is_one(name: str) -> bool:
    """Return whether `name` is a command of this kind."""
    return name in KNOWN or name in entry_points.find(entry_points.COMMANDS)


def run(words: Sequence[str], console: Console) -> int:
    """Run the command `words[0]` with the arguments after it.

    Raises:
        InputError: it is not installed, or one of its requirements is not.
    """
    name = words[0]
    fix = f"Run pip install 'harmovid[{KNOWN[name][0]}]'." if name in KNOWN else "Reinstall its package."
    entry = entry_points.find(entry_points.COMMANDS).get(name)
    if entry is None:
        raise InputError(f"the command {name} is not installed here.", fix=fix)
    try:
        command: Command = entry.load()
    except ImportError as error:
        raise InputError(f"the command {name} cannot be loaded: {error}.", fix=fix) from error
    return command(words[1:], console)
