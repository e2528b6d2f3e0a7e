"""Servers that cannot be reached or trusted: each case raises its own error with the address."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

import pytest
import zmq
from core.ends import MemorySink, MemorySource
from core.reference_server import ReferenceServer
from fakes.waiting import LIMIT_S
from harmovid.client import Client
from harmovid.errors import (
    AuthError,
    InputError,
    JobConflict,
    JobUnknown,
    ProtocolError,
    Unreachable,
    VersionError,
)
from harmovid.job import JobSpec, new_job_id
from harmovid.keys import KeyPair, new_pair
from harmovid.transport import wire
from harmovid.transport.connection import Connection, parse_address
from zmq.auth.thread import ThreadAuthenticator


class _Listed:
    """A ZAP request: whether a key may connect."""

    def __init__(self, keys: List[str]) -> None:
        self._keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        return key.decode() in self._keys


@pytest.fixture
def guarded() -> Iterator[Tuple[ReferenceServer, KeyPair, KeyPair]]:
    """Yield a server with keys and two clients it lets in."""
    own = new_pair("server")
    anna, bob = (
        KeyPair(name, pair.public, pair.secret, own.public)
        for name in ("anna", "bob")
        for pair in [new_pair(name)]
    )
    server = ReferenceServer(secret=own.secret.encode())
    door = ThreadAuthenticator(server._context)
    door.start()
    door.configure_curve_callback("*", _Listed([anna.public, bob.public]))
    with server:
        yield server, anna, bob
        door.stop()


def raised(call: Callable[[], object], error: type) -> str:
    """Return the message of the error that the call raises."""
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


def test_a_listed_key_is_let_in(guarded: Tuple[ReferenceServer, KeyPair, KeyPair]) -> None:
    """With the right keys a whole job runs over CURVE."""
    server, anna, _ = guarded
    sink = MemorySink()
    Client(server.address, anna).run(JobSpec(new_job_id(), "null", "1-20", ("plate",)), MemorySource(), sink)
    assert len(sink.results) == 20


def test_a_key_that_is_not_listed_is_reported(guarded: Tuple[ReferenceServer, KeyPair, KeyPair]) -> None:
    """AuthError, and what to do about it."""
    server, anna, _ = guarded
    pair = new_pair("eve")
    stranger = KeyPair("eve", pair.public, pair.secret, anna.server)
    assert "refuses our key" in raised(Client(server.address, stranger).ping, AuthError)


def test_another_server_than_the_trusted_one_is_reported(
    guarded: Tuple[ReferenceServer, KeyPair, KeyPair],
) -> None:
    """A server with another key is not talked to."""
    server, anna, _ = guarded
    wrong = KeyPair(anna.name, anna.public, anna.secret, new_pair("other").public)
    assert "not hold the key that we trust" in raised(Client(server.address, wrong).ping, AuthError)


def test_a_server_with_keys_wants_one(guarded: Tuple[ReferenceServer, KeyPair, KeyPair]) -> None:
    """A client without a key gets an error that says it needs one."""
    assert "wants a key" in raised(Client(guarded[0].address).ping, AuthError)


def test_a_server_without_keys_wants_none(server: ReferenceServer) -> None:
    """A client with a key gets an error if the server uses no keys."""
    pair = new_pair("anna")
    keys = KeyPair("anna", pair.public, pair.secret, new_pair("server").public)
    assert "needs no key" in raised(Client(server.address, keys).ping, AuthError)


def test_a_key_that_trusts_nobody_is_refused_here(server: ReferenceServer) -> None:
    """A key file without the server's public key is never tried."""
    assert "which server to trust" in raised(Client(server.address, new_pair("anna")).ping, AuthError)


def test_jobs_belong_to_the_key_that_submitted_them(
    guarded: Tuple[ReferenceServer, KeyPair, KeyPair],
) -> None:
    """Another user sees, cancels and resumes nothing of them."""
    server, anna, bob = guarded
    job = JobSpec(new_job_id(), "null", "1-3", ("plate",))
    Client(server.address, anna).run(job, MemorySource(), MemorySink())
    assert Client(server.address, bob).status() == []
    with pytest.raises(JobUnknown):
        Client(server.address, bob).cancel(job.job_id)
    with pytest.raises(JobConflict):
        Client(server.address, bob).run(job, MemorySource(), MemorySink())


def test_a_local_way_that_leads_nowhere_is_left_for_tcp(server: ReferenceServer, tmp_path: Path) -> None:
    """A Unix socket in WELCOME that nobody serves (of another machine, in a shared folder) does no harm."""
    dead = tmp_path / "data"
    with socket.socket(socket.AF_UNIX) as once:
        once.bind(str(dead))
    server.faults.data_local = str(dead)
    sink = MemorySink()
    Client(server.address).run(JobSpec(new_job_id(), "null", "1-5", ("plate",)), MemorySource(), sink)
    assert len(sink.results) == 5
    assert server.log.count("HELLO") == 1


def test_nobody_listens() -> None:
    """A port without a server has another error than one that does not answer, each with its fix."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        message = raised(Client(address).ping, Unreachable)
    assert "nobody listens" in message
    assert "harmovid serve" in message


def test_somebody_else_listens() -> None:
    """A port where a program other than ZeroMQ sends nothing is given up after the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        raised(Client(address, timeout_s=0.5).ping, Unreachable)


def test_a_hung_server_is_reported(server: ReferenceServer) -> None:
    """A server that accepts the connection but says nothing is Unreachable after the timeout."""
    server.faults.mute = True
    message = raised(Client(server.address, timeout_s=0.5).ping, Unreachable)
    assert "does not answer HELLO" in message


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("tcp://render01:5570", "render01", 5570),
        ("render01.farm.local:99", "render01.farm.local", 99),
        ("10.0.0.7", "10.0.0.7", 5570),
        ("tcp://[::1]:5571", "[::1]", 5571),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    """Scheme and port may be left out."""
    assert parse_address(text) == (host, port)


def test_both_sockets_go_to_the_server_that_has_answered() -> None:
    """A name is looked up once: the second socket goes to the number that the first one reached."""
    with ReferenceServer() as server:
        _, port = parse_address(server.address)
        with Connection.open(f"tcp://localhost:{port}", None, timeout_s=300.0, data=True) as connection:
            assert connection._control.endpoint == f"tcp://localhost:{port}"
            assert connection._data is not None
            assert connection._data.endpoint == f"tcp://127.0.0.1:{connection.welcome['data_port']}"


@pytest.mark.parametrize(
    "text", ["", "tcp://", "http://x:1", "host:0", "host:65536", "host:port", "a b", "::1", "ipc://x"]
)
def test_no_addresses(text: str) -> None:
    """Anything else is refused, with an example."""
    with pytest.raises(InputError, match="tcp://render01:5570"):
        Client(text)


class _Imposter:
    """A ROUTER that answers HELLO with whatever it is given."""

    def __init__(self, parts: List[bytes]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._parts = parts
        self.socket = self._context.socket(zmq.ROUTER)
        self.address = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"

    def answer(self) -> None:
        """Answer one message."""
        self.socket.send_multipart([self.socket.recv_multipart()[0], *self._parts])

    def __enter__(self) -> _Imposter:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)


def _ask(imposter: _Imposter) -> None:
    connection = Connection(imposter.address, None)
    try:
        connection.send("PING", ref=1)
        while not connection._control.socket.events & zmq.POLLOUT:
            time.sleep(0.001)
        connection.poll(10)
        imposter.answer()
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            connection.poll(50)
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([b"\xc1", b""], ProtocolError),
        ([b"\x80"], ProtocolError),
        ([b"\x82\xa1v\x02\xa1t\xa4PONG", b""], VersionError),
        (
            wire.encode("SUBMIT", {"spec": JobSpec("0" * 32, "null", "1", ("plate",)).to_dict()}),
            ProtocolError,
        ),
        (wire.encode("BYE"), Unreachable),
    ],
)
def test_a_server_that_breaks_the_wire_is_not_believed(parts: List[bytes], error: type) -> None:
    """Malformed, foreign and misdirected messages raise; BYE ends the session."""
    with _Imposter(parts) as imposter, pytest.raises(error):
        _ask(imposter)
