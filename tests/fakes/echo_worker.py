"""A small, strict worker for server tests: it uses the link of docs/architecture.md 4.1, and copies frames.

It offers two engines: "echo" answers each frame at once with its own bytes; "pool" looks `LOOKAHEAD` frames
ahead. Options: `delay_s` seconds per frame, `die_at` a frame at which the process kills itself, `fail_at` a frame
that fails.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Set

from harmovid.frames import FrameRange
from harmovid.job import MATTE, EngineInfo, LayerInfo, Option
from harmovid_server.child import enter
from harmovid_server.ipc import IpcClient
from harmovid_server.spool import DISK_FULL

LOOKAHEAD = 4
NEVER = -(2**31)

OPTIONS = (
    Option("delay_s", "float", 0.0, "Seconds that a frame takes.", minimum=0.0, maximum=60.0),
    Option("die_at", "int", NEVER, "The worker kills itself before it answers this frame."),
    Option("fail_at", "int", NEVER, "This frame fails."),
)
LAYERS = (LayerInfo("plate", True, "Comes back."), LayerInfo("mask", False, "Is only received.", MATTE))
ENGINES = [
    EngineInfo("echo", "1", "any", "Answers with the input.", "plate", LAYERS, OPTIONS),
    EngineInfo("pool", "1", "any", "Looks ahead.", "plate", LAYERS, OPTIONS, lookahead_frames=LOOKAHEAD),
]


@dataclass
class Work:
    """This worker's state of one job."""

    attempt: int
    folder: Path
    options: Dict[str, Any]
    lookahead: int
    todo: List[int]
    ready: Set[int] = field(default_factory=set)

    def next(self) -> int | None:
        """Return the frame that can be answered now; None if there is none."""
        if not self.todo:
            return None
        ahead = self.todo[: self.lookahead + 1]
        return self.todo[0] if all(number in self.ready for number in ahead) else None


class EchoWorker:
    """Takes jobs and answers one frame at a time, round-robin over jobs."""

    def __init__(self, link: IpcClient) -> None:
        self.link = link
        self.jobs: Dict[str, Work] = {}

    def take(self, message: Dict[str, Any]) -> None:
        """Handle one message of the main process."""
        job = message.get("job", "")
        if message["op"] == "start":
            spec = message["spec"]
            gone = set(message["done"]) | set(message["failed"])
            todo = [number for number in FrameRange.parse(spec["frames"]) if number not in gone]
            info = next(info for info in ENGINES if info.name == spec["engine"])
            options = info.check_options(spec["options"])
            folder = Path(message["folder"])
            self.jobs[job] = Work(message["attempt"], folder, options, info.lookahead_frames, todo)
        elif message["op"] == "stop":
            self.jobs.pop(job, None)
        elif job in self.jobs and message["op"] == "ready":
            self.jobs[job].ready.add(message["frame"])
        elif job in self.jobs and message["op"] == "absent" and message["frame"] in self.jobs[job].todo:
            self.jobs[job].todo.remove(message["frame"])

    def work(self) -> bool:
        """Answer one frame of each job that has one ready; return False if none had."""
        moved = False
        for job, work in list(self.jobs.items()):
            number = work.next()
            if number is not None:
                self.answer(job, work, number)
                moved = True
            if not work.todo and job in self.jobs:
                self.link.send("finished", job=job, attempt=work.attempt)
                del self.jobs[job]
        return moved

    def answer(self, job: str, work: Work, number: int) -> None:
        """Copy one frame, or fail or die as the options request."""
        self.rest(work.options["delay_s"])
        if number == work.options["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        about = {"job": job, "attempt": work.attempt, "frame": number}
        work.todo.remove(number)
        if number == work.options["fail_at"]:
            error = {"code": "frame_unreadable", "message": "as the test wants", "retryable": False}
            self.link.send("frame_failed", **about, error=error)
            return
        source, target = work.folder / "in" / f"plate.{number}.exr", work.folder / "out" / f"{number}.exr"
        try:
            data = source.read_bytes()
            part = target.with_name(target.name + ".part")
            part.write_bytes(data)
            part.replace(target)
        except FileNotFoundError:
            # Cancelled: `stop` is on its way.
            return
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            part.unlink(missing_ok=True)
            # Like the real worker: the job is returned, and main decides what to do with it.
            full = {"code": "spool_full", "message": "the spool is full.", "retryable": True}
            self.link.send("job_failed", job=job, attempt=work.attempt, error=full)
            del self.jobs[job]
            return
        self.link.send("computed", **about, size=len(data), crc=zlib.crc32(data), report={"pid": os.getpid()})
        self.link.send("release", job=job, attempt=work.attempt, frames=[number])

    def rest(self, seconds: float) -> None:
        """Sleep, and keep sending heartbeats."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.link.beat_if_due()
            time.sleep(min(left, 0.2))


def main() -> None:
    """Work until main is gone."""
    _, link = enter(sys.argv[1:])
    worker = EchoWorker(link)
    link.send("hello", role="worker", engines=[info.to_dict() for info in ENGINES])
    busy = False
    while True:
        link.beat_if_due()
        message = link.receive(0 if busy else 100)
        while message is not None:
            worker.take(message)
            message = link.receive()
        busy = worker.work()


if __name__ == "__main__":
    main()
