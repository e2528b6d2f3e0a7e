"""`harmovid serve`: run a server in this process. Its flags are the server's own."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Sequence

from harmovid.cli.connect import missing_server_part
from harmovid.errors import InputError


def run(words: Sequence[str]) -> int:
    """Serve until told to stop; return the server's exit code.

    Args:
        words: the flags after `serve`, as `python -m harmovid_server` takes them.

    Raises:
        InputError: this installation cannot run a server.
    """
    if not sys.platform.startswith("linux"):
        raise InputError(
            f"the server runs on Linux, not on {sys.platform}.", fix="Use --server with one that does."
        )
    missing = missing_server_part()
    if missing:
        raise InputError(
            f"this installation has no server: {', '.join(missing)} is missing.",
            fix="Run: pip install 'harmovid[server]'",
        )
    exit_code: int = import_module("harmovid_server.__main__").main(list(words))
    return exit_code
