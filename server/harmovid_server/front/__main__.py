"""The front process, as main starts it: `python -m harmovid_server.front ...`."""

from __future__ import annotations

import sys
from typing import Sequence

from harmovid_server.child import enter
from harmovid_server.front.front import Front
from harmovid_server.front.malloc import tune


def main(arguments: Sequence[str]) -> None:
    """Serve until main sends `bye` or is gone."""
    config, link = enter(arguments)
    tune()
    front = Front(config, link)
    while not front.done:
        front.turn()
    front.close()
    link.close()


if __name__ == "__main__":
    main(sys.argv[1:])
