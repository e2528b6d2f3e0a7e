"""Messages to clients: small ones are queued for a slow peer, large ones are sent at once or not at all.

No send waits. A peer that accepts nothing for too long, or is gone, is reported through `lost`, which ends its session.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Optional, Tuple

from harmovid.errors import HarmoVidError, ProtocolError
from harmovid.transport import wire
from harmovid.transport.wire import TO_CLIENT_CONTROL, TO_CLIENT_DATA

from harmovid_server.front.sessions import Session, Sessions
from harmovid_server.front.sockets import FULL, GONE, Socket, try_send
from harmovid_server.logs import about

log = logging.getLogger("harmovid.front")

OUTBOX_MESSAGES = 2048
"""Messages queued for a slow peer; with one more its session ends. File data is limited by credit."""

CHANNELS = (TO_CLIENT_CONTROL, TO_CLIENT_DATA)


class ClientSender:
    """Sends on both public sockets, for all sessions."""

    def __init__(self, sessions: Sessions, lost: Callable[[Session, str], None]) -> None:
        self._sessions = sessions
        self._lost = lost
        self._sockets: Dict[str, Socket] = {}
        self.waiting = False

    def use(self, control: Socket, data: Socket) -> None:
        """Send on these sockets from now on."""
        self._sockets = {TO_CLIENT_CONTROL: control, TO_CLIENT_DATA: data}

    def control(self, session: Session, kind: str, body: Dict[str, Any], ref: Optional[int] = None) -> None:
        """Send a small message on a session's control socket."""
        self._keep(session, TO_CLIENT_CONTROL, kind, body, ref)

    def data(self, session: Session, kind: str, body: Dict[str, Any]) -> None:
        """Send a small message on a session's data socket."""
        self._keep(session, TO_CLIENT_DATA, kind, body, None)

    def everybody(self, kind: str, body: Dict[str, Any]) -> None:
        """Send a small message to every client."""
        for session in list(self._sessions.by_token.values()):
            self.control(session, kind, body)

    def _keep(
        self, session: Session, channel: str, kind: str, body: Dict[str, Any], ref: Optional[int]
    ) -> None:
        try:
            session.outbox[channel].append(wire.encode(kind, body, ref))
        except ProtocolError:
            log.exception("a message of ours does not fit the wire", extra=about(type=kind))
            return
        self._flush(session, channel)

    def flush(self) -> None:
        """Send queued messages, as far as the peers accept them."""
        self.waiting = False
        for session in list(self._sessions.by_token.values()):
            for channel in CHANNELS:
                self._flush(session, channel)

    def _flush(self, session: Session, channel: str) -> None:
        outbox = session.outbox[channel]
        routing_id = session.routing_id(channel)
        while outbox and routing_id is not None and session.token in self._sessions.by_token:
            outcome = try_send(self._sockets[channel], routing_id, outbox[0])
            if outcome == GONE:
                self._lost(session, "disconnected")
                return
            if outcome == FULL:
                self.waiting = True
                if len(outbox) > OUTBOX_MESSAGES:
                    self._lost(session, "does not read")
                return
            outbox.popleft()

    def bulk(self, session: Session, kind: str, body: Dict[str, Any]) -> str:
        """Send a large message on a session's data socket now, or not: SENT, FULL or GONE."""
        if session.data is None or session.outbox[TO_CLIENT_DATA]:
            return FULL
        try:
            parts = wire.encode(kind, body)
        except ProtocolError:
            # Only the report comes from another process; without it the result can still be used.
            log.exception("a report does not fit the wire", extra=about(job=body["job"], frame=body["frame"]))
            parts = wire.encode(kind, {**body, "report": {}})
        outcome = try_send(self._sockets[TO_CLIENT_DATA], session.data, parts)
        if outcome == GONE:
            self._lost(session, "disconnected")
        return outcome

    def answer(
        self, channel: str, routing_id: bytes, kind: str, body: Dict[str, Any], ref: Optional[int] = None
    ) -> None:
        """Send to a peer without a session; whether it arrives does not matter."""
        try_send(self._sockets[channel], routing_id, wire.encode(kind, body, ref))

    def reject_unknown(self, channel: str, routing_id: bytes) -> None:
        """Tell a peer without a session to say HELLO."""
        error = {"code": wire.SESSION_UNKNOWN, "message": "say HELLO first.", "retryable": True}
        self.answer(channel, routing_id, "ERROR", {"scope": "session", "error": error})

    def send_final_error(self, session: Session, channel: str, error: HarmoVidError) -> None:
        """Tell a client why its session is over."""
        routing_id = session.routing_id(channel)
        if routing_id is not None:
            self.answer(channel, routing_id, "ERROR", {"scope": "session", "error": wire.error_body(error)})

    def close(self) -> None:
        """Close the sockets after sending the last messages."""
        for socket in self._sockets.values():
            socket.close(linger=500)

    @property
    def sockets(self) -> Tuple[Socket, ...]:
        """Control and data socket, once bound."""
        return tuple(self._sockets.values())
