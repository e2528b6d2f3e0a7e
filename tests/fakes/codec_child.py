"""A codec child that fails as its tasks request: run by `CodecPool(command=...)` in place of the real one."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

from harmovid.errors import FrameUnreadable
from harmovid_server.codec import packets


def main() -> None:
    """Greet, then do what each task says until the pool is gone."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    packets.send(sock, {})
    served = 0
    while True:
        try:
            body, arrays = packets.receive(sock)
        except packets.PeerGoneError:
            return
        served += 1
        task = body["task"]
        if task == "segfault" or (task == "segfault when worn" and served > 1):
            os.kill(os.getpid(), signal.SIGSEGV)
        if task == "sleep":
            time.sleep(body["seconds"])
        while task == "compute":
            pass
        if task == "wait":
            while not os.path.exists(body["for"]):
                time.sleep(0.01)
        if task == "nonsense":
            sock.sendall(b"\xff" * 64)
            continue
        if task == "refuse":
            packets.send(sock, {"error": FrameUnreadable("it is torn.", frame=body["frame"]).to_wire()})
            continue
        packets.send(sock, {"pid": os.getpid(), "served": served, "echo": body}, arrays)


if __name__ == "__main__":
    main()
