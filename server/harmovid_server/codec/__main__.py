"""A codec child, started by the worker's pool: limits its rights, then runs one task after the other.

python -m harmovid_server.codec [--log-json] SOCKET_FD PARENT_PID
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import List

from harmovid.pixels.apply.fast import best_kernels

from harmovid_server import logs
from harmovid_server.codec import LOG_JSON, packets, reduce, sandbox
from harmovid_server.codec.codec import HEADROOM_BYTES, Codec
from harmovid_server.codec.packets import PeerGoneError
from harmovid_server.ipc import die_with_parent


def main(arguments: List[str]) -> None:
    """Limit this process, send the first message, and run tasks until the pool closes the socket."""
    descriptor, parent = (int(word) for word in arguments[-2:])
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.set_up("info", as_json=LOG_JSON in arguments)
    os.umask(0o077)
    # Libraries and compiled code are loaded before the limits are set, because both map memory.
    best_kernels()
    reduce.best_kernels()
    sandbox.confine(HEADROOM_BYTES)
    codec = Codec()
    with socket.socket(fileno=descriptor) as sock:
        packets.send(sock, {})
        while True:
            try:
                body, arrays = packets.receive(sock)
            except PeerGoneError:
                return
            packets.send(sock, *codec.do(body, arrays))


if __name__ == "__main__":
    main(sys.argv[1:])
