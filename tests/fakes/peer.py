"""A plain client for server tests: real sockets, the real `wire`, and no behaviour that a test does not request.

It waits a limited time for everything, supplies what is NEEDed while it `run`s, and acks what comes. While one peer of
a thread waits, it sends the others' signs of life, too: a test may leave a peer alone for longer than the server does.

    with Peer(endpoint).start() as peer:
        peer.submit(job := spec("1-10"))
        peer.run_to_end(job["job_id"])
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
import zlib
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple

import zmq
from harmovid.keys import KeyPair
from harmovid.transport import wire
from harmovid.transport.wire import TO_CLIENT_CONTROL, TO_CLIENT_DATA, Message

CREDIT = 16 << 20
ANSWER_S, JOB_S = 300.0, 400.0
"""Limits for a server that does not answer at all; a slow machine must not reach them."""
SEND_S = 120.0
"""Longest wait of a send: a refused key leaves a socket with nobody to send to."""


class _Living(threading.local):
    """This thread's open peers."""

    def __init__(self) -> None:
        self.peers: List[Peer] = []


_living = _Living()


def frame_bytes(frame: int, size: int = 3000, layer: str = "plate") -> bytes:
    """Return bytes that differ by frame and layer; the echo worker does not read them."""
    head = f"{layer} {frame} ".encode()
    return (head * (size // len(head) + 1))[:size]


def spec(frames: str = "1-10", engine: str = "echo", **more: Any) -> Dict[str, Any]:
    """Return a job specification as SUBMIT carries it."""
    return {"job_id": uuid.uuid4().hex, "engine": engine, "frames": frames, "layers": ["plate"], **more}


def _post(socket: zmq.Socket[bytes], parts: Sequence[Any], limit_s: float = SEND_S) -> None:
    until_s = time.monotonic() + limit_s
    while socket.poll(max(0.0, until_s - time.monotonic()) * 1000, zmq.POLLOUT):
        # Who could take it may be refused between the look and the send, which then would wait for ever.
        with contextlib.suppress(zmq.Again):
            return socket.send_multipart(parts, zmq.NOBLOCK)
    raise TimeoutError(f"nobody took a message within {limit_s} s")


class Peer:
    """One client with both sockets. Every wait has a limit; what is not awaited is kept in `seen`."""

    def __init__(self, endpoint: str, keys: Optional[KeyPair] = None, server_key: str = "") -> None:
        self.context = zmq.Context()
        self.keys, self.server_key = keys, server_key
        self.endpoint = endpoint
        self.control = self._socket(endpoint)
        self.data: Optional[zmq.Socket[bytes]] = None
        self.seen: Deque[Message] = deque()
        self.ref = 0
        self.session = b""
        self.data_port = 0
        self.credit = 0
        self.source: Callable[[str, int], bytes] = lambda layer, frame: frame_bytes(frame, layer=layer)
        self.results: Dict[Tuple[str, int], bytes] = {}
        self.doubled: List[Tuple[str, int]] = []
        self.state: Dict[str, Dict[str, Any]] = {}
        self.failed: Dict[Tuple[str, int], Dict[str, Any]] = {}
        self.ack = True
        self.needs: Deque[Tuple[str, str, int]] = deque()
        self._partial: Dict[str, Any] = {}
        self._pinged_s = 0.0
        _living.peers.append(self)

    def _socket(self, endpoint: str) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, wire.HIGH_WATER_MARK)
        socket.setsockopt(zmq.RCVHWM, wire.HIGH_WATER_MARK)
        if self.keys is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, self.server_key.encode())
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self.keys.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, self.keys.secret.encode())
        socket.connect(endpoint)
        return socket

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sockets without a message."""
        if self in _living.peers:
            _living.peers.remove(self)
        self.control.close()
        if self.data is not None:
            self.data.close()
        self.context.term()

    def hello(self, timeout_s: float = ANSWER_S, patience_s: float = 0.0) -> Dict[str, Any]:
        """Make a session and return WELCOME's fields; ask again for `patience_s` while the server is full."""
        patient_until = time.monotonic() + patience_s
        while True:
            answer = self.request("HELLO", {"versions": [1, 1], "client": "peer"}, timeout_s)
            full = answer.type == "REJECT" and answer.body["error"]["code"] == "busy"
            if not full or time.monotonic() > patient_until:
                break
            time.sleep(0.1)
        assert answer.type == "WELCOME", answer
        self.session, self.data_port = bytes(answer.body["session"]), answer.body["data_port"]
        return answer.body

    def attach(self, credit: int = CREDIT) -> None:
        """Join a data socket."""
        if self.data is None:
            self.data = self._socket(f"{self.endpoint.rsplit(':', 1)[0]}:{self.data_port}")
        self.send_data("ATTACH", {"session": self.session, "credit": credit})
        self.credit = self.wait(lambda m: m.type == "ATTACHED").body["credit"]

    def start(self, patience_s: float = ANSWER_S) -> Peer:
        """Say HELLO and ATTACH; ask again for `patience_s` while the server is full of clients that it still counts."""
        self.hello(patience_s=patience_s)
        self.attach()
        return self

    def send(
        self,
        kind: str,
        body: Optional[Dict[str, Any]] = None,
        ref: Optional[int] = None,
        limit_s: float = SEND_S,
    ) -> None:
        """Send on control."""
        _post(self.control, wire.encode(kind, body, ref), limit_s)

    def send_data(self, kind: str, body: Dict[str, Any]) -> None:
        """Send on data."""
        assert self.data is not None
        _post(self.data, wire.encode(kind, body))

    def request(
        self, kind: str, body: Optional[Dict[str, Any]] = None, timeout_s: float = ANSWER_S
    ) -> Message:
        """Send a request and return its answer."""
        self.ref += 1
        ref = self.ref
        self.send(kind, body, ref, min(timeout_s, SEND_S))
        return self.wait(lambda m: m.ref == ref, timeout_s)

    def submit(self, job: Dict[str, Any]) -> Message:
        """Submit a job and return ACCEPT or REJECT."""
        return self.request("SUBMIT", {"spec": job})

    def resume(self, job: str, have: Optional[Dict[int, int]] = None) -> Message:
        """Resume a job and return ACCEPT or REJECT."""
        return self.request("RESUME", {"job": job, "have": wire.pack_have(have or {})})

    def receive(self, timeout_s: float) -> Optional[Message]:
        """Return the next message of either socket, or None."""
        poller = zmq.Poller()
        sockets = {self.control: TO_CLIENT_CONTROL}
        if self.data is not None:
            sockets[self.data] = TO_CLIENT_DATA
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        for peer in _living.peers:
            peer.ping_if_due()
        for socket, _ in poller.poll(max(timeout_s, 0) * 1000):
            return wire.decode(socket.recv_multipart(), sockets[socket])
        return None

    def ping_if_due(self) -> None:
        """Send a sign of life, where there is a session and none was sent for a while."""
        now = time.monotonic()
        if self.session and now - self._pinged_s > wire.PING_S:
            self._pinged_s = now
            with contextlib.suppress(zmq.Again):  # nobody takes it where a key was refused
                self.control.send_multipart(wire.encode("PING"), zmq.NOBLOCK)

    def wait(self, wanted: Callable[[Message], bool], timeout_s: float = ANSWER_S) -> Message:
        """Return the first message that is wanted; keep the others."""
        for message in list(self.seen):
            if wanted(message):
                self.seen.remove(message)
                return message
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            message = self.receive(min(until - time.monotonic(), 0.5))
            if message is not None and wanted(message):
                return message
            if message is not None:
                self.seen.append(message)
        kinds = [(m.type, m.body.get("error")) for m in self.seen]
        raise TimeoutError(f"not within {timeout_s} s; seen were {kinds[-10:]}")

    def upload(self, job: str, layer: str, frame: int, chunk: int = 1 << 20) -> None:
        """Send one file. Waits for credit."""
        data = self.source(layer, frame)
        names = {"job": job, "layer": layer, "frame": frame}
        self.send_data("META", {**names, "size": len(data), "crc": zlib.crc32(data)})
        for off in range(0, len(data), chunk):
            part = data[off : off + chunk]
            while self.credit < len(part):
                self.handle(self.wait(lambda m: m.type == "CREDIT"))
            self.credit -= len(part)
            self.send_data("CHUNK", {**names, "off": off, "crc": zlib.crc32(part), "data": part})

    def handle(self, message: Message) -> None:
        """Do what a good client does with one message."""
        body = message.body
        if message.type == "CREDIT":
            self.credit += body["bytes"]
        elif message.type == "NEED":
            self.needs.extend((body["job"], layer, frame) for layer, frame in body["items"])
        elif message.type == "RESULT_META":
            self._partial = {**body, "data": b""}
            self._take_result()
        elif message.type == "RESULT_CHUNK":
            assert (body["job"], body["frame"]) == (self._partial["job"], self._partial["frame"])
            assert body["off"] == len(self._partial["data"])
            assert body["crc"] == zlib.crc32(body["data"])
            self._partial["data"] += bytes(body["data"])
            self.send_data("CREDIT", {"bytes": len(body["data"])})
            self._take_result()
        elif message.type == "STATE":
            self.state[body["job"]] = body
        elif message.type == "FRAME_FAILED":
            self.failed[body["job"], body["frame"]] = body["error"]

    def _take_result(self) -> None:
        whole = self._partial
        if len(whole["data"]) < whole["size"]:
            return
        assert zlib.crc32(whole["data"]) == whole["crc"]
        key = (whole["job"], whole["frame"])
        if key in self.results:
            self.doubled.append(key)
        self.results[key] = whole["data"]
        if self.ack:
            self.send_data("ACK", {"job": key[0], "frame": key[1]})

    def step(self, timeout_s: float = 0.1) -> None:
        """Supply one file if one is needed, then handle one message."""
        if self.needs:
            self.upload(*self.needs.popleft())
            timeout_s = 0.0
        message = self.seen.popleft() if self.seen else self.receive(timeout_s)
        if message is not None:
            self.handle(message)

    def run(self, done: Callable[[], bool], timeout_s: float = JOB_S) -> None:
        """Go on until `done()`."""
        until = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > until:
                raise TimeoutError(f"not done within {timeout_s} s; states {self.state}")
            self.step()

    def run_to_end(self, job: str, timeout_s: float = JOB_S) -> Dict[str, Any]:
        """Go on until a job is at its end and return its last STATE."""
        finals = ("DONE", "FAILED", "CANCELLED", "EXPIRED")
        self.run(lambda: self.state.get(job, {}).get("state") in finals, timeout_s)
        return self.state[job]
