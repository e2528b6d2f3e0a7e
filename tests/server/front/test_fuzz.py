"""Malformed input against a live server: it goes on answering, forgets nobody else, and does not grow.

`HARMOVID_FUZZ_MESSAGES=1000000 pytest -o timeout=0 -k malformed` sends as many (docs/log.md has such a run).
"""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path
from typing import Any, Callable, Dict, List

import msgpack
import pytest
import zmq
from fakes.peer import Peer, spec
from fakes.running import RunningServer
from harmovid.transport import wire
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

MESSAGES = int(os.environ.get("HARMOVID_FUZZ_MESSAGES", "12000"))
EXAMPLES = MESSAGES // 120
"""Examples that hypothesis draws, of 20 messages each; drawing them takes more time than the server does."""
GROWTH_KIB = 32 * 1024
SESSION_EVERY = 25
"""A violation ends a session, so the sender sends HELLO again after this many messages."""

Parts = List[bytes]
Odd = random.Random

ERROR = {"code": "frame_missing", "message": "m", "retryable": False}
JOB = {"job": "0123456789abcdef" * 2}
FRAME = {**JOB, "layer": "plate", "frame": 1001}

CONTROL: Dict[str, Dict[str, Any]] = {
    "HELLO": {"versions": [1, 1], "client": "x"}, "ENGINES": {}, "SUBMIT": {"spec": spec()},
    "RESUME": {**JOB, "have": wire.pack_have({1: 2})}, "STATUS": {}, "CANCEL": JOB, "RETRY": JOB, "PING": {}, "BYE": {},
}  # fmt: skip
DATA: Dict[str, Dict[str, Any]] = {
    "ATTACH": {"session": b"s" * 16, "credit": 1 << 20}, "META": {**FRAME, "size": 10, "crc": 1},
    "CHUNK": {**FRAME, "off": 0, "crc": 1, "data": b"0123456789"}, "SOURCE_FAILED": {**FRAME, "error": ERROR},
    "ACK": {**JOB, "frame": 1}, "RESULT_BAD": {**JOB, "frame": 1, "error": ERROR}, "CREDIT": {"bytes": 5},
}  # fmt: skip
VALUES: List[Any] = [
    None, True, -1, 0, 2**31, 2**63, -(2**63), 1.5, float("nan"), float("inf"), "", "x" * 3000, b"", b"\0" * 2000,
    [], {}, [[[[[[[[[[1]]]]]]]]]], {"a": {"b": {}}}, list(range(300)), msgpack.Timestamp(1), msgpack.ExtType(5, b"x"),
]  # fmt: skip


def noise(odd: Odd, _: Dict[str, Dict[str, Any]]) -> Parts:
    """Any bytes in any number of parts."""
    return [odd.randbytes(odd.choice((0, 1, 7, 100, 20_000))) for _ in range(odd.choice((1, 2, 2, 2, 3, 40)))]


def damaged(odd: Odd, types: Dict[str, Dict[str, Any]]) -> Parts:
    """A good message with bytes flipped, cut off, added or repeated."""
    kind = odd.choice(list(types))
    parts = [bytearray(part) for part in wire.encode(kind, types[kind], 1)]
    for _ in range(odd.randint(1, 3)):
        part = odd.choice(parts)
        change = odd.randrange(4)
        if change == 0 and part:
            part[odd.randrange(len(part))] ^= 1 << odd.randrange(8)
        elif change == 1:
            del part[odd.randint(0, len(part)) :]
        elif change == 2:
            part += odd.randbytes(odd.randint(1, 50))
        else:
            part += bytes(part)
    return [bytes(part) for part in parts]


def wrong_value(odd: Odd, types: Dict[str, Dict[str, Any]]) -> Parts:
    """A well-formed header with a field of a wrong type or size, one too few, or one too many."""
    kind = odd.choice(list(types))
    header, payload = wire.encode(kind, types[kind], 1)
    fields = msgpack.unpackb(bytes(header))
    name = odd.choice(list(fields))
    change = odd.randrange(3)
    if change == 0:
        fields[name] = odd.choice(VALUES)
    elif change == 1:
        del fields[name]
    else:
        fields[odd.choice(("x", "job", "data", "error"))] = odd.choice(VALUES)
    return [msgpack.packb(fields), bytes(payload)]


def wrong_payload(odd: Odd, types: Dict[str, Dict[str, Any]]) -> Parts:
    """A good header with another message's payload, or a huge claim in it."""
    header = wire.encode((kind := odd.choice(list(types))), types[kind], 1)[0]
    claims = (b"\xdd\xff\xff\xff\xff" * 50, b"\xdf\xff\xff\xff\xff", b"\x91" * 5000, b"\xc6\xff\xff\xff\xff")
    return [bytes(header), odd.choice((*claims, msgpack.packb(odd.choice(VALUES)), odd.randbytes(5000)))]


def wrong_moment(odd: Odd, types: Dict[str, Dict[str, Any]]) -> Parts:
    """A good message that does not belong here: other jobs, other frames, no META before, no ref."""
    kind = odd.choice(list(types))
    body = dict(types[kind])
    if "frame" in body:
        body["frame"] = odd.randint(-(2**31), 2**31 - 1)
    return [bytes(part) for part in wire.encode(kind, body, odd.choice((None, 1, 2**32 - 1)))]


def wrong_direction(odd: Odd, _: Dict[str, Dict[str, Any]]) -> Parts:
    """A message that only servers send."""
    return [bytes(part) for part in wire.encode("STATE" if odd.random() < 0.5 else "PONG", {
        **JOB, "state": "DONE", "total": 1, "received": 1, "computed": 1, "delivered": 1, "failed": 0,
        "queue_position": 0, "message": "",
    })]  # fmt: skip


KINDS: List[Callable[[Odd, Dict[str, Dict[str, Any]]], Parts]] = [
    noise, damaged, damaged, wrong_value, wrong_value, wrong_payload, wrong_moment, wrong_direction,
]  # fmt: skip


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20)
    | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
"""Small values of every msgpack type."""


@st.composite
def drawn(draw: st.DrawFn, types: Dict[str, Dict[str, Any]]) -> Parts:
    """A good message whose fields, payload or number of parts are whatever hypothesis finds."""
    kind = draw(st.sampled_from(sorted(types)))
    header, payload = (bytes(part) for part in wire.encode(kind, types[kind], 1))
    fields = msgpack.unpackb(header)
    fields.update(draw(st.dictionaries(st.sampled_from([*sorted(fields), "x"]), PLAIN, max_size=2)))
    last = draw(st.just(payload) | st.binary(max_size=100) | PLAIN.map(msgpack.packb))
    return [msgpack.packb(fields), last, *draw(st.lists(st.binary(max_size=20), max_size=1))]


class Sender:
    """A peer that misbehaves on both sockets, with or without a session."""

    def __init__(self, server: RunningServer, seed: int) -> None:
        self.server = server
        self.odd = Odd(seed)
        self.peer = Peer(server.endpoint)

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close, but let everything leave first."""
        for link in filter(None, (self.peer.control, self.peer.data)):
            link.setsockopt(zmq.LINGER, 5000)
        self.peer.close()

    def renew(self) -> None:
        """Become a client again; the old connections stay open at the server for a moment."""
        self.close()
        self.peer = Peer(self.server.endpoint)
        if self.odd.random() < 0.8:
            # On a busy machine the server notices later who has left than the next one comes.
            self.peer.start(patience_s=60.0)
        else:
            self.peer.data = self.peer._socket(f"tcp://127.0.0.1:{self.server.ready['data_port']}")

    def post(self, control: bool, parts: Parts) -> None:
        """Send one message, and throw away what the server has said."""
        link = self.peer.control if control else self.peer.data
        assert link is not None
        if link.poll(300_000, zmq.POLLOUT):
            link.send_multipart(parts)
        while link.poll(0):
            link.recv_multipart()

    def send(self, count: int) -> None:
        """Send so many malformed messages."""
        for index in range(count):
            if index % SESSION_EVERY == 0:
                self.renew()
            control = self.odd.random() < 0.5
            self.post(control, self.odd.choice(KINDS)(self.odd, CONTROL if control else DATA))


@pytest.fixture
def server(tmp_path: Path) -> RunningServer:
    """Return a server with small limits."""
    return RunningServer(tmp_path, "--sessions", "16", "--log-level", "warning")


def memory(server: RunningServer) -> Dict[int, int]:
    """Return the resident KiB of each process of a server."""
    return {pid: server.memory_kib(pid) for pid in server.pids()}


def assert_unshaken(server: RunningServer, before: Dict[int, int]) -> None:
    """Hold that the same processes run as `before`, have not grown by 32 MiB, and have raised nothing unforeseen."""
    after = memory(server)
    assert set(after) == set(before), "a process died and was replaced"
    grown = {pid: after[pid] - before[pid] for pid in before}
    assert max(grown.values()) < GROWTH_KIB, grown
    assert "Traceback" not in server.log


def test_malformed_messages_never_stop_the_server_or_grow_its_memory(server: RunningServer) -> None:
    """12,000 malformed messages later (or more) the same processes run, answer, and have not grown by 32 MiB."""
    with server:
        with Sender(server, 20261122) as sender:
            sender.send(MESSAGES // 6)
            before = memory(server)
            sender.send(MESSAGES - MESSAGES // 6)
        with Peer(server.endpoint).start() as peer:
            assert peer.request("PING").type == "PONG"
            peer.submit(job := spec("1-5"))
            assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        assert_unshaken(server, before)


def test_messages_found_by_hypothesis_never_stop_the_server_or_grow_its_memory(server: RunningServer) -> None:
    """The same of 4,000 messages (or more) that hypothesis draws, 20 to an example, each with a new session."""
    with server, Sender(server, 7) as sender:
        sent = [0]

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(
            st.lists(drawn(CONTROL), min_size=10, max_size=10),
            st.lists(drawn(DATA), min_size=10, max_size=10),
        )
        def strike(control: List[Parts], data: List[Parts]) -> None:
            sender.renew()
            for parts in control:
                sender.post(True, parts)
            for parts in data:
                sender.post(False, parts)
            sent[0] += len(control) + len(data)

        sender.send(200)
        before = memory(server)
        strike()
        assert sent[0] >= 20 * EXAMPLES
        with Peer(server.endpoint).start() as peer:
            peer.submit(job := spec("1-5"))
            assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        assert_unshaken(server, before)


def test_garbage_on_the_ports_is_survived(server: RunningServer) -> None:
    """Bytes that are not even ZeroMQ, half handshakes and connections that say nothing do not disturb others."""
    odd = Odd(5)
    with server:
        ports = (int(server.endpoint.rsplit(":", 1)[1]), int(server.ready["data_port"]))
        greeting = b"\xff" + b"\0" * 8 + b"\x7f\x03\x01NULL" + b"\0" * 48
        silent = []
        for index in range(150):
            connection = socket.create_connection(("127.0.0.1", odd.choice(ports)), timeout=300)
            data = (
                b"GET / HTTP/1.1\r\n\r\n",
                odd.randbytes(300),
                greeting[: odd.randrange(64)],
                greeting,
                b"",
            )
            connection.sendall(data[index % len(data)])
            silent.append(connection)
        with Peer(server.endpoint).start() as peer:
            peer.submit(job := spec("1-5"))
            assert peer.run_to_end(job["job_id"])["state"] == "DONE"
        for connection in silent:
            connection.close()


def test_messages_of_very_many_parts_leave_nothing_behind(server: RunningServer) -> None:
    """Parts beyond the second are thrown away, the session ends; 140 MB of them do not grow a process by 32 MiB."""
    with server, Peer(server.endpoint).start() as peer:
        before = memory(server)
        for _ in range(12):
            for _ in range(4):  # what may wait unread at one time is 12 MB
                peer.control.send_multipart([b"x" * 1000] * 3000)
            error = peer.wait(lambda m: m.type == "ERROR").body["error"]
            assert error["code"] == "protocol"
            peer.hello()  # is answered after all that was sent before it
            peer.seen.clear()
        with Peer(server.endpoint).start() as other:
            assert other.request("PING").type == "PONG"
        assert_unshaken(server, before)
