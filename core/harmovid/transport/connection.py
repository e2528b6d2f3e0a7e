"""A client's connection with a server: one session over a control and a data socket (docs/wire.md).

    connection = Connection.open("tcp://render01:5570", keys, timeout_s=5.0, data=True)
    connection.send("PING", ref=1)
    for message in connection.poll(timeout_ms=100): ...
    connection.close()

A connection is used by one thread. It blocks only in `open`, `request` and `poll`, each for a bounded time. If the
connection breaks, the server falls silent, or the server does not know the session any more, `Unreachable` is raised;
the caller then opens another connection.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Tuple

import zmq

import harmovid
from harmovid.errors import (
    AuthError,
    HarmoVidError,
    InputError,
    JobCancelled,
    ProtocolError,
    Unreachable,
    VersionError,
    from_wire,
)
from harmovid.keys import KeyPair
from harmovid.transport import wire
from harmovid.transport.schema import Buffer

DEFAULT_PORT = 5570
Clock = Callable[[], float]
"""A monotonic clock in seconds, such as `time.monotonic`."""
_ADDRESS = re.compile(r"(?:tcp://)?(\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+)(?::([0-9]{1,5}))?/?")
# Messages received from one socket at a time: limits memory, and how long the other socket waits.
_BATCH = 16
# How often `stopped` is checked while waiting for the server.
_TICK_MS = 50
GOODBYE_MS = 200
# First frame of a monitor's message: event and value (zmq_socket_monitor(3)). The parser in `zmq.utils.monitor` imports
# asyncio, which takes a fifth of a command's start.
_EVENT = struct.Struct("=Hi")
_NO_ANSWER = "Is the server running there (harmovid serve), and does a firewall let the port through?"
_KEYS_DIFFER = "Use a key that the server lists, and the server's own public key (harmovid keys)."


def parse_address(address: str) -> Tuple[str, int]:
    """Return host and control port of "tcp://host:port", "host:port" or "host".

    Raises:
        InputError: it is none of these.
    """
    match = _ADDRESS.fullmatch(address.strip())
    port = int(match.group(2) or DEFAULT_PORT) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise InputError(f"{address!r} is not a server address.", fix="Write it like tcp://render01:5570.")
    return match.group(1), port


def _check_name(endpoint: str) -> None:
    """Raise `Unreachable` if the host's name cannot be resolved; ZeroMQ does not report that."""
    if not endpoint.startswith("tcp://"):
        return
    host, port = parse_address(endpoint)
    try:
        socket.getaddrinfo(host.strip("[]"), port)
    except (OSError, UnicodeError) as error:
        raise Unreachable(
            f"the name {host} cannot be resolved to an address.",
            fix="Check its spelling, or write the machine's number, like tcp://10.0.0.7:5570.",
        ) from error


def _reachable(host: str, path: str) -> bool:
    """Return whether a server on `host` is on this machine and its Unix socket at `path` can be opened.

    Each server process makes up a new path, so this cannot be another server's by accident.
    """
    loopback = host.lower() == "localhost" or host.startswith("127.") or host == "[::1]"
    return loopback and bool(zmq.has("ipc")) and os.path.isabs(path) and os.access(path, os.R_OK | os.W_OK)


def _peer_of(frame: zmq.Frame) -> str:
    """Return the numeric address that a received frame came from; "" where libzmq does not tell."""
    try:
        address = str(frame.get("Peer-Address"))
    except zmq.ZMQError:
        return ""
    return f"[{address}]" if ":" in address else address


class Channel:
    """One DEALER socket to one endpoint, with a monitor that tells why it could not connect.

    Attributes:
        peer: the numeric address that a message came from, IPv6 in brackets; "" before the first one, or unknown.
    """

    def __init__(self, endpoint: str, kind: str, keys: Optional[KeyPair]) -> None:
        """Start connecting.

        Args:
            endpoint: "tcp://host:port", an IPv6 address in brackets; or "ipc://path".
            kind: `wire.TO_CLIENT_CONTROL` or `wire.TO_CLIENT_DATA`, the kind of messages received here.
            keys: the client's key pair with the server's public key, or None without CURVE.
        """
        self.endpoint = endpoint
        self.peer = ""
        self.outbox: Deque[List[Buffer]] = deque()
        self._kind = kind
        self._keys = keys
        self.socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._set_options()
        self.monitor: Any = self.socket.get_monitor_socket(zmq.EVENT_ALL)
        try:
            self.socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(f"{self.endpoint} cannot be used: {error.strerror}.") from error

    def _set_options(self) -> None:
        options = {
            zmq.LINGER: 0,
            zmq.IMMEDIATE: 1,
            zmq.RECONNECT_IVL: -1,
            zmq.MAXMSGSIZE: wire.MAX_MESSAGE_BYTES,
            zmq.SNDHWM: wire.HIGH_WATER_MARK,
            zmq.RCVHWM: wire.HIGH_WATER_MARK,
            zmq.HEARTBEAT_IVL: wire.HEARTBEAT_IVL_MS,
            zmq.HEARTBEAT_TIMEOUT: wire.HEARTBEAT_TIMEOUT_MS,
            zmq.HEARTBEAT_TTL: wire.HEARTBEAT_TTL_MS,
            zmq.HANDSHAKE_IVL: wire.HANDSHAKE_IVL_MS,
            zmq.IPV6: int(self.endpoint.startswith("tcp://[")),
        }
        for option, value in options.items():
            self.socket.setsockopt(option, value)
        if self._keys is not None:
            self.socket.curve_serverkey = self._keys.server.encode("ascii")
            self.socket.curve_publickey = self._keys.public.encode("ascii")
            self.socket.curve_secretkey = self._keys.secret.encode("ascii")

    def flush(self) -> None:
        """Send queued messages until the socket takes no more."""
        while self.outbox:
            try:
                self.socket.send_multipart(self.outbox[0], zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self.outbox.popleft()

    def receive(self) -> List[wire.Message]:
        """Return up to a batch of messages that have arrived.

        Raises:
            ProtocolError, VersionError: the server violates the wire protocol.
        """
        messages: List[wire.Message] = []
        while len(messages) < _BATCH:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                break
            messages.append(wire.decode([frame.buffer for frame in frames], self._kind))
            self.peer = self.peer or _peer_of(frames[0])
        return messages

    def check(self) -> None:
        """Raise if the connection could not be made or is gone.

        Raises:
            AuthError: the handshake failed because of the keys; `retryable` if the server may just have died.
            Unreachable: nobody listens, or the connection broke.
        """
        while self.monitor.poll(0):
            event, value = _EVENT.unpack(self.monitor.recv_multipart()[0])
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise AuthError(f"the server at {self.endpoint} refuses our key.", fix=_KEYS_DIFFER)
            if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
                raise self._not_understood(value)
            if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and value != errno.EAGAIN:
                raise self._cut_off()
            if event in (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_DISCONNECTED):
                raise Unreachable(f"the connection to {self.endpoint} broke.", fix=_NO_ANSWER)
            if event == zmq.EVENT_CLOSED:
                raise Unreachable(f"nobody listens at {self.endpoint}.", fix=_NO_ANSWER)

    def _not_understood(self, reason: int) -> HarmoVidError:
        """Return the error for a peer with an incompatible handshake."""
        if reason != zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            return Unreachable(f"{self.endpoint} is no HarmoVid server.", fix="Check the port.")
        differs = "needs no key but we show one" if self._keys else "wants a key"
        return AuthError(f"the server at {self.endpoint} {differs}.", fix=_KEYS_DIFFER)

    def _cut_off(self) -> HarmoVidError:
        """Return the error for a peer that closes the connection during the handshake.

        The usual reason is the key; a server that dies at this moment looks the same, hence `retryable`.
        """
        reason = "does not hold the key that we trust, or needs no key" if self._keys else "wants a key"
        error = AuthError(
            f"the server at {self.endpoint} closes the connection: it {reason}.", fix=_KEYS_DIFFER
        )
        error.retryable = True
        return error

    def close(self, linger_ms: int = 0) -> None:
        """Close socket and monitor; libzmq may go on sending for `linger_ms` in the background."""
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=linger_ms)


class Connection:
    """One session with a server: sends HELLO and signs of life; `poll` serves both sockets.

    Attributes:
        welcome: the fields of the server's WELCOME.
        credit: bytes that may be sent upstream at the start (0 without a data socket).
        congested: whether the data socket accepts no more data at the moment.
    """

    def __init__(
        self, address: str, keys: Optional[KeyPair], wake: Any = None, clock: Clock = time.monotonic
    ) -> None:
        """Start connecting; use `open` instead."""
        self._clock = clock
        if keys is not None and not keys.server:
            raise AuthError(
                f"the key {keys.name} does not say which server to trust.",
                fix="Add the server's public key to it (harmovid keys).",
            )
        self._host, port = parse_address(address)
        self._keys = keys
        self._control = Channel(f"tcp://{self._host}:{port}", wire.TO_CLIENT_CONTROL, keys)
        self._data: Optional[Channel] = None
        self._wake = wake
        self._next_ref = 0
        self._received_s = self._sent_s = self._clock()
        self.welcome: Dict[str, Any] = {}
        self.credit = 0

    @classmethod
    def open(
        cls,
        address: str,
        keys: Optional[KeyPair],
        *,
        timeout_s: float,
        data: bool,
        wake: Any = None,
        stopped: Callable[[], bool] = lambda: False,
        clock: Clock = time.monotonic,
    ) -> Connection:
        """Connect, say HELLO and, with `data`, ATTACH a data socket.

        Args:
            address: see `parse_address`.
            keys: the client's key pair with the server's public key, or None.
            timeout_s: how long all of it may take.
            data: whether files will be sent.
            wake: a socket that ends `poll` when it can be read (it is not read here).
            stopped: called regularly; if it returns True, `JobCancelled` is raised.
            clock: the clock by which silence is measured.

        Raises:
            Unreachable: nobody answers in time. AuthError: wrong keys. VersionError: no common version.
            ServerBusy, ServerDraining: the server takes no new clients.
        """
        deadline = clock() + timeout_s
        connection = cls(address, keys, wake, clock)
        try:
            hello = {"versions": wire.VERSIONS, "client": f"harmovid/{harmovid.__version__}"}
            connection.welcome = connection.request("HELLO", hello, deadline - clock(), stopped).body
            if connection.welcome["version"] != wire.VERSION:
                raise VersionError(f"the server chose protocol {connection.welcome['version']}.")
            if data:
                connection._attach(deadline, stopped)
        except BaseException:
            connection.close()
            raise
        return connection

    def _attach(self, deadline: float, stopped: Callable[[], bool]) -> None:
        """Open the data socket: a Unix socket if the server is on this machine, else TCP."""
        local = self.welcome.get("data_local", "")
        if local and _reachable(self._host, local):
            try:
                self._attach_to(f"ipc://{local}", deadline, stopped)
                return
            except Unreachable:  # in a shared folder this may be another machine's socket
                if self._data is not None:
                    self._data.close()
        # Not by the name: it may have several addresses, and the session is with the server that has answered.
        host = self._control.peer or self._host
        self._attach_to(f"tcp://{host}:{self.welcome['data_port']}", deadline, stopped)

    def _attach_to(self, endpoint: str, deadline: float, stopped: Callable[[], bool]) -> None:
        self._data = Channel(endpoint, wire.TO_CLIENT_DATA, self._keys)
        self.send_data("ATTACH", {"session": self.welcome["session"], "credit": wire.CREDIT_BYTES})
        answer = self._wait(lambda message: message.type == "ATTACHED", "ATTACH", deadline, stopped)
        self.credit = answer.body["credit"]

    @property
    def congested(self) -> bool:
        """Whether the data socket still has unsent messages."""
        return self._data is None or bool(self._data.outbox)

    def send(self, kind: str, body: Optional[Mapping[str, Any]] = None, ref: Optional[int] = None) -> None:
        """Send on the control socket, at the latest in the next `poll`."""
        self._post(self._control, wire.encode(kind, body, ref))

    def send_data(self, kind: str, body: Mapping[str, Any]) -> None:
        """Send on the data socket, at the latest in the next `poll`."""
        if self._data is None:
            raise ProtocolError(f"{kind} needs a data socket.")
        self._post(self._data, wire.encode(kind, body))

    def _post(self, channel: Channel, parts: List[Buffer]) -> None:
        channel.outbox.append(parts)
        channel.flush()
        self._sent_s = self._clock()

    def ref(self) -> int:
        """Return a new request number."""
        self._next_ref += 1
        return self._next_ref

    def request(
        self,
        kind: str,
        body: Optional[Mapping[str, Any]],
        timeout_s: float,
        stopped: Callable[[], bool] = lambda: False,
    ) -> wire.Message:
        """Send a request and wait for its answer; other messages that arrive meanwhile are dropped.

        Raises:
            HarmoVidError: the error in the server's REJECT, or `Unreachable` if it does not answer in time.
        """
        ref = self.ref()
        self.send(kind, body, ref)
        deadline = self._clock() + timeout_s
        answer = self._wait(lambda message: message.ref == ref, kind, deadline, stopped)
        if answer.type == "REJECT":
            raise from_wire(answer.body["error"])
        return answer

    def _wait(
        self,
        wanted: Callable[[wire.Message], bool],
        what: str,
        deadline: float,
        stopped: Callable[[], bool],
    ) -> wire.Message:
        while self._clock() < deadline:
            if stopped():
                raise JobCancelled("stopped while waiting for the server.")
            for message in self.poll(_TICK_MS):
                if wanted(message):
                    return message
        if not self.welcome:
            _check_name(self._control.endpoint)
        raise Unreachable(f"the server at {self._control.endpoint} does not answer {what}.", fix=_NO_ANSWER)

    def poll(self, timeout_ms: int) -> List[wire.Message]:
        """Wait for messages and serve the connection: send queued messages and signs of life.

        Args:
            timeout_ms: longest wait; a readable `wake` socket ends it early.

        Returns:
            The messages that arrived, control before data.

        Raises:
            Unreachable: the connection broke, the server is silent, said BYE or does not know the session.
            ProtocolError: the server violates the wire protocol, or says that this client does.
        """
        channels = [channel for channel in (self._control, self._data) if channel is not None]
        poller = zmq.Poller()
        for channel in channels:
            poller.register(channel.socket, zmq.POLLIN | (zmq.POLLOUT if channel.outbox else 0))
            poller.register(channel.monitor, zmq.POLLIN)
        if self._wake is not None:
            poller.register(self._wake, zmq.POLLIN)
        poller.poll(timeout_ms)
        messages: List[wire.Message] = []
        for channel in channels:
            channel.flush()
            messages += channel.receive()
        if not messages:
            for channel in channels:
                channel.check()
        self._keep_alive(bool(messages))
        for message in messages:
            self._end_of_session(message)
        return messages

    def _keep_alive(self, heard: bool) -> None:
        now = self._clock()
        if heard:
            self._received_s = now
        elif self.welcome and now - self._received_s > wire.SILENT_S:
            raise Unreachable(f"the server at {self._control.endpoint} is silent.", fix=_NO_ANSWER)
        if self.welcome and now - self._sent_s > wire.PING_S:
            self.send("PING", ref=self.ref())

    def _end_of_session(self, message: wire.Message) -> None:
        if message.type == "BYE":
            raise Unreachable(f"the server at {self._control.endpoint} went away.", fix=_NO_ANSWER)
        if message.type == "ERROR" and message.body["scope"] == "session":
            if message.body["error"]["code"] == wire.SESSION_UNKNOWN:
                raise Unreachable(f"the server at {self._control.endpoint} has forgotten this session.")
            raise from_wire(message.body["error"])

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(goodbye=True)

    def close(self, goodbye: bool = False) -> None:
        """Close both sockets at once; with `goodbye` the server is told first that the session ends on purpose."""
        if goodbye:
            self.send("BYE")
        self._control.close(GOODBYE_MS if goodbye else 0)
        if self._data is not None:
            self._data.close()
