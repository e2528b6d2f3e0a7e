"""Main's side of a worker's job, for tests without sockets: a spool with real EXRs, and strict checks of its messages.

rig = Rig(tmp_path, pool, host)
rig.write("plate", 1001, frame)
rig.start("1001-1004", engine="null", layers=("plate",))
rig.ready(1001); rig.wait("finished")
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

import msgpack
from harmovid.job import JobSpec, OutputSpec
from harmovid.pixels import exr
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.host import Host
from harmovid_server.worker.job_run import JobRun

JOB = "0123456789abcdef0123456789abcdef"

# docs/architecture.md 4.1: what a worker may say, with exactly these fields.
TABLE = {
    "computed": {
        "job",
        "attempt",
        "frame",
        "size",
        "crc",
        "report",
        "seconds",
        "preview_bytes",
    },
    "frame_failed": {"job", "attempt", "frame", "error"},
    "release": {"job", "attempt", "frames"},
    "show": {"job", "attempt", "frames"},
    "finished": {"job", "attempt"},
    "job_failed": {"job", "attempt", "error"},
    "engine_lost": {"job", "attempt"},
}


class Rig:
    """One job's folder and one job_run at a time."""

    def __init__(self, spool: Path, pool: CodecPool, host: Host) -> None:
        self.folder = spool / JOB
        for name in ("in", "out"):
            (self.folder / name).mkdir(parents=True)
        self.pool = pool
        self.host = host
        self.heard: List[Tuple[str, Dict[str, Any]]] = []
        self.attempt = 0
        self._changed = threading.Condition()

    def write(self, layer: str, number: int, frame: exr.ExrFrame) -> Path:
        """Put one input into the spool."""
        path = self.folder / "in" / f"{layer}.{number}.exr"
        exr.write(frame, path)
        return path

    def put(self, layer: str, number: int, data: bytes) -> None:
        """Put any bytes into the spool as one input."""
        (self.folder / "in" / f"{layer}.{number}.exr").write_bytes(data)

    def start(
        self,
        frames: str,
        *,
        engine: str = "null",
        layers: Tuple[str, ...] = ("plate",),
        done: Iterable[int] = (),
        failed: Iterable[int] = (),
        ready: Iterable[int] = (),
        options: Optional[Dict[str, Any]] = None,
        now: Callable[[], float] = time.monotonic,
        colorspace: Optional[Dict[str, str]] = None,
        context: str = "",
        **output: Any,
    ) -> JobRun:
        """Start an attempt, as main's `start` and `ready` would."""
        self.attempt += 1
        spec = JobSpec(
            JOB,
            engine,
            frames,
            layers,
            options or {},
            colorspace or {},
            output=OutputSpec(**output),
            context=context,
        )
        message = msgpack.unpackb(msgpack.packb({
            "op": "start", "job": JOB, "attempt": self.attempt, "spec": spec.to_dict(),
            "folder": str(self.folder), "done": list(done), "failed": list(failed),
        }))  # fmt: skip
        job_run = JobRun(message, self.host, self.pool, self._hear, now)
        for number in ready:
            job_run.arrivals.ready(number)
        self.thread = threading.Thread(target=job_run.run, daemon=True)
        self.thread.start()
        return job_run

    def _hear(self, op: str, **fields: Any) -> None:
        """Take one message as main would: through msgpack, and only as the table has it."""
        packed = msgpack.unpackb(msgpack.packb(fields), strict_map_key=True)
        if set(packed) != TABLE[op]:
            raise AssertionError(f"{op} has the fields {sorted(packed)}")
        with self._changed:
            self.heard.append((op, packed))
            self._changed.notify_all()

    def said(self, op: str) -> List[Dict[str, Any]]:
        """Return all messages of one kind so far."""
        with self._changed:
            return [fields for name, fields in self.heard if name == op]

    def wait(self, op: str, count: int = 1, timeout_s: float = 400.0) -> List[Dict[str, Any]]:
        """Wait for the `count`-th message of one kind; a job that ends otherwise is an error."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = [fields for name, fields in self.heard if name == op]
                if len(found) >= count:
                    return found
                ended = [pair for pair in self.heard if pair[0] in ("finished", "job_failed", "engine_lost")]
                if ended or time.monotonic() > until:
                    raise AssertionError(f"no {op}; heard {self.heard[-3:]}")
                self._changed.wait(1.0)

    def run(self, *args: Any, **kwargs: Any) -> List[Dict[str, Any]]:
        """Start a job and wait for its end; return the `computed` messages by frame."""
        self.start(*args, **kwargs)
        self.wait("finished")
        self.thread.join(300)
        return sorted(self.said("computed"), key=lambda fields: fields["frame"])

    def result(self, number: int) -> exr.ExrFrame:
        """Read one result."""
        return exr.read(self.folder / "out" / f"{number}.exr")
