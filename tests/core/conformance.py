"""Tests whether a server conforms to docs/wire.md: runs the protocol against any address and reports the results.

    python tests/core/conformance.py tcp://127.0.0.1:5570 [--engine null]

The server must offer an engine that takes one layer "plate" and answers every frame. Each check below has a
section of docs/wire.md in its docstring, opens sessions of its own with raw ZeroMQ, and raises AssertionError
or TimeoutError when the server departs from it. Exit code 0: all hold.
"""

from __future__ import annotations

import argparse
import secrets
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import zmq
from harmovid.transport import wire

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.tiny_exr import tiny_exr

WAIT_S = 300.0
SETTLING = ("NEED", "RESULT_META", "FRAME_FAILED")
FRAMES = tuple(range(-2, 6))


class Peer:
    """A client without behaviour of its own, over raw sockets: every message is sent by a check."""

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._address = address
        self._seen: List[wire.Message] = []
        self.control = self._connect(address)
        self.data: Optional[zmq.Socket[bytes]] = None
        self.credit = 0
        self.ref = 0

    def _connect(self, address: str) -> zmq.Socket[bytes]:
        one = self._context.socket(zmq.DEALER)
        one.setsockopt(zmq.LINGER, 0)
        one.connect(address)
        return one

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)

    def hello(self) -> wire.Message:
        """Make a session."""
        welcome = self.ask("HELLO", {"versions": wire.VERSIONS, "client": "conformance"})
        assert welcome.type == "WELCOME", welcome
        return welcome

    def attach(self, credit: int = wire.CREDIT_BYTES) -> Peer:
        """Make a session with a data socket."""
        welcome = self.hello().body
        self.data = self._connect(f"{self._address.rsplit(':', 1)[0]}:{welcome['data_port']}")
        self.send_data("ATTACH", {"session": welcome["session"], "credit": credit})
        self.credit = self.expect("ATTACHED").body["credit"]
        return self

    def ask(self, kind: str, body: Optional[Dict[str, Any]] = None) -> wire.Message:
        """Send a request and return its answer."""
        self.ref += 1
        self.control.send_multipart(wire.encode(kind, body, self.ref))
        return self.expect(where=lambda message: message.ref == self.ref)

    def send_data(self, kind: str, body: Dict[str, Any]) -> None:
        """Send on the data socket."""
        assert self.data is not None
        self.data.send_multipart(wire.encode(kind, body))

    def expect(
        self, kind: str = "", where: Callable[[wire.Message], bool] = lambda _: True, wait_s: float = WAIT_S
    ) -> wire.Message:
        """Return the first message of a type, in the order of arrival; skipped messages are kept."""

        def wanted(message: wire.Message) -> bool:
            return (not kind or message.type == kind) and where(message)

        until, pinged = time.monotonic() + wait_s, time.monotonic()
        while True:
            for index, message in enumerate(self._seen):
                if wanted(message):
                    return self._seen.pop(index)
            now = time.monotonic()
            if now > until:
                raise TimeoutError(f"no {kind or 'answer'}; came: {[m.type for m in self._seen][-8:]}")
            if now - pinged > wire.PING_S:
                pinged = now
                self.control.send_multipart(wire.encode("PING"))
            self._receive()

    def _receive(self) -> None:
        poller, channels = zmq.Poller(), {self.control: wire.TO_CLIENT_CONTROL}
        if self.data is not None:
            channels[self.data] = wire.TO_CLIENT_DATA
        for one in channels:
            poller.register(one, zmq.POLLIN)
        for one, _ in poller.poll(100):
            message = wire.decode(one.recv_multipart(), channels[one])
            if message.type == "CREDIT":
                self.credit += message.body["bytes"]
            elif message.type != "PONG" or message.ref is not None:
                self._seen.append(message)

    def submit(self, engine: str, frames: str = "-2-5") -> str:
        """Submit a job that must be accepted; return its id."""
        spec = {"job_id": secrets.token_hex(16), "engine": engine, "frames": frames, "layers": ["plate"]}
        answer = self.ask("SUBMIT", {"spec": spec})
        assert answer.type == "ACCEPT", answer
        return str(spec["job_id"])

    def upload(self, job: str, frame: int, data: bytes, damage: bool = False) -> None:
        """Send one input within the credit; `damage` flips a bit on the way."""
        names = {"job": job, "layer": "plate", "frame": frame}
        self.send_data("META", {**names, "size": len(data), "crc": zlib.crc32(data)})
        for off in range(0, len(data), wire.CHUNK_BYTES):
            piece = data[off : off + wire.CHUNK_BYTES]
            while self.credit < len(piece):
                self._receive()
            self.credit -= len(piece)
            crc = zlib.crc32(piece)
            sent = bytes([piece[0] ^ 1]) + piece[1:] if damage else piece
            self.send_data("CHUNK", {**names, "off": off, "crc": crc, "data": sent})

    def result(self, job: str) -> Tuple[int, bytes]:
        """Receive one whole result and grant its bytes again."""
        meta = self.expect("RESULT_META", lambda message: message.body["job"] == job).body
        data = b""
        while len(data) < meta["size"]:
            body = self.expect("RESULT_CHUNK").body
            assert (body["frame"], body["off"]) == (meta["frame"], len(data)), "chunks out of order"
            assert zlib.crc32(body["data"]) == body["crc"], "a chunk's checksum does not fit"
            data += bytes(body["data"])
            self.send_data("CREDIT", {"bytes": len(body["data"])})
        assert zlib.crc32(data) == meta["crc"], "the checksum of the whole does not fit"
        return meta["frame"], data

    def ack(self, job: str, frame: int) -> None:
        """Acknowledge a result."""
        self.send_data("ACK", {"job": job, "frame": frame})

    def serve(self, job: str, missing: Tuple[int, ...] = (), until: int = len(FRAMES)) -> Dict[int, bytes]:
        """Supply what is needed and take results until `until` frames are settled; return the results."""
        results: Dict[int, bytes] = {}
        failed = 0
        while len(results) + failed < until:
            message = self.expect(where=lambda m: m.type in SETTLING and m.body["job"] == job)
            if message.type == "NEED":
                for layer, frame in message.body["items"]:
                    self._supply(job, layer, frame, frame in missing)
            elif message.type == "FRAME_FAILED":
                assert message.body["frame"] in missing
                failed += 1
            else:
                self._seen.insert(0, message)
                frame, data = self.result(job)
                assert frame not in results, "a result came twice"
                results[frame] = data
                self.ack(job, frame)
        return results

    def _supply(self, job: str, layer: str, frame: int, missing: bool) -> None:
        assert layer == "plate", "a layer that the job does not have"
        if missing:
            error = {"code": "frame_missing", "message": "no such file.", "retryable": False}
            self.send_data("SOURCE_FAILED", {"job": job, "layer": layer, "frame": frame, "error": error})
        else:
            self.upload(job, frame, tiny_exr(value=1 + frame / 8))

    def final(self, job: str) -> Dict[str, Any]:
        """Return the STATE that ends the job."""
        states = ("DONE", "FAILED", "CANCELLED", "EXPIRED")
        return self.expect("STATE", lambda m: m.body["job"] == job and m.body["state"] in states).body


def error_code(message: wire.Message) -> str:
    """Return the code in a REJECT, ERROR, FRAME_BAD or FRAME_FAILED."""
    return str(message.body["error"]["code"])


def check_versions(address: str, engine: str) -> None:
    """5, Session: HELLO without a common version is REJECTed `version`; one with is welcomed."""
    with Peer(address) as peer:
        answer = peer.ask("HELLO", {"versions": [7, 9], "client": "from the future"})
        assert (answer.type, error_code(answer)) == ("REJECT", "version")
        answer = peer.ask("HELLO", {"versions": [1, 9], "client": "newer"})
        assert (answer.type, answer.body["version"]) == ("WELCOME", 1)


def check_without_session(address: str, engine: str) -> None:
    """5, Session: without HELLO there is no answer but ERROR `session`, on either socket."""
    with Peer(address) as peer:
        peer.control.send_multipart(wire.encode("ENGINES", ref=5))
        message = peer.expect("ERROR")
        assert (error_code(message), message.body["scope"]) == ("session", "session")
        port = peer.hello().body["data_port"]
        peer.data = peer._connect(f"{address.rsplit(':', 1)[0]}:{port}")
        peer.send_data("ATTACH", {"session": bytes(16), "credit": 1})
        assert error_code(peer.expect("ERROR")) == "session"


def check_questions(address: str, engine: str) -> None:
    """4: PING, ENGINES and STATUS are answered with the same ref; unknown jobs are `job_unknown`."""
    with Peer(address) as peer:
        peer.hello()
        assert peer.ask("PING").type == "PONG"
        engines = peer.ask("ENGINES").body["engines"]
        assert engine in [one["name"] for one in engines]
        assert peer.ask("STATUS").type == "JOBS"
        for kind, more in (("STATUS", {}), ("CANCEL", {})):
            answer = peer.ask(kind, {"job": secrets.token_hex(16), **more})
            assert (answer.type, error_code(answer)) == ("REJECT", "job_unknown"), kind


def check_jobs_need_data(address: str, engine: str) -> None:
    """5, Session: SUBMIT and RESUME before ATTACHED are REJECTed `protocol`."""
    with Peer(address) as peer:
        peer.hello()
        spec = {"job_id": secrets.token_hex(16), "engine": engine, "frames": "1", "layers": ["plate"]}
        assert error_code(peer.ask("SUBMIT", {"spec": spec})) == "protocol"
        assert error_code(peer.ask("RESUME", {"job": spec["job_id"], "have": b""})) == "protocol"


def check_malformed(address: str, engine: str) -> None:
    """2: a refused message ends its session with ERROR `protocol`; HELLO works again."""
    for parts in ([b"\xc1", b""], [b"", b""], [b"\x80"], wire.encode("PONG", ref=1), [b"\x80", b"", b""]):
        with Peer(address) as peer:
            peer.hello()
            peer.control.send_multipart(parts)
            assert error_code(peer.expect("ERROR")) == "protocol", parts
            peer.control.send_multipart(wire.encode("PING", ref=99))
            assert error_code(peer.expect("ERROR")) == "session", parts
            assert peer.hello().type == "WELCOME"


def check_rejects(address: str, engine: str) -> None:
    """5, SUBMIT: unknown engines, unreadable ranges and options are REJECTed by their codes."""
    with Peer(address).attach() as peer:
        good = {"engine": engine, "frames": "1-3", "layers": ["plate"]}
        for change, code in (
            ({"engine": "no-such-engine"}, "engine_unknown"),
            ({"frames": "3-1"}, "pattern"),
            ({"frames": "1-200000"}, "pattern"),
            ({"options": {"no_such_option": 1}}, "option"),
        ):
            answer = peer.ask("SUBMIT", {"spec": {**good, "job_id": secrets.token_hex(16), **change}})
            assert (answer.type, error_code(answer)) == ("REJECT", code), (change, answer)


def check_whole_job(address: str, engine: str) -> None:
    """5: every frame is needed, comes back checked and once, and DONE comes after the last ACK."""
    with Peer(address).attach() as peer:
        job = peer.submit(engine)
        results = peer.serve(job)
        assert sorted(results) == list(FRAMES)
        assert all(data.startswith(b"\x76\x2f\x31\x01") for data in results.values())
        state = peer.final(job)
        assert (state["state"], state["total"], state["delivered"], state["failed"]) == ("DONE", 8, 8, 0)
        (row,) = peer.ask("STATUS", {"job": job}).body["jobs"]
        assert (row["job"], row["state"]) == (job, "DONE")
        assert peer.ask("CANCEL", {"job": job}).body["state"] == "DONE"


def check_done_waits_for_acks(address: str, engine: str) -> None:
    """5, Results: a result that is not ACKed keeps the job from being DONE."""
    with Peer(address).attach() as peer:
        job = peer.submit(engine, "7")
        peer.expect("NEED")
        peer.upload(job, 7, tiny_exr())
        assert peer.result(job)[0] == 7
        try:
            peer.expect("STATE", lambda m: m.body["state"] == "DONE", wait_s=1.0)
        except TimeoutError:
            peer.ack(job, 7)
            assert peer.final(job)["state"] == "DONE"
            return
        raise AssertionError("DONE came before the ACK")


def check_idempotency(address: str, engine: str) -> None:
    """5, SUBMIT: the same id and spec is the same job; the same id and another spec is `job_conflict`."""
    with Peer(address).attach() as peer:
        spec = {"job_id": secrets.token_hex(16), "engine": engine, "frames": "1-3", "layers": ["plate"]}
        assert peer.ask("SUBMIT", {"spec": spec}).type == "ACCEPT"
        assert peer.ask("SUBMIT", {"spec": spec}).type == "ACCEPT"
        assert error_code(peer.ask("SUBMIT", {"spec": {**spec, "frames": "1-4"}})) == "job_conflict"
        rows = [row for row in peer.ask("STATUS").body["jobs"] if row["job"] == spec["job_id"]]
        assert len(rows) == 1
        peer.ask("CANCEL", {"job": spec["job_id"]})


def check_taken_over_before_a_frame(address: str, engine: str) -> None:
    """5, SUBMIT: a client that was killed after NEED and sends the job anew without RESUME is asked again."""
    spec = {"job_id": secrets.token_hex(16), "engine": engine, "frames": "-2-5", "layers": ["plate"]}
    with Peer(address).attach() as killed:
        assert killed.ask("SUBMIT", {"spec": spec}).type == "ACCEPT"
        killed.expect("NEED")
    with Peer(address).attach() as peer:
        assert peer.ask("SUBMIT", {"spec": spec}).type == "ACCEPT"
        assert sorted(peer.serve(str(spec["job_id"]))) == list(FRAMES)
        assert peer.final(str(spec["job_id"]))["state"] == "DONE"


def check_damaged_input(address: str, engine: str) -> None:
    """5, Inputs: a damaged chunk is FRAME_BAD, and the file may be sent again without another NEED."""
    with Peer(address).attach() as peer:
        job = peer.submit(engine, "7")
        peer.expect("NEED")
        data = tiny_exr()
        peer.upload(job, 7, data, damage=True)
        assert error_code(peer.expect("FRAME_BAD")) == "frame_corrupt"
        peer.upload(job, 7, data)
        assert peer.expect("FRAME_OK").body["frame"] == 7
        assert list(peer.serve(job, until=1)) == [7]
        assert peer.final(job)["state"] == "DONE"


def check_abandoned_input(address: str, engine: str) -> None:
    """5, Inputs: a new META abandons an unfinished file; unwanted files are ignored and credited."""
    with Peer(address).attach() as peer:
        job = peer.submit(engine, "7")
        peer.expect("NEED")
        peer.send_data("META", {"job": job, "layer": "plate", "frame": 7, "size": 99, "crc": 0})
        before = peer.credit
        peer.upload(secrets.token_hex(16), 1, bytes(1 << 20))
        peer.upload(job, 7, tiny_exr(64, 64))
        assert list(peer.serve(job, until=1)) == [7]
        assert peer.final(job)["state"] == "DONE"
        assert peer.credit >= before - (1 << 20), "ignored bytes were not credited"


def check_missing_frames(address: str, engine: str) -> None:
    """5, Inputs: SOURCE_FAILED fails its frame with FRAME_FAILED and nothing else."""
    with Peer(address).attach() as peer:
        job = peer.submit(engine)
        results = peer.serve(job, missing=(0, 3))
        assert sorted(results) == [-2, -1, 1, 2, 4, 5]
        state = peer.final(job)
        assert (state["state"], state["failed"], state["delivered"]) == ("DONE", 2, 6)


def check_context(address: str, engine: str) -> None:
    """3, spec: frames of `context` are in no count and get no result; one that cannot be sent is no failed frame."""
    with Peer(address).attach() as peer:
        spec = {"job_id": secrets.token_hex(16), "engine": engine, "frames": "3-4", "layers": ["plate"]}
        answer = peer.ask("SUBMIT", {"spec": {**spec, "context": "1-6"}})
        assert (answer.type, answer.body["total"]) == ("ACCEPT", 2)
        results = peer.serve(spec["job_id"], missing=(2, 6), until=2)
        assert sorted(results) == [3, 4]
        state = peer.final(spec["job_id"])
        assert (state["state"], state["total"], state["delivered"], state["failed"]) == ("DONE", 2, 2, 0)


def check_unreadable_frames(address: str, engine: str) -> None:
    """6: a frame that is no EXR fails alone, with an error of its own."""
    with Peer(address).attach() as peer:
        job = peer.submit(engine, "1-2")
        need = peer.expect("NEED").body["items"]
        assert ["plate", 1] in need
        peer.upload(job, 1, b"\x89PNG\r\n\x1a\n" + bytes(100))
        message = peer.expect("FRAME_FAILED")
        assert (message.body["frame"], error_code(message)) == (1, "frame_unreadable")
        if len(need) == 1:
            peer.expect("NEED")
        peer.upload(job, 2, tiny_exr())
        assert list(peer.serve(job, until=1)) == [2]
        assert peer.final(job)["state"] == "DONE"


def check_refused_result(address: str, engine: str) -> None:
    """5, Results: RESULT_BAD has the result sent again; after the third the frame fails."""
    error = {"code": "frame_corrupt", "message": "damaged.", "retryable": True}
    with Peer(address).attach() as peer:
        for refusals in (2, 3):
            job = peer.submit(engine, "7")
            peer.expect("NEED")
            peer.upload(job, 7, tiny_exr())
            for _ in range(refusals):
                peer.result(job)
                peer.send_data("RESULT_BAD", {"job": job, "frame": 7, "error": error})
            if refusals < wire.SEND_TRIES:
                assert list(peer.serve(job, until=1)) == [7]
            else:
                assert error_code(peer.expect("FRAME_FAILED")) == "frame_corrupt"
            peer.final(job)


def check_resume(address: str, engine: str) -> None:
    """5, RESUME: after a lost connection what the client has is not sent again, the rest is."""
    with Peer(address).attach() as peer:
        job = peer.submit(engine)
        have = {frame: zlib.crc32(data) for frame, data in peer.serve(job, missing=(-2,), until=4).items()}
    spec = {"job_id": job, "engine": engine, "frames": "-2-5", "layers": ["plate"]}
    with Peer(address).attach() as peer:
        assert peer.ask("SUBMIT", {"spec": spec}).type == "ACCEPT"
        assert peer.ask("RESUME", {"job": job, "have": wire.pack_have(have)}).type == "ACCEPT"
        results = peer.serve(job, missing=(-2,), until=len(FRAMES) - len(have))
        assert not set(results) & set(have), "a result came again that the client has"
        state = peer.final(job)
        assert (state["state"], state["delivered"], state["failed"]) == ("DONE", 7, 1)
    have.update({frame: zlib.crc32(data) for frame, data in results.items()})
    with Peer(address).attach() as peer:
        assert peer.ask("RESUME", {"job": job, "have": wire.pack_have(have)}).type == "ACCEPT"
        assert peer.expect("FRAME_FAILED").body["frame"] == -2
        assert peer.final(job)["state"] == "DONE"
        missing = dict(list(have.items())[1:])
        answer = peer.ask("RESUME", {"job": job, "have": wire.pack_have(missing)})
        assert error_code(answer) == "job_unknown"


def check_cancel(address: str, engine: str) -> None:
    """5, CANCEL: the job ends as CANCELLED for the asker and for the owner session."""
    with Peer(address).attach() as owner, Peer(address) as asker:
        job = owner.submit(engine)
        asker.hello()
        assert asker.ask("CANCEL", {"job": job}).body["state"] == "CANCELLED"
        assert owner.final(job)["state"] == "CANCELLED"


def check_credit(address: str, engine: str) -> None:
    """5, Credit: the server stays within the client's credit, in chunks as short as that needs."""
    size = 256 * 1024
    with Peer(address).attach(credit=size) as peer:
        job = peer.submit(engine, "7")
        peer.expect("NEED")
        peer.upload(job, 7, tiny_exr(512, 256))
        body = peer.expect("RESULT_META").body
        got = 0
        while got < body["size"]:
            piece = len(peer.expect("RESULT_CHUNK").body["data"])
            got += piece
            assert piece <= size, "more bytes than there was credit for"
            peer.send_data("CREDIT", {"bytes": piece})
        peer.ack(job, 7)
        assert peer.final(job)["state"] == "DONE"


def check_silence(address: str, engine: str) -> None:
    """7: a session that sends nothing for 4 s is closed; one that sends PING once a second stays."""
    while not _is_silence_told(address):
        pass


def _is_silence_told(address: str) -> bool:
    """Check silence once; return False where this machine was too busy to send PING once a second."""
    with Peer(address) as quiet, Peer(address) as lively:
        quiet.hello()
        lively.hello()
        begun = last = time.monotonic()
        while last - begun < wire.SILENT_S + 2 * wire.PING_S:
            time.sleep(wire.PING_S)
            answer = lively.ask("PING")
            before, last = last, time.monotonic()
            if last - before > wire.SILENT_S / 2:
                return False
            assert answer.type == "PONG"
        quiet.control.send_multipart(wire.encode("PING", ref=7))
        assert error_code(quiet.expect("ERROR")) == "session"
    return True


def check_endless_parts(address: str, engine: str) -> None:
    """1 and 2: parts beyond MAXMSGSIZE and messages of many parts do not affect other clients."""
    with Peer(address) as rude, Peer(address) as other:
        rude.hello()
        other.hello()
        rude.control.send_multipart([struct.pack("B", 0x80)] + [b"x" * 1000] * 200)
        rude.control.send_multipart([b"\x80", bytes(wire.MAX_MESSAGE_BYTES + 1)])
        assert other.ask("PING").type == "PONG"


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


def main(arguments: Optional[List[str]] = None) -> int:
    """Run all checks and print one line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address", help="control address of the server, tcp://host:port")
    parser.add_argument("--engine", default="null", help="an engine that takes one plate (default null)")
    given = parser.parse_args(arguments)
    failed = 0
    for check in CHECKS:
        try:
            check(given.address, given.engine)
            verdict = "holds"
        except (AssertionError, TimeoutError) as error:
            failed += 1
            verdict = f"FAILS: {error or type(error).__name__}"
        print(f"{verdict[:5]:5}  {(check.__doc__ or '').strip()}")  # noqa: T201 (a tool's answer)
        if verdict != "holds":
            print(f"       {verdict}")  # noqa: T201
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} hold")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
