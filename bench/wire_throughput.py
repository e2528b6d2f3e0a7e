"""Throughput of the wire protocol: client to spool and back without codec, compared with a raw socket.

    python bench/wire_throughput.py [--frames 64] [--mb 28] [--quick]

"protocol" is a real client and a real server whose worker returns each file unchanged: schema, checksums per MiB and
per file, credit, spool files, dispatcher, acknowledgements; bytes of both directions count. "unix" is the Unix socket
that a client on the server's machine uses, "keys" is TCP with CURVE. "raw" is ZeroMQ alone over TCP loopback: a DEALER
in one process and a ROUTER in another, no copies, at most eight messages in flight. Rounds alternate; the best of each
is taken.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping
from unittest import mock

import zmq
from harmovid.client import Client
from harmovid.job import JobSpec
from harmovid.transport import connection
from support.server import LocalServer

MIRROR = str(Path(__file__).parent / "support" / "mirror_server.py")
WINDOW = 8
CHUNK_BYTES = 1 << 20
LARGE_BYTES = 16 << 20


class Memory:
    """A source with one file for every frame, and a sink that discards results: no disk at the client."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, layer: str, frame: int) -> bytes:
        """Return the file."""
        return self._data

    def begin(self, job_id: str) -> Mapping[int, int]:
        """Return no existing frames."""
        return {}

    def write(self, frame: int, data: Any, report: Mapping[str, Any]) -> None:
        """Check the number of bytes, and discard them."""
        if len(data) != len(self._data):
            raise SystemExit(f"frame {frame} came back with {len(data)} bytes")

    def finish(self, state: str) -> None:
        """Do nothing."""


def protocol(server: LocalServer, data: bytes, count: int, local: bool = False) -> float:
    """Return GB/s of both directions together, over the Unix socket if `local`, else over TCP."""
    memory = Memory(data)
    spec = JobSpec(uuid.uuid4().hex, "mirror", f"1-{count}", ("plate",))
    # A client uses the Unix socket where it can; here it must be possible to prevent that.
    tcp_only = mock.patch.object(connection, "_reachable", return_value=False)
    with Client(server.address, server.keys) as client, contextlib.nullcontext() if local else tcp_only:
        started_s = time.perf_counter()
        client.run(spec, memory, memory)
        took_s = time.perf_counter() - started_s
    return 2 * count * len(data) / took_s / 1e9


def _receive_raw(port_to: Any, count: int) -> None:
    """Run the ROUTER: receive messages, answer each with an empty one as its credit."""
    socket = zmq.Context.instance().socket(zmq.ROUTER)
    port_to.send(socket.bind_to_random_port("tcp://127.0.0.1"))
    for _ in range(count):
        who, _ = socket.recv_multipart(copy=False)
        socket.send_multipart([who, b""], copy=False)
    socket.close(linger=1000)


def raw(size: int, total_bytes: int) -> float:
    """Return GB/s of ZeroMQ alone, in messages of `size`."""
    count = max(WINDOW, total_bytes // size)
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=_receive_raw, args=(theirs, count))
    receiver.start()
    socket = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(f"tcp://127.0.0.1:{ours.recv()}")
    data = bytes(size)
    started_s = time.perf_counter()
    for sent in range(count):
        if sent >= WINDOW:
            socket.recv()
        socket.send(data, copy=False)
    for _ in range(min(WINDOW, count)):
        socket.recv()
    took_s = time.perf_counter() - started_s
    receiver.join()
    socket.close(linger=0)
    return count * size / took_s / 1e9


def memcpy(size: int) -> float:
    """Return GB/s of copying memory once."""
    data, times = bytearray(os.urandom(size)), []
    for _ in range(10):
        started_s = time.perf_counter()
        bytes(data)
        times.append(time.perf_counter() - started_s)
    return size / min(times) / 1e9


def main() -> None:
    """Measure, print a table, and one JSON line last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument(
        "--mb", type=float, default=28.0, help="size of a frame's file: 28 is 4K half RGBA, ZIP"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="one round of few small files: does it run at all?"
    )
    given = parser.parse_args()
    frames, mb, rounds = (8, 4.0, 1) if given.quick else (given.frames, given.mb, given.rounds)
    data = os.urandom(int(mb * 1e6))
    with LocalServer(script=MIRROR) as server, LocalServer(script=MIRROR, with_keys=True) as locked:
        rows: Dict[str, Callable[[], float]] = {
            "memcpy": lambda: memcpy(LARGE_BYTES),
            "raw tcp, 16 MiB": lambda: raw(LARGE_BYTES, frames * len(data)),
            "raw tcp, 1 MiB": lambda: raw(CHUNK_BYTES, frames * len(data)),
            "protocol": lambda: protocol(server, data, frames),
            "protocol, unix": lambda: protocol(server, data, frames, local=True),
            "protocol, keys": lambda: protocol(locked, data, frames),
        }
        found: Dict[str, List[float]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, work in rows.items():
                found[name].append(work())
    best = {name: max(values) for name, values in found.items()}
    print(f"{'path':>16} {'GB/s':>6} {'worst':>6} {'of raw':>7}")
    for name, values in found.items():
        print(f"{name:>16} {max(values):6.2f} {min(values):6.2f} {max(values) / best['raw tcp, 1 MiB']:7.2f}")
    print(json.dumps({"bench": "wire_throughput", "frames": frames, "mb": mb, "gb_per_s": best}))


if __name__ == "__main__":
    main()
