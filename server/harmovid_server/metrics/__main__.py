"""The metrics process, as main starts it: `python -m harmovid_server.metrics ...`."""

from __future__ import annotations

import sys
from typing import Sequence

from harmovid.errors import InputError

from harmovid_server.child import enter

_POLL_MS = 200


def main(arguments: Sequence[str]) -> None:
    """Serve main's numbers until main is gone."""
    config, link = enter(arguments)
    from prometheus_client import CollectorRegistry, generate_latest

    from harmovid_server.metrics.collector import Collector
    from harmovid_server.metrics.listener import Listener
    from harmovid_server.metrics.numbers import GpuMemory, Numbers

    numbers = Numbers()
    registry = CollectorRegistry()
    registry.register(Collector(numbers, GpuMemory()))
    try:
        listener = Listener(
            (config.metrics_bind, config.metrics_port), numbers, lambda: generate_latest(registry)
        )
    except OSError as error:
        taken = InputError(
            f"{config.metrics_bind} port {config.metrics_port} cannot be listened on: {error.strerror}.",
            fix="Another program may use it; take another --metrics-port.",
        )
        link.send("cannot_show", error=taken.to_wire())
        link.close()
        sys.exit(1)
    listener.start()
    link.send("hello", role="metrics", port=listener.port)
    while True:
        link.beat_if_due()
        message = link.receive(_POLL_MS)
        if message and message["op"] == "numbers":
            numbers.take(message)


if __name__ == "__main__":
    main(sys.argv[1:])
