"""The engine process, as main starts it.

python -m harmovid_server.worker --link ADDRESS --settings FILE --name worker-0.1 --parent PID
"""

from __future__ import annotations

import logging
import sys
from typing import Sequence

from harmovid.errors import HarmoVidError

from harmovid_server import engines
from harmovid_server.child import enter
from harmovid_server.worker.codec_pool import COMMAND, COMMAND_LOG_JSON, CodecPool
from harmovid_server.worker.engine_host import EngineHost
from harmovid_server.worker.worker import Worker, codec_children, runtime_settings

log = logging.getLogger("harmovid.worker")


def main(arguments: Sequence[str]) -> None:
    """Work until main is gone, or until codec children do not start any more: main then starts another."""
    config, link = enter(arguments)
    try:
        loaded = engines.load(config.engines or None, config.engine_folders)
    except HarmoVidError as error:
        log.error("engines cannot be offered: %s", error)
        sys.exit(2)
    host = EngineHost(loaded, runtime_settings(config, link.name))
    pool = CodecPool(codec_children(config), COMMAND_LOG_JSON if config.log_json else COMMAND)
    worker = Worker(link, host, pool)
    link.send("hello", role="worker", engines=[info.to_dict() for info in host.infos()])
    try:
        while pool.failure is None:
            worker.turn()
    finally:
        worker.close()
    sys.exit(str(pool.failure))


if __name__ == "__main__":
    main(sys.argv[1:])
