"""Who may connect: the ZAP handler (ZeroMQ RFC 27) over a file of authorized public keys.

libzmq's handshake asks on an inproc socket whether a key may connect, before any message of that peer is read. The
handler runs in the front's own poll loop; it is bound before the public sockets, so there is no moment without it.

    authenticator = ZapAuthenticator(context, "/etc/harmovid/authorized_keys")
    ...
    if authenticator.socket is readable: authenticator.answer()

pyzmq's own `zmq.auth.Authenticator` with a callback was tried and does less (27.3.0): it allows the NULL mechanism
whatever the domain, its handler is a coroutine, and a key of a wrong length raises before its REP socket has answered,
after which that socket answers nobody.
"""

from __future__ import annotations

import logging
from typing import Mapping, Optional, Sequence

import zmq
from harmovid.keys import ListedKey
from zmq.utils import z85

from harmovid_server.key_list import KeyList

log = logging.getLogger("harmovid.front")

ADDRESS = "inproc://zeromq.zap.01"
DOMAIN = b"harmovid"
VERSION = b"1.0"
_KEY_BYTES = 32

# version, request id, domain, address, identity, mechanism; then the credentials
_HEAD = 6


class ZapAuthenticator:
    """Answers libzmq's requests, and reads the list again when the file has changed."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], path: str) -> None:
        """Bind the handler and read the list.

        Raises:
            KeyFileError: the list cannot be read or has a malformed line.
        """
        self._list = KeyList(path, log)
        self._refused = 0
        self.socket = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(ADDRESS)

    @property
    def keys(self) -> Mapping[str, ListedKey]:
        """The keys that may connect."""
        return self._list.listed

    def take_refused(self) -> int:
        """Return how many connections have been refused since the last call."""
        refused, self._refused = self._refused, 0
        return refused

    def answer(self) -> None:
        """Answer every request that is waiting."""
        while True:
            try:
                parts = self.socket.recv_multipart(flags=zmq.DONTWAIT)
            except zmq.Again:
                return
            if b"" not in parts:
                continue
            cut = parts.index(b"") + 1
            reply = self._reply(parts[cut:])
            if reply is not None:
                self.socket.send_multipart([*parts[:cut], *reply], flags=zmq.DONTWAIT)

    def _reply(self, request: Sequence[bytes]) -> Optional[Sequence[bytes]]:
        if len(request) < _HEAD or request[0] != VERSION:
            return None
        request_id, domain, address, mechanism = request[1], request[2], request[3], request[5]
        user = self._user(domain, mechanism, request[_HEAD:])
        if user is None:
            self._refused += 1
            log.warning(
                "a client with an unknown key was refused, from %s", address.decode("ascii", "replace")
            )
            return [VERSION, request_id, b"400", b"this key is not authorized", b"", b""]
        return [VERSION, request_id, b"200", b"", user.encode("ascii"), b""]

    def _user(self, domain: bytes, mechanism: bytes, credentials: Sequence[bytes]) -> Optional[str]:
        if domain != DOMAIN or mechanism != b"CURVE" or len(credentials) != 1:
            return None
        if len(credentials[0]) != _KEY_BYTES:
            return None
        key = z85.encode(credentials[0]).decode("ascii")
        return key if key in self.keys else None

    def reload_if_changed(self, force: bool = False) -> bool:
        """Read the list again if the file is another one than last time; True if it was read.

        If the list cannot be read, the last good one stays in force, so that a typing error admits or excludes nobody.
        """
        if not self._list.read_if_changed(force):
            return False
        log.info("authorized keys read: %d", len(self.keys))
        return True
