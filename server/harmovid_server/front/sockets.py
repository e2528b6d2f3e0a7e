"""The two public sockets: their options (docs/wire.md, "Sockets"), reading one message, sending one message.

control, data = bind(context, config, pair, ports)
incoming = receive(control)                        # None if there is none
try_send(control, routing_id, parts)               # SENT, FULL or GONE; never waits
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import zmq
from harmovid.errors import InputError
from harmovid.keys import KeyPair
from harmovid.transport import wire

from harmovid_server.config import Config
from harmovid_server.front.auth import DOMAIN
from harmovid_server.ipc import IPC_PATH_BYTES

Socket = zmq.Socket[bytes]

SENT, FULL, GONE = "sent", "full", "gone"

_PARTS = 3
"""Routing id, header, payload."""

# libzmq's own routing ids are a zero byte and four more. A peer that sets its own is not one of our clients, and
# could ask for the id of a client that has just left.
_MADE_ID_BYTES = 5


@dataclass(frozen=True)
class Incoming:
    """One received message: the sender's routing id, its key ("" without keys), and the parts (None if not two)."""

    routing_id: bytes
    user: str
    parts: Optional[List[Any]]
    address: str


def bind(
    context: zmq.Context[Socket], config: Config, pair: Optional[KeyPair], ports: Tuple[int, int]
) -> Tuple[Socket, Socket, Tuple[int, int]]:
    """Bind the control and data sockets; return them and their ports.

    Args:
        ports: control and data port; 0 chooses a free one.

    Raises:
        InputError: the address is in use, or not one of this machine.
    """
    control, control_port = _bind(context, config.bind, ports[0], pair)
    # With a chosen control port users expect the data port next to it; with a free one they do not.
    wanted = ports[1] or (control_port + 1 if config.port else 0)
    try:
        data, data_port = _bind(context, config.bind, wanted, pair)
    except InputError:
        control.close()
        raise
    return control, data, (control_port, data_port)


def bind_local(data: Socket, folder: Path) -> str:
    """Bind the data socket to a Unix socket, too, for clients on this machine; return its path.

    Args:
        data: the bound data socket.
        folder: a private folder; clients that may not enter it use TCP.

    Returns:
        the path, or "" if it would be too long.
    """
    path = folder / f"data-{secrets.token_hex(8)}"
    if len(os.fsencode(path)) > IPC_PATH_BYTES:
        return ""
    data.bind(f"ipc://{path}")
    return str(path)


def _bind(
    context: zmq.Context[Socket], address: str, port: int, pair: Optional[KeyPair]
) -> Tuple[Socket, int]:
    socket = context.socket(zmq.ROUTER)
    for option, value in (
        (zmq.ROUTER_MANDATORY, 1),
        (zmq.ROUTER_HANDOVER, 0),
        (zmq.MAXMSGSIZE, wire.MAX_MESSAGE_BYTES),
        (zmq.SNDHWM, wire.HIGH_WATER_MARK),
        (zmq.RCVHWM, wire.HIGH_WATER_MARK),
        (zmq.LINGER, 0),
        (zmq.HEARTBEAT_IVL, wire.HEARTBEAT_IVL_MS),
        (zmq.HEARTBEAT_TIMEOUT, wire.HEARTBEAT_TIMEOUT_MS),
        (zmq.HEARTBEAT_TTL, wire.HEARTBEAT_TTL_MS),
        (zmq.HANDSHAKE_IVL, wire.HANDSHAKE_IVL_MS),
        (zmq.IPV6, int(":" in address)),
    ):
        socket.setsockopt(option, value)
    if pair is not None:
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public.encode("ascii"))
        socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode("ascii"))
    host = f"[{address}]" if ":" in address else address
    try:
        socket.bind(f"tcp://{host}:{port or '*'}")
    except zmq.ZMQError as error:
        socket.close()
        raise InputError(
            f"{address} port {port} cannot be listened on: {error.strerror}.",
            fix="Another server may be running there; take another --port or --bind.",
        ) from error
    endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return socket, int(endpoint.rsplit(":", 1)[1])


def receive(socket: Socket) -> Optional[Incoming]:
    """Return the next message, or None. Parts beyond the third are dropped one by one, never stored."""
    try:
        frame = socket.recv(flags=zmq.DONTWAIT, copy=False)
    except zmq.Again:
        return None
    parts: List[Any] = []
    first, count = frame, 1
    while frame.more:
        frame = socket.recv(flags=zmq.DONTWAIT, copy=False)
        count += 1
        if count <= _PARTS:
            parts.append(frame)
    routing_id = bytes(first.buffer)
    made_here = len(routing_id) == _MADE_ID_BYTES and routing_id[0] == 0
    whole = made_here and count == _PARTS
    about = parts[0] if parts else first
    return Incoming(
        routing_id,
        _property(about, "User-Id"),
        [part.buffer for part in parts] if whole else None,
        _property(about, "Peer-Address"),
    )


def _property(frame: zmq.Frame, name: str) -> str:
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""


def try_send(socket: Socket, routing_id: bytes, parts: Sequence[Any]) -> str:
    """Send without waiting. FULL: the peer reads too slowly, try later. GONE: the peer is disconnected."""
    try:
        socket.send_multipart([routing_id, *parts], flags=zmq.DONTWAIT, copy=False)
    except zmq.Again:
        return FULL
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            return GONE
        raise
    return SENT
