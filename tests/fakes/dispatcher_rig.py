"""A dispatcher with real store and spool in a temporary folder, a clock that the test sets, and no processes.

rig = DispatcherRig(tmp_path)
job = rig.submit("anna", "1-10")
rig.upload_asked(); rig.compute(1, 2, 3)
assert rig.said("deliver")
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from fakes.peer import frame_bytes, spec
from harmovid.job import MATTE, EngineInfo, LayerInfo, Option
from harmovid.transport import wire
from harmovid_server.config import Config
from harmovid_server.main.dispatcher import LinkDispatcher
from harmovid_server.main.recovery import recover
from harmovid_server.main.state import Outgoing, ServerState
from harmovid_server.main.store import Store
from harmovid_server.spool import Spool, input_path, output_path

FRONT, WORKER = "front.1", "worker-0.1"
LAYERS = (LayerInfo("plate", True, "The plate."), LayerInfo("mask", False, "Where.", MATTE))
ENGINES = [
    EngineInfo(
        "echo", "1", "any", "Answers.", "plate", LAYERS, (Option("amount", "float", 1.0, "How much."),)
    ),
    EngineInfo("pool", "1", "any", "Looks ahead.", "plate", LAYERS, lookahead_frames=4),
]


class DispatcherRig:
    """One dispatcher with a front and a worker that are only names."""

    def __init__(self, folder: Path, workers: int = 1, **settings: Any) -> None:
        self.folder = folder
        self.config = Config(state=str(folder), **settings)
        self.clock = 1000.0
        self.sessions: Dict[str, bytes] = {}
        self.sent: List[Outgoing] = []
        self.open(workers)

    def open(self, workers: int = 1) -> None:
        """Open store and spool, as a server does at its start, and let its children say hello."""
        store = Store.open(self.config.store_file)
        spool = Spool(self.config.spool_folder, self.config.spool_bytes)
        self.state = ServerState(self.config, store, spool, now=lambda: self.clock)
        recover(self.state)
        self.dispatcher = LinkDispatcher(self.state)
        self.sent = []
        self.hear(FRONT, "hello", role="front")
        for index in range(workers):
            self.hello(f"worker-{index}.1")

    def hello(self, worker: str) -> None:
        """A worker is ready."""
        self.hear(worker, "hello", role="worker", engines=[info.to_dict() for info in ENGINES])

    def reopen(self, workers: int = 1) -> None:
        """Simulate kill -9 and a restart of the server."""
        self.state.store._sql.close()
        self.open(workers)

    def hear(self, child: str, op: str, **fields: Any) -> List[Outgoing]:
        """Give the dispatcher one message and return the messages that it sends."""
        self.dispatcher.handle(child, {"op": op, **fields})
        return self.pump()

    def pump(self, seconds: float = 0.0) -> List[Outgoing]:
        """Advance the clock, and return the messages that are sent."""
        self.clock += seconds
        self.dispatcher.pump()
        said = self.state.flush()
        self.state.delete_unused()
        self.sent += said
        return said

    def said(self, op: str, **fields: Any) -> List[Dict[str, Any]]:
        """Return the messages of this op, with these field values, sent since the last `forget`."""
        return [
            body
            for _, name, body in self.sent
            if name == op and all(body.get(key) == value for key, value in fields.items())
        ]

    def forget(self) -> None:
        """Clear the recorded messages."""
        self.sent.clear()

    def session(self, user: str) -> bytes:
        """Return a user's session token."""
        return self.sessions.setdefault(user, user.encode().ljust(16, b"."))

    def request(self, user: str, kind: str, body: Dict[str, Any]) -> Tuple[str, Dict[str, Any]]:
        """Ask as a client does, and return (type, body) of the answer."""
        said = self.hear(FRONT, "request", session=self.session(user), user=user, type=kind, body=body, ref=1)
        replies = [fields for _, op, fields in said if op == "reply"]
        assert len(replies) == 1, said
        # Every message must be valid on the wire.
        wire.encode(replies[0]["type"], replies[0]["body"], 1)
        return replies[0]["type"], replies[0]["body"]

    def submit(self, user: str = "anna", frames: str = "1-10", **more: Any) -> str:
        """Submit a job that is accepted, and return its id."""
        job = spec(frames, **more)
        kind, body = self.request(user, "SUBMIT", {"spec": job})
        assert kind == "ACCEPT", body
        return str(job["job_id"])

    def resume(
        self, user: str, job: str, have: Optional[Dict[int, int]] = None
    ) -> Tuple[str, Dict[str, Any]]:
        """Resume a job."""
        return self.request(user, "RESUME", {"job": job, "have": wire.pack_have(have or {})})

    def asked(self, job: Optional[str] = None) -> List[Tuple[str, str, int]]:
        """Return the (job, layer, frame) that were asked for since the last `forget`, in order."""
        return [
            (need["job"], layer, frame)
            for need in self.said("need")
            if job in (None, need["job"])
            for layer, frame, _ in need["items"]
        ]

    def upload(self, job: str, layer: str, frame: int, size: int = 1000) -> None:
        """Put one input into the spool and report it."""
        data = frame_bytes(frame, size, layer)
        input_path(self.state.spool.folder, job, layer, frame).write_bytes(data)
        self.hear(FRONT, "received", job=job, layer=layer, frame=frame, size=size, crc=zlib.crc32(data))

    def upload_asked(self, size: int = 1000) -> List[Tuple[str, str, int]]:
        """Upload everything that is requested, until no request is left."""
        done: List[Tuple[str, str, int]] = []
        while items := self.asked():
            self.forget()
            for item in items:
                self.upload(*item, size=size)
            done += items
        return done

    def compute(self, job: str, frames: Sequence[int], size: int = 900, worker: str = WORKER) -> None:
        """Put results into the spool and report them."""
        for frame in frames:
            data = frame_bytes(frame, size, "result")
            output_path(self.state.spool.folder, job, frame).write_bytes(data)
            self.hear(
                worker, "computed", job=job, attempt=self.state.jobs[job].record.attempt, frame=frame,
                size=size, crc=zlib.crc32(data), report={"stops": 0.5},
            )  # fmt: skip

    def ack(self, job: str, frames: Sequence[int]) -> None:
        """Acknowledge results."""
        for frame in frames:
            self.hear(FRONT, "acked", job=job, frame=frame)

    def kill(self, child: str) -> None:
        """Simulate the end of a child process."""
        self.dispatcher.lost(child)
        self.pump()

    def job_state(self, job: str) -> str:
        """Return a job's state."""
        known = self.state.jobs.get(job) or self.state.ended[job]
        return known.record.state
