"""The engine process, started by main.

python -m harmovid_server.worker --link ADDRESS --settings FILE --name worker-0.1 --parent PID
"""

from __future__ import annotations

import logging
import sys
from typing import Sequence

from harmovid.errors import HarmoVidError

from harmovid_server import engines
from harmovid_server.child import enter
from harmovid_server.worker.host import EngineHost
from harmovid_server.worker.worker import runtime_settings, work

log = logging.getLogger("harmovid.worker")


def main(arguments: Sequence[str]) -> None:
    """Run until main is gone, or until codec children do not start any more; main then starts another worker."""
    config, link = enter(arguments)
    try:
        loaded = engines.load(config.engines or None, config.engine_folders)
    except HarmoVidError as error:
        log.error("engines cannot be offered: %s", error)
        sys.exit(2)
    work(config, link, EngineHost(loaded, runtime_settings(config, link.name)))


if __name__ == "__main__":
    main(sys.argv[1:])
