"""The link between main and its children: one ipc ROUTER in main, one DEALER in each child.

A message is one msgpack map with the key "op"; docs/architecture.md 4.1 lists the ops and their fields. The
socket is in a private folder (mode 0700), so only our own processes can use it. Still each message is checked to be a
map with an "op", because a bug in a child must not stop main.

    router = IpcRouter(folder / "link")                     # in main
    router.send("worker-0.1", "start", job=..., ...)
    for name, message in router.receive(): ...

    link = IpcClient(address, "worker-0.1")        # in a child; one thread owns it
    link.send("hello", role="worker", engines=[...])
    link.beat_if_due()
    message = link.receive(timeout_ms=100)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple

import msgpack
import zmq

Message = Dict[str, Any]

BEAT_S = 1.0
MISSED_BEATS = 3
"""A child that misses this many beats is replaced (docs/architecture.md 4.1)."""

PR_SET_PDEATHSIG = 1
"""linux/prctl.h."""

# A start message carries the numbers of finished frames; 100,000 of them take under 1 MiB.
_MAX_MESSAGE_BYTES = 16 << 20
_NO_WAIT = zmq.DONTWAIT

IPC_PATH_BYTES = 107
"""Longest path of a Unix socket: sockaddr_un.sun_path is 108 bytes (unix(7))."""


def pack(op: str, fields: Message) -> bytes:
    """Return the bytes of one link message."""
    packed: bytes = msgpack.packb({"op": op, **fields}, use_bin_type=True)
    return packed


def unpack(data: bytes) -> Optional[Message]:
    """Return the message in `data`, or None if it is not a map with an "op"."""
    try:
        message = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (ValueError, msgpack.UnpackException):
        return None
    if isinstance(message, dict) and isinstance(message.get("op"), str):
        return message
    return None


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when main is gone, for whatever reason.

    If the parent is already gone, exit at once.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(f"parent {parent_pid} is gone")


class IpcRouter:
    """Main's end. Children are known by the name that main gave them, which is their DEALER's routing id."""

    def __init__(self, path: Path) -> None:
        self.address = f"ipc://{path}"
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.ROUTER)
        # Names are never reused, so a late message can only come from the child that it names.
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)
        self.socket.bind(self.address)

    def send(self, name: str, op: str, **fields: Any) -> bool:
        """Send without waiting; return False if the child is gone, which missing heartbeats will show too."""
        try:
            self.socket.send_multipart([name.encode(), pack(op, fields)], flags=_NO_WAIT)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                return False
            raise
        return True

    def receive(self, at_most: int = 1000) -> Iterator[Tuple[str, Message]]:
        """Yield the (child name, message) pairs that have arrived, without waiting."""
        for _ in range(at_most):
            try:
                parts = self.socket.recv_multipart(flags=_NO_WAIT)
            except zmq.Again:
                return
            message = unpack(parts[1]) if len(parts) == 2 else None
            if message is not None:
                yield parts[0].decode("utf-8", "replace"), message

    def close(self) -> None:
        """Unbind and drop unsent messages; the children are gone or about to end."""
        self.socket.close()
        self._context.term()


class IpcClient:
    """A child's end. Used by one thread only, the one that creates it, as zmq sockets require."""

    def __init__(self, address: str, name: str) -> None:
        self.name = name
        self.folder = Path(address[len("ipc://") :]).parent
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, name.encode())
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.connect(address)
        self._next_beat_s = 0.0

    def send(self, op: str, **fields: Any) -> None:
        """Queue one message. It never blocks: main reads all the time, or is dead and this process ends with it."""
        self.socket.send(pack(op, fields), flags=_NO_WAIT)

    def beat_if_due(self) -> None:
        """Send `beat` if a second has passed since the last one. Call this a few times a second."""
        now = time.monotonic()
        if now >= self._next_beat_s:
            self._next_beat_s = now + BEAT_S
            self.send("beat")

    def receive(self, timeout_ms: int = 0) -> Optional[Message]:
        """Return the next message from main, or None if none arrives within `timeout_ms`."""
        if not self.socket.poll(timeout_ms):
            return None
        return unpack(self.socket.recv(flags=_NO_WAIT))

    def close(self, linger_ms: int = 200) -> None:
        """Close, after a moment for sending queued messages."""
        self.socket.close(linger=linger_ms)
        self._context.term()
