"""The data of one job in the worker that its stages share: its frames and folder, the link to main, the codec pool.

context = JobContext.of(start_message, engine, pool, send)
context.submit("proxy", 1001).result()
context.fail_frame(1002, error)
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, Protocol, Sequence, Set

import numpy.typing as npt
from harmovid.errors import FrameError, HarmoVidError, InputError, JobError, OutputError
from harmovid.frames import FrameRange
from harmovid.job import JobSpec

from harmovid_server.codec.plan import Plan
from harmovid_server.engines.base import Described
from harmovid_server.spool import input_path, output_path
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.codec_queue import Reply

Message = Dict[str, Any]


class Send(Protocol):
    """Sends link messages to main; any thread may call it."""

    def __call__(self, op: str, **fields: Any) -> None:
        """Queue one link message."""


class Arrivals:
    """Which frames of a job have arrived: reported by the link's thread, awaited by the job's thread.

        arrivals.ready(1001); arrivals.absent(1002); arrivals.stop()           # link's thread
        arrivals.wake.wait(); arrivals.has(1001); arrivals.is_absent(1002)     # job's thread

    Adding to a set and testing it are atomic in CPython.
    """

    def __init__(self, absent: Iterable[int] = ()) -> None:
        self.wake = threading.Event()
        self.stopped = False
        self._ready: Set[int] = set()
        self._absent: Set[int] = set(absent)

    def ready(self, frame: int) -> None:
        """All layers of this frame are in the spool."""
        self._ready.add(frame)
        self.wake.set()

    def absent(self, frame: int) -> None:
        """This frame will never arrive."""
        self._absent.add(frame)
        self.wake.set()

    def stop(self) -> None:
        """Main has stopped the job."""
        self.stopped = True
        self.wake.set()

    def has(self, frame: int) -> bool:
        """Return whether this frame is in the spool."""
        return frame in self._ready

    def is_absent(self, frame: int) -> bool:
        """Return whether this frame has failed or will never arrive."""
        return frame in self._absent

    def decided(self, frame: int) -> bool:
        """Return whether this frame has arrived, has failed or will never arrive."""
        return frame in self._ready or frame in self._absent

    def used(self, frame: int) -> None:
        """Forget the arrival of a frame whose proxy has been started."""
        self._ready.discard(frame)


@dataclass
class JobContext:
    """One attempt at one job.

    Attributes:
        spec, attempt, folder: as in main's `start`.
        own: its frames. numbers: its frames and its context frames, in order.
        plan: how the codec children process its frames. engine: its engine.
        history: the folder for previews; "" for none.
        done: frames whose result is in `out/` or with the client, and context frames, which get none.
        unseen: those of `done` that the engine should have seen and could not.
        arrivals: which frames have arrived, and which never will, including failed ones.
    """

    spec: JobSpec
    attempt: int
    folder: Path
    own: FrameRange
    numbers: FrameRange
    plan: Plan
    engine: Described
    pool: CodecPool
    send: Send
    done: Set[int]
    history: str = ""
    arrivals: Arrivals = field(default_factory=Arrivals)
    unseen: Set[int] = field(default_factory=set)

    @classmethod
    def of(cls, message: Message, engine: Described, pool: CodecPool, send: Send) -> JobContext:
        """Read main's `start` message.

        Raises:
            InputError: the specification cannot be carried out.
        """
        spec = JobSpec.from_dict(message["spec"])
        own = FrameRange.parse(spec.frames)
        beside = set(FrameRange.parse(spec.context)).difference(own) if spec.context else set()
        return cls(
            spec=spec,
            attempt=message["attempt"],
            folder=Path(message["folder"]),
            own=own,
            numbers=FrameRange([*own, *beside]) if beside else own,
            plan=Plan.of(spec, engine.info, engine.proxy_lines),
            engine=engine,
            pool=pool,
            send=send,
            done={*message["done"], *beside},
            history=message.get("history", ""),
            arrivals=Arrivals(message["failed"]),
        )

    @property
    def job(self) -> str:
        """The job's id."""
        return self.spec.job_id

    def tell(self, op: str, **fields: Any) -> None:
        """Send main a message about this job."""
        self.send(op, job=self.job, attempt=self.attempt, **fields)

    def fail_frame(self, number: int, error: HarmoVidError) -> None:
        """Report that one frame has failed; the others go on. One that only has to be shown is added to `unseen`."""
        error.frame = number
        if number in self.done:
            self.unseen.add(number)
            self.tell("release", frames=[number])
            return
        self.arrivals.absent(number)
        self.tell("frame_failed", frame=number, error=error.to_wire())

    def paths(self, number: int) -> Dict[str, str]:
        """Return the paths of a frame's layers in the spool."""
        spool = self.folder.parent
        return {name: str(input_path(spool, self.job, name, number)) for name in self.plan.layers}

    def result_path(self, number: int) -> Path:
        """Return the path of a frame's result in the spool."""
        return output_path(self.folder.parent, self.job, number)

    def submit(
        self, task: str, number: int, arrays: Sequence[npt.NDArray[Any]] = (), child: int = 0
    ) -> Future[Reply]:
        """Give a task about one frame to the codec children; finishing goes before proxies."""
        body: Mapping[str, Any] = {
            "task": task, "job": self.job, "frame": number, "plan": self.plan.to_dict(),
            "paths": self.paths(number), "target": str(self.result_path(number)), "history": self.history,
        }  # fmt: skip
        future = self.pool.submit(self.job, dict(body), arrays, affinity=child, urgent=task == "finish")
        future.add_done_callback(lambda _: self.arrivals.wake.set())
        return future


def is_about_one_frame(error: HarmoVidError) -> bool:
    """Return whether an error of a codec task fails one frame only, and not the whole job."""
    return isinstance(error, FrameError) or not isinstance(error, (InputError, JobError, OutputError))
