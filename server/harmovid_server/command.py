"""`harmovid serve`: run a server in this process. Its flags are the server's own (`harmovid_server.config`)."""

from __future__ import annotations

from typing import Sequence

from harmovid.cli.console import Console
from harmovid.embedded import check_startable

from harmovid_server.__main__ import main


def run(words: Sequence[str], _console: Console) -> int:
    """Serve until told to stop; return the server's exit code.

    Args:
        words: the flags after `serve`, as `python -m harmovid_server` takes them.

    Raises:
        InputError: this installation cannot run a server.
    """
    check_startable()
    return main(list(words))
