"""A worker whose engines run on a Ray cluster, as main starts it.

python -m harmovid_server.cluster --link ADDRESS --settings FILE --name worker-0.1 --parent PID
"""

from __future__ import annotations

import logging
import signal
import sys
from typing import Sequence

from harmovid.errors import HarmoVidError

from harmovid_server import engines
from harmovid_server.child import enter
from harmovid_server.cluster.host import ClusterHost
from harmovid_server.cluster.pool import ActorPool
from harmovid_server.worker.worker import work

log = logging.getLogger("harmovid.worker")


def main(arguments: Sequence[str]) -> None:
    """Work until main is gone, or until codec children do not start any more: main then starts another."""
    config, link = enter(arguments)
    try:
        described = engines.load(config.engines or None, config.engine_folders)
        pool = ActorPool(config)
    except (HarmoVidError, ConnectionError, RuntimeError, ValueError) as error:
        log.error("engines cannot be offered: %s", error)
        sys.exit(2)
    # Ray takes both signals for itself; main ends its children (`child.enter`).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    work(config, link, ClusterHost(described, pool, config.ray_wait_s))


if __name__ == "__main__":
    main(sys.argv[1:])
