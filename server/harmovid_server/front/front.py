"""The front process: the server's sockets, sessions and credit, and files into and out of the spool.

It knows no pixels, no engine and no job: main decides what a request means. It never waits for a client: every send is
non-blocking. A client that does not read, is silent, or violates the protocol loses its session; nobody else is
affected.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any, Callable, Dict, Optional, Tuple

import zmq
from harmovid import __version__
from harmovid.errors import AuthError, HarmoVidError, InputError, ProtocolError, ServerBusy
from harmovid.keys import load_secret
from harmovid.transport import wire
from harmovid.transport.wire import TO_CLIENT_CONTROL, TO_CLIENT_DATA, TO_SERVER_CONTROL, TO_SERVER_DATA

from harmovid_server.config import Config
from harmovid_server.front.auth import ZapAuthenticator
from harmovid_server.front.sender import ClientSender
from harmovid_server.front.sessions import REQUESTS_OPEN, Delivery, Session, Sessions
from harmovid_server.front.sockets import Incoming, Socket, bind, bind_local, receive
from harmovid_server.front.transfers import FileTransfers
from harmovid_server.ipc import IpcClient, Message
from harmovid_server.logs import about

log = logging.getLogger("harmovid.front")

POLL_MS = 100
BUSY_POLL_MS = 2
"""Poll while something waits for a slow peer: libzmq does not say when one peer can be written again."""

BATCH = 64
"""Messages read from a socket, or pieces sent, before the others get their turn."""

TIDY_S = 0.5

_FORWARDED = ("ENGINES", "SUBMIT", "RESUME", "STATUS", "CANCEL", "RETRY", "FRAMES", "PREVIEW", "WORKERS")
_NEED_DATA = ("SUBMIT", "RESUME")


class Front:
    """The sockets and the sessions on them. `open` binds; `turn` is one round of the loop."""

    def __init__(self, config: Config, link: IpcClient, now: Callable[[], float] = time.monotonic) -> None:
        """Make a front that is not bound yet.

        Args:
            now: a clock in seconds, for silence and credit.
        """
        self.config = config
        self._now = now
        self.link = link
        self.sessions = Sessions(config.sessions, config.credit_bytes)
        self.sender = ClientSender(self.sessions, self._drop)
        self.transfers = FileTransfers(config, link, self.sender)
        self.draining_s: Optional[float] = None
        self.done = False
        self._context: zmq.Context[Socket] = zmq.Context()
        self._poller = zmq.Poller()
        self._poller.register(link.socket, zmq.POLLIN)
        self._authenticator: Optional[ZapAuthenticator] = None
        self._data_port = 0
        self._data_local = ""
        self._refused: Counter[str] = Counter()
        self._told_clients = 0
        self._tidy_at_s = 0.0
        self._more = False

    def open(self, ports: Tuple[int, int]) -> Tuple[int, int]:
        """Bind the authenticator first, then the public sockets, and return their ports.

        Raises:
            InputError: a port is in use, or a key file is invalid.
        """
        pair = None
        if self.config.server_key:
            pair = load_secret(self.config.server_key)
            if self._authenticator is None:
                self._authenticator = ZapAuthenticator(self._context, self.config.authorized_keys)
                self._poller.register(self._authenticator.socket, zmq.POLLIN)
        control, data, bound = bind(self._context, self.config, pair, ports)
        self.sender.use(control, data)
        for socket in (control, data):
            self._poller.register(socket, zmq.POLLIN)
        self._data_port = bound[1]
        self._data_local = bind_local(data, self.link.folder)
        return bound

    def turn(self) -> None:
        """Wait for messages, and handle a bounded number of them."""
        self._poller.poll(0 if self._more else BUSY_POLL_MS if self.sender.waiting else POLL_MS)
        now, self._more = self._now(), False
        if self._authenticator is not None:
            self._authenticator.answer()
        while message := self.link.receive():
            self._from_main(message)
        for socket, handler in zip(self.sender.sockets, (self._on_control, self._on_data)):
            self._more = self._read(socket, handler, now) or self._more
        self.sender.flush()
        self._more = self._send_results() or self._more
        if now >= self._tidy_at_s:
            self._tidy_at_s = now + TIDY_S
            self._tidy(now)
        self.link.beat_if_due()

    def _read(self, socket: Socket, handler: Callable[[Incoming, float], None], now: float) -> bool:
        """Handle a batch of messages; return True if there may be more."""
        for _ in range(BATCH):
            incoming = receive(socket)
            if incoming is None:
                return False
            handler(incoming, now)
        return True

    # Messages from clients.

    def _on_control(self, incoming: Incoming, now: float) -> None:
        session = self._known(self.sessions.by_control, incoming, now)
        try:
            message = _decoded(incoming, TO_SERVER_CONTROL)
            if message.type == "HELLO":
                self._hello(incoming, session, message, now)
            elif session is None:
                self.sender.reject_unknown(TO_CLIENT_CONTROL, incoming.routing_id)
            elif message.type == "PING":
                self.sender.control(session, "PONG", {}, message.ref)
            elif message.type == "BYE":
                self._drop(session, "said goodbye")
            else:
                self._forward(session, message)
        except HarmoVidError as error:
            self._refuse(session, TO_CLIENT_CONTROL, error)
        # An error in handling one client's message may end that client's session, and nobody else's.
        except Exception:
            log.exception("a control message could not be handled", extra=_who(session))
            self._refuse(session, TO_CLIENT_CONTROL, ProtocolError("the message could not be handled."))

    def _on_data(self, incoming: Incoming, now: float) -> None:
        session = self._known(self.sessions.by_data, incoming, now)
        try:
            message = _decoded(incoming, TO_SERVER_DATA)
            if message.type == "ATTACH":
                self._attach(incoming, message)
            elif session is None:
                self.sender.reject_unknown(TO_CLIENT_DATA, incoming.routing_id)
            else:
                self.transfers.handle(session, message)
        except HarmoVidError as error:
            self._refuse(session, TO_CLIENT_DATA, error)
        # As above.
        except Exception:
            log.exception("a data message could not be handled", extra=_who(session))
            self._refuse(session, TO_CLIENT_DATA, ProtocolError("the message could not be handled."))

    def _known(self, table: Dict[bytes, Session], incoming: Incoming, now: float) -> Optional[Session]:
        """Return the session of a message; a connection of another user has none, whatever its routing id."""
        session = table.get(incoming.routing_id)
        if session is None or session.user != incoming.user:
            return None
        session.heard_s = now
        return session

    def _hello(self, incoming: Incoming, old: Optional[Session], message: wire.Message, now: float) -> None:
        if old is not None:
            self._drop(old, "said HELLO again")
        try:
            self._check_listed(incoming.user)
            version = wire.common_version(message.body["versions"])
            session = self.sessions.open(incoming.routing_id, incoming.user, now)
        except HarmoVidError as error:
            self._refused[error.code] += 1
            body = {"error": wire.error_body(error)}
            self.sender.answer(TO_CLIENT_CONTROL, incoming.routing_id, "REJECT", body, message.ref)
            return
        limits = {
            "file_bytes": self.config.frame_bytes,
            "frames_per_job": wire.FRAMES_PER_JOB,
            "detach_ttl_s": int(self.config.detach_s),
        }
        welcome = {
            "version": version,
            "server": f"harmovid/{__version__}",
            "session": session.token,
            "data_port": self._data_port,
            "draining": self.draining_s is not None,
            "limits": limits,
        }
        if self._data_local and incoming.address.startswith(("127.", "::1")):
            welcome["data_local"] = self._data_local
        self.sender.control(session, "WELCOME", welcome, message.ref)
        log.info(
            "client connected",
            extra=about(
                user=session.user or None, address=incoming.address, client=message.body["client"][:64]
            ),
        )

    def _check_listed(self, user: str) -> None:
        """Refuse a key that has been taken off the list since its connection was made.

        Raises:
            AuthError: it is not on the list.
        """
        if self._authenticator is not None and user not in self._authenticator.keys:
            raise _revoked()

    def _attach(self, incoming: Incoming, message: wire.Message) -> None:
        session = self.sessions.by_token.get(bytes(message.body["session"]))
        if session is None or session.user != incoming.user:
            self.sender.reject_unknown(TO_CLIENT_DATA, incoming.routing_id)
            return
        taken = self.sessions.by_data.get(incoming.routing_id)
        if taken is not None and taken is not session:
            raise ProtocolError("this data socket belongs to another session.")
        self.sessions.attach(session, incoming.routing_id, message.body["credit"])
        self.sender.data(session, "ATTACHED", {"credit": session.grant})

    def _forward(self, session: Session, message: wire.Message) -> None:
        if message.type not in _FORWARDED or message.ref is None:
            raise ProtocolError(f"{message.type} without a ref.")
        error: Optional[HarmoVidError] = None
        if message.type in _NEED_DATA and session.data is None:
            error = ProtocolError(f"{message.type} before ATTACH.", fix="Join a data socket first.")
        elif len(session.open_requests) >= REQUESTS_OPEN:
            error = ServerBusy(f"{REQUESTS_OPEN} requests of this client are open.", retry_after_s=1.0)
        if error is not None:
            self.sender.control(session, "REJECT", {"error": wire.error_body(error)}, message.ref)
            return
        session.open_requests.add(message.ref)
        self.link.send(
            "request", session=session.token, user=session.user, type=message.type,
            body={name: bytes(v) if isinstance(v, memoryview) else v for name, v in message.body.items()},
            ref=message.ref,
        )  # fmt: skip

    def _refuse(self, session: Optional[Session], channel: str, error: HarmoVidError) -> None:
        """Answer a message that violates the protocol, and end its session; without a session there is no answer."""
        if session is None or session.token not in self.sessions.by_token:
            return
        self._end(session, channel, error)

    def _end(self, session: Session, channel: str, error: HarmoVidError) -> None:
        self._refused[error.code] += 1
        self.sender.send_final_error(session, channel, error)
        self._drop(session, str(error))

    def _drop(self, session: Session, reason: str) -> None:
        self.sessions.close(session)
        self.link.send("gone", session=session.token)
        log.info("client gone", extra=about(user=session.user or None, reason=reason))

    # Messages from main.

    def _from_main(self, message: Message) -> None:
        op = message["op"]
        if op == "open":
            self._open_for_main(message)
        elif op == "forget":
            for session in self.sessions.by_token.values():
                session.forget_job(message["job"])
        elif op == "drain":
            self.draining_s = message["deadline_s"]
            self.sender.everybody("DRAIN", {"deadline_s": self.draining_s})
        elif op == "reload" and self._authenticator is not None:
            self._authenticator.reload_if_changed(force=True)
            self._drop_unauthorized()
        elif op == "bye":
            self.sender.everybody("BYE", {})
            self.done = True
        else:
            addressed = self.sessions.by_token.get(message.get("session", b""))
            if addressed is not None:
                self._for_session(addressed, op, message)

    def _for_session(self, session: Session, op: str, message: Message) -> None:
        if op == "reply":
            session.open_requests.discard(message["ref"])
            self.sender.control(session, message["type"], message["body"], message["ref"])
        elif op == "push":
            self.sender.control(session, message["type"], message["body"])
        elif op == "need":
            self.transfers.need(session, message["job"], message["items"])
        elif op == "deliver":
            names = ("job", "frame", "path", "size", "crc", "report")
            self.transfers.deliver(session, Delivery(**{name: message[name] for name in names}))

    def _open_for_main(self, message: Message) -> None:
        try:
            port, data_port = self.open((message["port"], message["data_port"]))
        except InputError as error:
            self.link.send("cannot_open", error=error.to_wire())
            return
        self.link.send("hello", role="front", port=port, data_port=data_port)

    def _send_results(self) -> bool:
        """Send pieces of results, the sessions in turn; return True if more could be sent."""
        for _ in range(BATCH):
            now = self._now()
            sent = [self.transfers.send_some(one, now) for one in list(self.sessions.by_token.values())]
            if not any(sent):
                return False
        return True

    def _tidy(self, now: float) -> None:
        for session in list(self.sessions.by_token.values()):
            if now - session.heard_s > wire.SILENT_S:
                self._drop(session, "silent")
        if self._authenticator is not None and self._authenticator.reload_if_changed():
            self._drop_unauthorized()
        self._tell_clients()

    def _tell_clients(self) -> None:
        """Tell main the number of clients, and of refused ones by error code, if they have changed."""
        if self._authenticator is not None:
            self._refused[AuthError.code] += self._authenticator.take_refused()
        refused = {code: count for code, count in self._refused.items() if count}
        count = len(self.sessions.by_token)
        if refused or count != self._told_clients:
            self.link.send("clients", count=count, refused=refused)
            self._refused.clear()
            self._told_clients = count

    def _drop_unauthorized(self) -> None:
        """End the sessions of keys that are no longer on the list; their connections stay, without a session."""
        known = self._authenticator.keys if self._authenticator is not None else {}
        for session in list(self.sessions.by_token.values()):
            if session.user not in known:
                self._end(session, TO_CLIENT_CONTROL, _revoked())

    def close(self) -> None:
        """Close the sockets, letting the last messages leave."""
        self.sender.close()
        if self._authenticator is not None:
            self._authenticator.socket.close()
        self._context.term()


def _revoked() -> AuthError:
    return AuthError(
        "this key is not authorized any more.",
        fix="Ask the server's administrator to admit it (harmovid keys).",
    )


def _decoded(incoming: Incoming, channel: str) -> wire.Message:
    if incoming.parts is None:
        raise ProtocolError("a message of other than two parts.", fix="It has two: header and payload.")
    return wire.decode(incoming.parts, channel)


def _who(session: Optional[Session]) -> Dict[str, Dict[str, Any]]:
    return about(user=session.user if session is not None else None)
