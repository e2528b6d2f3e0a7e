"""Who may connect, with real CURVE handshakes against the real authenticator."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Iterator

import pytest
import zmq
from harmovid.errors import KeyFileError
from harmovid.keys import AuthorizedKeys, KeyPair, new_pair
from harmovid_server.front.auth import DOMAIN, ZapAuthenticator


class Gate:
    """A ROUTER behind the authenticator, and what a client with a key gets through it."""

    def __init__(self, folder: Path) -> None:
        self.context = zmq.Context()
        self.file = folder / "authorized_keys"
        self.file.touch()
        self.authenticator = ZapAuthenticator(self.context, str(self.file))
        self.server = new_pair("server")
        self.socket = self.context.socket(zmq.ROUTER)
        public, secret = self.server.public.encode(), self.server.secret.encode()
        for option, value in (
            (zmq.LINGER, 0), (zmq.CURVE_SERVER, 1), (zmq.ZAP_ENFORCE_DOMAIN, 1), (zmq.ZAP_DOMAIN, DOMAIN),
            (zmq.CURVE_PUBLICKEY, public), (zmq.CURVE_SECRETKEY, secret),
        ):  # fmt: skip
            self.socket.setsockopt(option, value)
        self.port = self.socket.bind_to_random_port("tcp://127.0.0.1")

    def let_in(self, name: str) -> KeyPair:
        """Put a fresh key on the list."""
        pair = new_pair(name)
        AuthorizedKeys(self.file).add(name, pair.public)
        self.authenticator.reload_if_changed(force=True)
        return pair

    def user_of(self, pair: KeyPair | None, wait_s: float = 0.4) -> str | None:
        """Connect with a key (None: without) and return the user that the server sees, or None."""
        client = self.context.socket(zmq.DEALER)
        client.setsockopt(zmq.LINGER, 0)
        if pair is not None:
            client.setsockopt(zmq.CURVE_SERVERKEY, self.server.public.encode())
            client.setsockopt(zmq.CURVE_PUBLICKEY, pair.public.encode())
            client.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())
        client.connect(f"tcp://127.0.0.1:{self.port}")
        client.send(b"hello", flags=zmq.DONTWAIT)
        until = time.monotonic() + wait_s
        try:
            while time.monotonic() < until:
                self.authenticator.answer()
                if self.socket.poll(10):
                    frames = self.socket.recv_multipart(copy=False)
                    return str(frames[1].get("User-Id"))
            return None
        finally:
            client.close()

    def close(self) -> None:
        """Close all sockets."""
        self.socket.close()
        self.authenticator.socket.close()
        self.context.term()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Yield a gate with an empty list."""
    made = Gate(tmp_path)
    yield made
    made.close()


def test_a_listed_key_is_the_user(gate: Gate) -> None:
    """A client with a listed key may connect, and its public key identifies it."""
    anna = gate.let_in("anna")
    assert gate.user_of(anna, 60.0) == anna.public


def test_nobody_else_comes_in(gate: Gate) -> None:
    """Unlisted keys and clients without a key never get a message through."""
    gate.let_in("anna")
    assert gate.user_of(new_pair("mallory")) is None
    assert gate.user_of(None) is None


def test_the_list_is_read_again_when_it_changes(gate: Gate) -> None:
    """A key that is added later is let in, a key that is removed is not, without a restart."""
    anna = gate.let_in("anna")
    ben = new_pair("ben")
    assert gate.user_of(ben) is None
    keys = AuthorizedKeys(gate.file)
    keys.add("ben", ben.public)
    keys.remove("anna")
    assert gate.authenticator.reload_if_changed()
    assert gate.user_of(ben, 60.0) == ben.public
    assert gate.user_of(anna) is None
    assert not gate.authenticator.reload_if_changed()


def test_a_slip_in_the_list_changes_nothing(gate: Gate) -> None:
    """If the list cannot be read the last good one stays in use."""
    anna = gate.let_in("anna")
    gate.file.write_text("anna not-a-key\n")
    assert not gate.authenticator.reload_if_changed()
    assert gate.user_of(anna, 60.0) == anna.public


def test_a_bad_list_at_start_is_an_error(tmp_path: Path) -> None:
    """A server does not start with a list that it cannot read."""
    (tmp_path / "keys").write_text("nonsense\n")
    context = zmq.Context()
    with pytest.raises(KeyFileError, match="line 1"):
        ZapAuthenticator(context, str(tmp_path / "keys"))
    context.destroy(linger=0)


@pytest.mark.parametrize(
    "request_parts",
    [
        [b"1.0", b"1", b"other", b"127.0.0.1", b"", b"CURVE", b"k" * 32],
        [b"1.0", b"1", DOMAIN, b"127.0.0.1", b"", b"NULL"],
        [b"1.0", b"1", DOMAIN, b"127.0.0.1", b"", b"PLAIN", b"user", b"password"],
        [b"1.0", b"1", DOMAIN, b"127.0.0.1", b"", b"CURVE", b"short"],
        [b"1.0", b"1", DOMAIN, b"127.0.0.1", b"", b"CURVE"],
        [b"1.0", b"1", DOMAIN, b"\xff\xfe", b"", b"CURVE", os.urandom(32)],
    ],
)
def test_every_other_question_is_answered_no(gate: Gate, request_parts: list[bytes]) -> None:
    """Other domains, mechanisms and malformed credentials are refused with status 400."""
    asker = gate.context.socket(zmq.REQ)
    asker.setsockopt(zmq.LINGER, 0)
    asker.connect("inproc://zeromq.zap.01")
    asker.send_multipart(request_parts)
    assert gate.authenticator.socket.poll(300_000)
    gate.authenticator.answer()
    assert asker.poll(300_000)
    reply = asker.recv_multipart()
    assert reply[:3] == [b"1.0", b"1", b"400"]
    asker.close()


def test_a_question_of_another_form_is_not_answered_and_does_no_harm(gate: Gate) -> None:
    """Requests with too few parts or another ZAP version get no answer; the next valid one does."""
    for parts in ([b"1.0"], [b"2.0", b"1", DOMAIN, b"", b"", b"CURVE", b"k" * 32], []):
        asker = gate.context.socket(zmq.DEALER)
        asker.setsockopt(zmq.LINGER, 0)
        asker.connect("inproc://zeromq.zap.01")
        asker.send_multipart([b"", *parts])
        asker.send(b"no delimiter")
        time.sleep(0.02)
        gate.authenticator.answer()
        assert not asker.poll(50)
        asker.close()
    anna = gate.let_in("anna")
    assert gate.user_of(anna, 60.0) == anna.public
