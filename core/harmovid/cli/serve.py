"""`harmovid serve`: run a server in this process. Its flags are the server's own."""

from __future__ import annotations

from importlib import import_module
from typing import Sequence

from harmovid.embedded import check_installed


def run(words: Sequence[str]) -> int:
    """Serve until told to stop; return the server's exit code.

    Args:
        words: the flags after `serve`, as `python -m harmovid_server` takes them.

    Raises:
        InputError: this installation cannot run a server.
    """
    check_installed()
    exit_code: int = import_module("harmovid_server.__main__").main(list(words))
    return exit_code
