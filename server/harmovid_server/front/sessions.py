"""Sessions of clients: their user, when they last sent something, and the files being sent and received.

HELLO starts a session, ATTACH adds a data socket, and BYE, silence, or a message that the protocol does not allow ends
it. Routing ids are only addresses; the session and its user decide what is allowed.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, List, Optional, Tuple

from harmovid.errors import ServerBusy
from harmovid.transport import wire

from harmovid_server.front.uploads import Upload

Key = Tuple[str, str, int]
"""(job, layer, frame)."""

REQUESTS_OPEN = 64
"""Requests that a session may have unanswered."""

CREDIT_LEAST_BYTES = 2 * wire.CHUNK_BYTES
"""Less could stall: credit is returned per chunk, and a sender may wait until it has enough for a whole one."""

BUSY_RETRY_S = 10.0


@dataclass
class Delivery:
    """One result being sent to a client: its file, the position, how often the client has refused it.

    `sums` are the checksums of its chunks, if stored with the file.
    """

    job: str
    frame: int
    path: str
    size: int
    crc: int
    report: Dict[str, Any]
    handle: int = -1
    sums: Optional[Tuple[int, ...]] = None
    offset: int = 0
    bad: int = 0

    def close(self) -> None:
        """Close its file, if it is open."""
        if self.handle >= 0:
            os.close(self.handle)
        self.handle, self.offset = -1, 0


@dataclass
class Session:
    """One client. `credit` is the number of bytes that it may still send, `owed` the number to be granted again."""

    token: bytes
    user: str
    control: bytes
    heard_s: float
    data: Optional[bytes] = None
    grant: int = 0
    credit: int = 0
    owed: int = 0
    send_credit: int = 0
    blocked_until_s: float = 0.0
    needs: Dict[Key, int] = field(default_factory=dict)
    upload: Optional[Upload] = None
    queue: Deque[Delivery] = field(default_factory=deque)
    unacked: Dict[Tuple[str, int], Delivery] = field(default_factory=dict)
    open_requests: set[int] = field(default_factory=set)
    outbox: Dict[str, Deque[List[Any]]] = field(
        default_factory=lambda: {wire.TO_CLIENT_CONTROL: deque(), wire.TO_CLIENT_DATA: deque()}
    )

    def routing_id(self, channel: str) -> Optional[bytes]:
        """Return the routing id on the control or data socket."""
        return self.control if channel == wire.TO_CLIENT_CONTROL else self.data

    def forget_job(self, job: str) -> None:
        """Drop all transfers of one job, in both directions."""
        self.needs = {key: limit for key, limit in self.needs.items() if key[0] != job}
        if self.upload is not None and self.upload.key[0] == job:
            self.upload.ignore()
        for delivery in [one for one in self.unacked.values() if one.job == job]:
            delivery.close()
            del self.unacked[delivery.job, delivery.frame]
        self.queue = deque(one for one in self.queue if one.job != job)

    def close(self) -> None:
        """Close every file."""
        if self.upload is not None:
            self.upload.ignore()
        for delivery in self.unacked.values():
            delivery.close()


class Sessions:
    """All sessions, by token and by the routing id of either socket. Grants upload credit from one pool."""

    def __init__(self, at_most: int, credit_bytes: int) -> None:
        self._at_most = at_most
        self._credit_pool = credit_bytes
        self.by_token: Dict[bytes, Session] = {}
        self.by_control: Dict[bytes, Session] = {}
        self.by_data: Dict[bytes, Session] = {}

    def open(self, control: bytes, user: str, now_s: float) -> Session:
        """Make a session for a control socket.

        Raises:
            ServerBusy: the limit of sessions is reached.
        """
        if len(self.by_token) >= self._at_most:
            raise ServerBusy(
                f"{self._at_most} clients are connected already.",
                fix="Try again later.",
                retry_after_s=BUSY_RETRY_S,
            )
        session = Session(secrets.token_bytes(wire.TOKEN_BYTES), user, control, now_s)
        self.by_token[session.token] = session
        self.by_control[control] = session
        return session

    def attach(self, session: Session, data: bytes, credit: int) -> None:
        """Connect a data socket to a session, in place of an earlier one, and grant it upload credit.

        The credit is a quarter of what is left in the pool, between 2 and 16 MiB: the first clients get the most, the
        last ones enough, and the sum stays within the pool plus 2 MiB each.
        """
        if session.data is not None:
            self.by_data.pop(session.data, None)
            self._credit_pool += session.grant
        session.data = data
        self.by_data[data] = session
        session.grant = max(min(self._credit_pool // 4, wire.CREDIT_BYTES), CREDIT_LEAST_BYTES)
        self._credit_pool -= session.grant
        session.credit, session.owed, session.send_credit = session.grant, 0, credit

    def close(self, session: Session) -> None:
        """Remove a session."""
        session.close()
        self._credit_pool += session.grant
        session.grant = 0
        self.by_token.pop(session.token, None)
        self.by_control.pop(session.control, None)
        if session.data is not None:
            self.by_data.pop(session.data, None)
