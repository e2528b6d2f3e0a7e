"""`harmovid plugin install|uninstall HOST`: run the installer of a host's plugin.

The package names its installer in the entry point group `harmovid.plugins`, under the host's name: a function
`run(action, words, console) -> exit code`, where `action` is "install" or "uninstall" (`harmovid.entry_points`).
"""

from __future__ import annotations

import argparse
from typing import Callable, Sequence

from harmovid import entry_points
from harmovid.cli.console import Console
from harmovid.errors import InputError

ACTIONS = ("install", "uninstall")
OWN_FLAGS = ("--json", "--debug")
Installer = Callable[[str, Sequence[str], Console], int]


def run(args: argparse.Namespace, console: Console) -> int:
    """Install or remove the plugin of the host `args.host`; the installer reads `args.words` itself.

    Raises:
        InputError: no installed package has a plugin for that host, or it cannot be loaded.
    """
    found = entry_points.find(entry_points.PLUGINS)
    if args.host not in found:
        known = ", ".join(sorted(found)) or "none"
        raise InputError(
            f"there is no plugin for {args.host!r} here.", fix=f"There are plugins for: {known}."
        )
    try:
        installer: Installer = found[args.host].load()
    except ImportError as error:
        raise InputError(
            f"the plugin for {args.host} cannot be loaded: {error}.", fix="Reinstall harmovid."
        ) from error
    # Behind the host's name argparse leaves the command's own flags to the installer; the console has them already.
    return installer(args.action, [word for word in args.words if word not in OWN_FLAGS], console)
