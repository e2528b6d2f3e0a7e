"""A minimal HarmoVid server in one thread: raw ZeroMQ and `harmovid.transport.wire`, after docs/wire.md.

It keeps everything in memory, and its only engine returns the plate unchanged. Client tests run against it,
and can switch faults on. Authors of other clients can read it as the
shortest description of a server's behaviour.
"""

from __future__ import annotations

import secrets
import threading
import time
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Deque, Dict, List, Optional, Set, Tuple

import zmq
from harmovid import errors
from harmovid.frames import FrameRange
from harmovid.job import CANCELLED, DONE, FAILED, FINAL_STATES, QUEUED, RUNNING, Progress
from harmovid.transport import wire
from harmovid.transport.wire import TO_CLIENT_CONTROL, TO_CLIENT_DATA, TO_SERVER_CONTROL, TO_SERVER_DATA

WAIT_S = 300.0
"""Limit for waits on the server's thread."""

ENGINE = {
    "name": "null",
    "version": "1",
    "task": "any",
    "summary": "gives the plate back",
    "target": "plate",
    "layers": [{"name": "plate", "required": True, "help": "the plate"}],
}


@dataclass
class Faults:
    """Faults that are switched on. Counters go down to zero, after which the server works correctly."""

    reject: Optional[errors.HarmoVidError] = None
    damaged_results: int = 0
    refused_inputs: int = 0
    doubled_results: bool = False
    withheld_credit: bool = False
    mute: bool = False
    fail_job_at_ack: Optional[int] = None
    data_local: str = ""


@dataclass
class Job:
    """One job: its frames, what has come in, what has gone out."""

    spec: Dict[str, Any]
    user: str
    frames: Tuple[int, ...]
    state: str = QUEUED
    session: Optional[bytes] = None
    asked: Set[int] = field(default_factory=set)
    results: Dict[int, bytes] = field(default_factory=dict)
    acked: Set[int] = field(default_factory=set)
    failed: Dict[int, Dict[str, Any]] = field(default_factory=dict)
    refused: Dict[int, int] = field(default_factory=dict)

    def progress(self) -> Dict[str, Any]:
        """Return the fields of ACCEPT and STATE."""
        done = len(self.results)
        return wire.progress_body(
            Progress(
                self.spec["job_id"],
                self.state,
                len(self.frames),
                done,
                done,
                len(self.acked),
                len(self.failed),
            )
        )


@dataclass
class Session:
    """One client: where to send to, what it may send, what is on its way to it."""

    user: str
    control: bytes
    heard_s: float
    data: Optional[bytes] = None
    credit: int = wire.CREDIT_BYTES
    send_credit: int = 0
    upload: Optional[Dict[str, Any]] = None
    queue: Deque[Tuple[str, int]] = field(default_factory=deque)
    offset: int = -1


def _bind_patiently(one: Any, endpoint: str) -> None:
    """Bind; a port that was just closed is free a moment later, as libzmq closes in the background."""
    for _ in range(30_000):
        try:
            one.bind(endpoint)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            time.sleep(0.01)
    raise TimeoutError(f"{endpoint} stays in use")


class ReferenceServer(threading.Thread):
    """The server; `with ReferenceServer() as server:` starts and stops it.

    Attributes:
        faults: what goes wrong.
        jobs, sessions: by id, by token.
        log: the type of every message received, in order; `acks` and `sent_meta` the frames of some.
        bytes_in, bytes_out: payload of CHUNKs received and sent.
    """

    WINDOW = 4

    def __init__(self, secret: Optional[bytes] = None, window: int = WINDOW) -> None:
        super().__init__(name="reference-server", daemon=True)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._secret = secret
        self._window = window
        self._commands: Deque[Callable[[], None]] = deque()
        self._running = True
        self.faults = Faults()
        self.jobs: Dict[str, Job] = {}
        self.sessions: Dict[bytes, Session] = {}
        self.log: List[str] = []
        self.acks: List[int] = []
        self.bytes_in = self.bytes_out = 0
        self.sent_meta: List[int] = []
        self._ports = (0, 0)
        self._bind()

    @property
    def port(self) -> int:
        """The control port."""
        return self._ports[0]

    @property
    def address(self) -> str:
        """What a client is given."""
        return f"tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> ReferenceServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running = False
        self.join(WAIT_S)
        self._context.destroy(linger=0)

    def do(self, command: Callable[[], None]) -> None:
        """Run something in the server's thread, and wait until it is done."""
        done = threading.Event()
        self._commands.append(lambda: (command(), done.set()))  # type: ignore[func-returns-value]
        assert done.wait(WAIT_S)

    def restart(self, keep_jobs: bool = True) -> None:
        """Stop without a message and restart on the same ports, without the old sessions."""

        def again() -> None:
            for one in (self._control, self._data):
                one.close(linger=0)
            self.sessions.clear()
            if not keep_jobs:
                self.jobs.clear()
            self._bind()

        self.do(again)

    def _bind(self) -> None:
        sockets, ports = [], []
        for port in self._ports:
            one = self._context.socket(zmq.ROUTER)
            one.setsockopt(zmq.LINGER, 0)
            one.setsockopt(zmq.ROUTER_MANDATORY, 1)
            one.setsockopt(zmq.MAXMSGSIZE, wire.MAX_MESSAGE_BYTES)
            one.setsockopt(zmq.SNDHWM, wire.HIGH_WATER_MARK)
            if self._secret is not None:
                one.curve_server, one.curve_secretkey = True, self._secret
            _bind_patiently(one, f"tcp://127.0.0.1:{port or '*'}")
            ports.append(int(one.getsockopt(zmq.LAST_ENDPOINT).rsplit(b":", 1)[1].rstrip(b"\0")))
            sockets.append(one)
        self._control, self._data = sockets
        self._ports = (ports[0], ports[1])

    def run(self) -> None:
        """Serve until stopped."""
        while self._running:
            while self._commands:
                self._commands.popleft()()
            for one, channel in ((self._control, TO_SERVER_CONTROL), (self._data, TO_SERVER_DATA)):
                for _ in range(32):  # then the other socket, however busy this one is
                    if not one.poll(1):
                        break
                    self._receive(one, channel)
            for token, session in list(self.sessions.items()):
                self._send_results(session)
                if time.monotonic() - session.heard_s > wire.SILENT_S:
                    self.sessions.pop(token, None)

    def _receive(self, one: Any, channel: str) -> None:
        frames = one.recv_multipart(copy=False)
        peer, user = frames[0].bytes, frames[1].get("User-Id") if self._secret else ""
        if self.faults.mute:
            return
        reply = TO_CLIENT_CONTROL if channel == TO_SERVER_CONTROL else TO_CLIENT_DATA
        try:
            message = wire.decode([frame.bytes for frame in frames[1:]], channel)
            self.log.append(message.type)
            token = self._token(peer, channel)
            if message.type == "HELLO":
                self._hello(peer, str(user), message)
            elif message.type == "ATTACH":
                self._attach(peer, str(user), message)
            elif token is None:
                error = {"code": wire.SESSION_UNKNOWN, "message": "who are you?", "retryable": True}
                self._send(peer, reply, "ERROR", {"scope": "session", "error": error})
            else:
                self.sessions[token].heard_s = time.monotonic()
                getattr(self, f"_on_{message.type.lower()}")(token, self.sessions[token], message)
        except errors.ProtocolError as error:
            self._send(peer, reply, "ERROR", {"scope": "session", "error": wire.error_body(error)})
            self.sessions.pop(self._token(peer, channel) or b"", None)

    def _token(self, peer: bytes, channel: str) -> Optional[bytes]:
        name = "control" if channel == TO_SERVER_CONTROL else "data"
        return next((token for token, one in self.sessions.items() if getattr(one, name) == peer), None)

    def _send(
        self, peer: Optional[bytes], channel: str, kind: str, body: Any, ref: Optional[int] = None
    ) -> None:
        one = self._control if channel == TO_CLIENT_CONTROL else self._data
        try:
            one.send_multipart([peer or b"", *wire.encode(kind, body, ref)], zmq.DONTWAIT)
        except zmq.ZMQError:  # gone or not reading: its session ends
            self.sessions = {t: s for t, s in self.sessions.items() if peer not in (s.control, s.data)}

    def _tell(self, session: Session, kind: str, body: Any, ref: Optional[int] = None) -> None:
        self._send(session.control, TO_CLIENT_CONTROL, kind, body, ref)

    # Control.

    def _hello(self, peer: bytes, user: str, message: wire.Message) -> None:
        try:
            version = wire.common_version(message.body["versions"])
        except errors.HarmoVidError as error:
            self._send(peer, TO_CLIENT_CONTROL, "REJECT", {"error": wire.error_body(error)}, message.ref)
            return
        self.sessions.pop(self._token(peer, TO_SERVER_CONTROL) or b"", None)
        token = secrets.token_bytes(wire.TOKEN_BYTES)
        self.sessions[token] = Session(user, peer, time.monotonic())
        welcome = {"version": version, "server": "reference", "session": token, "data_port": self._ports[1]}
        welcome.update(draining=False, limits={"file_bytes": 1 << 26})
        if self.faults.data_local:
            welcome["data_local"] = self.faults.data_local
        self._send(peer, TO_CLIENT_CONTROL, "WELCOME", welcome, message.ref)

    def _on_ping(self, token: bytes, session: Session, message: wire.Message) -> None:
        self._tell(session, "PONG", {}, message.ref)

    def _on_bye(self, token: bytes, session: Session, message: wire.Message) -> None:
        del self.sessions[token]

    def _on_engines(self, token: bytes, session: Session, message: wire.Message) -> None:
        self._tell(session, "ENGINE_LIST", {"engines": [ENGINE]}, message.ref)

    def _on_submit(self, token: bytes, session: Session, message: wire.Message) -> None:
        spec = message.body["spec"]
        try:
            job = self._admit(session, spec)
        except errors.HarmoVidError as error:
            self._reject(session, message, error)
            return
        if job.session != token:  # what an earlier session was asked for is void
            job.asked = set(job.results) | set(job.failed) | job.acked
        job.session = token
        self._tell(session, "ACCEPT", job.progress(), message.ref)
        if job.state == QUEUED:
            self._need_more(job)

    def _admit(self, session: Session, spec: Dict[str, Any]) -> Job:
        """Return the existing job of this id, or a new one, or raise the error of the request."""
        if self.faults.reject is not None:
            raise self.faults.reject
        if session.data is None:
            raise errors.ProtocolError("ATTACH first.")
        if spec["engine"] != "null":
            raise errors.EngineUnknown("there is only null here.")
        if spec.get("options"):
            raise errors.OptionError("null has no options.")
        job = self.jobs.get(spec["job_id"])
        if job is None:
            frames = tuple(FrameRange.parse(spec["frames"]))
            if len(frames) > wire.FRAMES_PER_JOB:
                raise errors.PatternError("too many frames.")
            job = self.jobs[spec["job_id"]] = Job(spec, session.user, frames)
        if job.spec != spec or job.user != session.user:
            raise errors.JobConflict("that id is taken.")
        return job

    def _reject(self, session: Session, message: wire.Message, error: errors.HarmoVidError) -> None:
        self._tell(session, "REJECT", {"error": wire.error_body(error)}, message.ref)

    def _own(self, session: Session, message: wire.Message) -> Optional[Job]:
        job = self.jobs.get(message.body["job"])
        if job is not None and job.user == session.user:
            return job
        self._reject(session, message, errors.JobUnknown("no such job of yours."))
        return None

    def _on_resume(self, token: bytes, session: Session, message: wire.Message) -> None:
        if session.data is None:
            self._reject(session, message, errors.ProtocolError("ATTACH first."))
            return
        job = self._own(session, message)
        if job is None:
            return
        have = wire.unpack_have(message.body["have"])
        if job.state in FINAL_STATES and not job.acked <= set(have):
            self._reject(session, message, errors.JobUnknown("what you lack is gone."))
            return
        job.session = token
        job.acked |= have.keys() & set(job.frames)
        self._tell(session, "ACCEPT", job.progress(), message.ref)
        for frame, error in job.failed.items():
            self._tell(session, "FRAME_FAILED", {"job": job.spec["job_id"], "frame": frame, "error": error})
        session.queue.extend((job.spec["job_id"], n) for n in job.results if n not in job.acked)
        job.asked = set(job.results) | set(job.failed) | job.acked
        self._after(job)
        if job.state in FINAL_STATES:
            self._tell(session, "STATE", job.progress())

    def _on_status(self, token: bytes, session: Session, message: wire.Message) -> None:
        if "job" in message.body and self._own(session, message) is None:
            return
        rows = [
            {**job.progress(), "engine": job.spec["engine"], "label": job.spec.get("label", "")}
            for job in self.jobs.values()
            if job.user == session.user and message.body.get("job") in (None, job.spec["job_id"])
        ]
        self._tell(session, "JOBS", {"jobs": rows}, message.ref)

    def _on_cancel(self, token: bytes, session: Session, message: wire.Message) -> None:
        job = self._own(session, message)
        if job is None:
            return
        over = job.state in FINAL_STATES
        job.state = job.state if over else CANCELLED
        self._tell(session, "ACCEPT", job.progress(), message.ref)
        owner = self.sessions.get(job.session or b"")
        if owner is not None and not over:
            self._tell(owner, "STATE", job.progress())

    # Data.

    def _attach(self, peer: bytes, user: str, message: wire.Message) -> None:
        session = self.sessions.get(bytes(message.body["session"]))
        if session is None or session.user != user:
            error = {"code": wire.SESSION_UNKNOWN, "message": "who are you?", "retryable": True}
            self._send(peer, TO_CLIENT_DATA, "ERROR", {"scope": "session", "error": error})
            return
        session.data, session.send_credit = peer, message.body["credit"]
        self._send(peer, TO_CLIENT_DATA, "ATTACHED", {"credit": wire.CREDIT_BYTES})

    def _need_more(self, job: Job) -> None:
        session = self.sessions.get(job.session or b"")
        settled = len(job.results) + len(job.failed) + len(job.acked - set(job.results))
        room = self._window - (len(job.asked) - settled)
        items = [["plate", n] for n in job.frames if n not in job.asked][: max(room, 0)]
        if session is not None and items and job.state not in FINAL_STATES:
            job.asked |= {n for _, n in items}
            self._send(session.data, TO_CLIENT_DATA, "NEED", {"job": job.spec["job_id"], "items": items})

    def grant(self, session: Session, size: int) -> None:
        """Let the client send `size` more bytes."""
        session.credit += size
        self._send(session.data, TO_CLIENT_DATA, "CREDIT", {"bytes": size})

    def _on_meta(self, token: bytes, session: Session, message: wire.Message) -> None:
        session.upload = {**message.body, "data": bytearray(), "good": True}

    def _on_chunk(self, token: bytes, session: Session, message: wire.Message) -> None:
        body, upload = message.body, session.upload
        self.bytes_in += len(body["data"])
        session.credit -= len(body["data"])
        if session.credit < 0:
            raise errors.ProtocolError("more bytes than there was credit for.")
        if not self.faults.withheld_credit:
            self.grant(session, len(body["data"]))
        job = self.jobs.get(body["job"])
        if upload is None or not upload["good"] or job is None or body["frame"] not in job.asked:
            return
        names = {name: body[name] for name in ("job", "layer", "frame")}
        fits = body["off"] == len(upload["data"]) and zlib.crc32(body["data"]) == body["crc"]
        upload["data"] += body["data"]
        whole = len(upload["data"]) == upload["size"]
        if self.faults.refused_inputs and whole:
            self.faults.refused_inputs -= 1
            fits = False
        if not fits or (whole and zlib.crc32(upload["data"]) != upload["crc"]):
            upload["good"] = False
            error = wire.error_body(errors.FrameCorrupt("damaged on the way."))
            self._send(session.data, TO_CLIENT_DATA, "FRAME_BAD", {**names, "error": error})
        elif whole:
            self._send(session.data, TO_CLIENT_DATA, "FRAME_OK", names)
            self._received(job, body["frame"], bytes(upload["data"]))

    def _received(self, job: Job, frame: int, data: bytes) -> None:
        job.state = RUNNING if job.state == QUEUED else job.state
        if not data.startswith(b"\x76\x2f\x31\x01"):
            self._fail(job, frame, errors.FrameUnreadable("that is no EXR."))
            return
        job.results[frame] = data
        session = self.sessions.get(job.session or b"")
        if session is not None and frame not in job.acked:
            session.queue.extend([(job.spec["job_id"], frame)] * (2 if self.faults.doubled_results else 1))
        self._after(job)

    def _after(self, job: Job) -> None:
        """Send the job's state; end the job if all frames are settled, else request more."""
        session = self.sessions.get(job.session or b"")
        if job.state not in FINAL_STATES and job.acked | job.failed.keys() >= set(job.frames):
            job.state = DONE
        if session is None:
            return
        body = job.progress()
        if job.state == FAILED:
            body["error"] = {"code": "engine_failed", "message": "the engine broke.", "retryable": False}
        self._tell(session, "STATE", body)
        self._need_more(job)

    def _on_source_failed(self, token: bytes, session: Session, message: wire.Message) -> None:
        body = message.body
        job = self.jobs.get(body["job"])
        if job is not None:
            self._fail(job, body["frame"], errors.from_wire(body["error"]))

    def _fail(self, job: Job, frame: int, error: errors.HarmoVidError) -> None:
        job.failed[frame] = wire.error_body(error)
        session = self.sessions.get(job.session or b"")
        if session is not None:
            body = {"job": job.spec["job_id"], "frame": frame, "error": job.failed[frame]}
            self._tell(session, "FRAME_FAILED", body)
        self._after(job)

    def _on_credit(self, token: bytes, session: Session, message: wire.Message) -> None:
        session.send_credit += message.body["bytes"]

    def _on_ack(self, token: bytes, session: Session, message: wire.Message) -> None:
        job, frame = self.jobs.get(message.body["job"]), message.body["frame"]
        self.acks.append(frame)
        # Without the job, an ACK overtook the SUBMIT on the other socket; RESUME will say it again.
        if job is not None and frame not in job.acked:
            job.acked.add(frame)
            if self.faults.fail_job_at_ack == len(job.acked):
                job.state = FAILED
            self._after(job)

    def _on_result_bad(self, token: bytes, session: Session, message: wire.Message) -> None:
        job, frame = self.jobs.get(message.body["job"]), message.body["frame"]
        if job is None:
            return
        job.refused[frame] = job.refused.get(frame, 0) + 1
        if job.refused[frame] < wire.SEND_TRIES:
            session.queue.append((message.body["job"], frame))
        else:
            self._fail(job, frame, errors.FrameCorrupt("it never arrives whole."))

    def _send_results(self, session: Session) -> None:
        while session.queue and session.data is not None:
            job, frame = session.queue[0]
            data, names = self.jobs[job].results[frame], {"job": job, "frame": frame}
            if session.offset < 0:
                meta = {**names, "size": len(data), "crc": zlib.crc32(data), "report": {"engine": "null"}}
                self.sent_meta.append(frame)
                self._send(session.data, TO_CLIENT_DATA, "RESULT_META", meta)
                session.offset = 0
            piece = data[session.offset : session.offset + min(wire.CHUNK_BYTES, session.send_credit)]
            if not piece:
                return
            body = {**names, "off": session.offset, "crc": zlib.crc32(piece), "data": piece}
            if self.faults.damaged_results and session.offset == 0:
                self.faults.damaged_results -= 1
                body["data"] = bytes([piece[0] ^ 1]) + piece[1:]
            self._send(session.data, TO_CLIENT_DATA, "RESULT_CHUNK", body)
            session.send_credit -= len(piece)
            self.bytes_out += len(piece)
            session.offset += len(piece)
            if session.offset == len(data):
                session.queue.popleft()
                session.offset = -1
