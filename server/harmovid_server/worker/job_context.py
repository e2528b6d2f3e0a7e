"""What all stages of one job in the worker share: its frames, its folder, its way to main and to the codecs.

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
    """How a job speaks to main; any thread may call it."""

    def __call__(self, op: str, **fields: Any) -> None:
        """Queue one link message."""


class Arrivals:
    """Which frames of a job have come: told by the link's thread, waited for by the job's thread.

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
        """This frame will never come."""
        self._absent.add(frame)
        self.wake.set()

    def stop(self) -> None:
        """The job is wanted no more."""
        self.stopped = True
        self.wake.set()

    def has(self, frame: int) -> bool:
        """Return whether this frame is in the spool."""
        return frame in self._ready

    def is_absent(self, frame: int) -> bool:
        """Return whether this frame has failed or will never come."""
        return frame in self._absent

    def decided(self, frame: int) -> bool:
        """Return whether it is known what becomes of this frame."""
        return frame in self._ready or frame in self._absent

    def used(self, frame: int) -> None:
        """Forget that a frame is there: it is on its way through the engine."""
        self._ready.discard(frame)


@dataclass
class JobContext:
    """One attempt at one job.

    Attributes:
        spec, attempt, folder: as in main's `start`.
        own: its frames. numbers: its frames and its context, in order.
        plan: what is done with each of them. engine: what measures them.
        history: where previews go; "" for none.
        done: frames whose result is in `out/`, with the client, or not asked for.
        unseen: those of them that the engine should have seen and could not.
        arrivals: which frames have come, and which never will (failed ones among them).
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
            InputError: the specification asks for what cannot be done.
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
        """Say something about this job to main."""
        self.send(op, job=self.job, attempt=self.attempt, **fields)

    def fail_frame(self, number: int, error: HarmoVidError) -> None:
        """Tell main that one frame has no result; its neighbours go on. Of one that is only shown, note it."""
        error.frame = number
        if number in self.done:
            self.unseen.add(number)
            self.tell("release", frames=[number])
            return
        self.arrivals.absent(number)
        self.tell("frame_failed", frame=number, error=error.to_wire())

    def paths(self, number: int) -> Dict[str, str]:
        """Return where the layers of a frame lie."""
        spool = self.folder.parent
        return {name: str(input_path(spool, self.job, name, number)) for name in self.plan.layers}

    def result_path(self, number: int) -> Path:
        """Return where the result of a frame lies, or will lie."""
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
    """Return whether an error of a codec task is one frame's, and not the whole job's."""
    return isinstance(error, FrameError) or not isinstance(error, (InputError, JobError, OutputError))
