"""One job in the worker: frames in order from the spool through the engine and back.

    pipeline = Pipeline(start_message, room, pool, send)
    threading.Thread(target=pipeline.run).start()
    pipeline.arrivals.ready(1001)           # from the link's thread

For each frame: wait until it is there, have a codec child measure it, push it into the engine's session,
have a child finish each frame that the session answers, tell main. Several frames are being measured and
finished at any time; the engine sees one after the other. Nothing is kept of a frame that has passed, but
its number.

A job that starts again goes on from its checkpoint. Without one (first attempt, another engine version, a
damaged file) the session starts anew and sees the frames that are in the spool: what was done and
released before is not asked for again.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack, suppress
from typing import Callable, List, Optional

from harmovid.errors import EngineFailed, HarmoVidError, OutputError, SpoolFull

from harmovid_server.engines.base import ProxyFrame, ShotInfo, ShotSession
from harmovid_server.logs import about
from harmovid_server.spool import DISK_FULL, file_is
from harmovid_server.worker import checkpoint
from harmovid_server.worker.arrivals import Arrivals
from harmovid_server.worker.checkpoint import Checkpoint
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.engine_host import EngineRoom
from harmovid_server.worker.job_context import Course, Message, Send
from harmovid_server.worker.stages import Finishing, Measuring

log = logging.getLogger("harmovid.worker")

CHECKPOINT_S = 1.0
CHECKPOINT_FRAMES = 32
"""With results to secure, a checkpoint is due after this long or this many of them, whichever comes first
...
"""

CHECKPOINT_SHARE = 0.05
"""... but checkpoints take no more than this share of the time."""

OPEN_PER_CHILD = 2
"""Answers that may wait for a codec child, per child, before the engine gets its next frame."""


class StoppedError(Exception):
    """The job was stopped: leave quietly."""


class Pipeline:
    """One attempt at one job; `run` is the whole of it, in a thread of its own.

    Raises:
        EngineUnknown, InputError: from the constructor, for a job that cannot be done here.
    """

    def __init__(self, message: Message, room: EngineRoom, pool: CodecPool, send: Send) -> None:
        engine = room.engine(message["spec"]["engine"])
        self.course = Course.of(message, engine, pool, send)
        self._options = engine.info.check_options(self.course.spec.options)
        self._room = room
        self._sessions = ExitStack()
        self._position: Optional[int] = None
        self._saved_s = time.monotonic()
        self._save_took_s = 0.0

    @property
    def arrivals(self) -> Arrivals:
        """Where the link's thread tells what has come."""
        return self.course.arrivals

    def run(self) -> None:
        """Do the job; whatever goes wrong, the worker lives on and main is told once."""
        course = self.course
        try:
            self._open()
            self._work()
            self._release()
            course.tell("finished")
        except (StoppedError, CancelledError):
            log.info("job stopped", extra=about(job=course.job, attempt=course.attempt))
        except HarmoVidError as error:
            log.warning("job failed", extra=about(job=course.job, error=str(error)))
            course.tell("job_failed", error=error.to_wire())
        # The door of a job: a fault of ours must not take the other jobs' worker down.
        except Exception as error:
            log.exception("job broke", extra=about(job=course.job))
            failed = EngineFailed(f"the server broke on this job ({error!r}).", fix="Its log says how.")
            course.tell("job_failed", error=failed.to_wire())
        finally:
            course.pool.forget(course.job)
            self._sessions.close()

    def _open(self) -> None:
        """Start the session, and take up the checkpoint of an earlier attempt if there is one."""
        self._session = self._start_session()
        found = checkpoint.load(self.course.folder / checkpoint.STATE, self.course.plan.engine)
        if found is not None:
            self._tell_again(found)
            found = found if self._fits(found) else None
        if found is not None and not self._restore(found):
            found = None
            self._session = self._start_session()
        self._measuring = Measuring(self.course, self._numbers_to_push(found))
        self._finishing = Finishing(self.course, self._measuring)
        if found is not None:
            self._position = found.position
            self._measuring.display = found.display
            self._measuring.facts = found.facts
            self._finishing.take_up(found)

    def _tell_again(self, found: Checkpoint) -> None:
        """Tell main of results that it has missed: those made while it took the job from this worker."""
        course = self.course
        for result in found.results:
            path = course.result_path(result.frame)
            if result.frame not in course.done and file_is(path, result.size, result.crc):
                course.done.add(result.frame)
                course.tell("computed", **result._asdict(), report={})
                course.tell("release", frames=[result.frame])

    def _fits(self, found: Checkpoint) -> bool:
        """Whether every frame up to the checkpoint is accounted for: not so when a result was lost later."""
        course = self.course
        known = {*found.owed, *(answer.number for answer in found.answers), *course.done}
        for number in course.numbers:
            if number <= found.position and number not in known and not course.arrivals.is_absent(number):
                log.warning("checkpoint is beyond a lost result", extra=about(job=course.job, frame=number))
                return False
        return True

    def _start_session(self) -> ShotSession:
        course = self.course
        shot = ShotInfo(tuple(course.numbers), self._options, course.spec.layers)
        session = self._room.start(course.spec.engine, shot)
        self._sessions.callback(self._close, session)
        return session

    def _close(self, session: ShotSession) -> None:
        """Have a session give back what it holds; what goes wrong now is logged and changes nothing."""
        with (
            suppress(HarmoVidError),
            self._room.turn(self.course.spec.engine, "while its session was closed"),
        ):
            session.close()

    def _restore(self, found: Checkpoint) -> bool:
        """Put the session where the checkpoint was; False where the engine will not have it."""
        try:
            with self._room.turn(self.course.spec.engine, "while it was restored"):
                self._session.restore(found.state)
        except HarmoVidError as error:
            log.warning("job starts over", extra=about(job=self.course.job, error=str(error)))
            return False
        log.info("job goes on", extra=about(job=self.course.job, frame=found.position))
        return True

    def _numbers_to_push(self, found: Optional[Checkpoint]) -> List[int]:
        """Return the frames that the session has still to see.

        Frames that are done, but later than the checkpoint, are among them, since the session needs to
        know what came before; those that can be had. A session that keeps nothing needs none of them.
        """
        course = self.course
        numbers = [n for n in course.numbers if found is None or n > found.position]
        done = [n for n in numbers if n in course.done]
        memory = bool(done) and bool(self._session.state() if found is None else found.state)
        again = {n for n in done if memory and course.on_disk(n)}
        for number in again:
            course.arrivals.ready(number)
        return [n for n in numbers if n not in course.done or n in again]

    def _work(self) -> None:
        """Take every frame through, in order, and wait for the last result."""
        most = OPEN_PER_CHILD * self.course.pool.children
        while not self._measuring.over:
            self._wait(lambda: self._measuring.can_take and self._finishing.open <= most)
            frame = self._measuring.take()
            if frame is not None:
                self._push(frame)
        with self._room.turn(self.course.spec.engine, "at the end of the shot"):
            answers = list(self._session.finish())
        self._finishing.take(answers)
        self._wait(lambda: not self._finishing.open)
        if self._finishing.owed:
            name, number = self.course.spec.engine, min(self._finishing.owed)
            raise EngineFailed(f"engine {name} gave no answer for frame {number}.")

    def _push(self, frame: ProxyFrame) -> None:
        with self._room.turn(self.course.spec.engine, f"on frame {frame.number}"):
            answers = list(self._session.push(frame))
        self._finishing.owed.add(frame.number)
        self._position = frame.number
        self._finishing.take(answers)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait until `done`, and meanwhile pass on what the codec children have done."""
        wake = self.arrivals.wake
        while True:
            wake.clear()  # first, so that what happens from here on is not slept through
            if self.arrivals.stopped:
                raise StoppedError
            self._finishing.collect()
            self._measuring.feed()
            if self._save_due_s() == 0:
                self._save()
            if done():
                return
            wake.wait(self._save_due_s())

    def _save_due_s(self) -> Optional[float]:
        """Return in how many seconds a checkpoint is due; None where nothing would be secured by it."""
        secured = len(self._finishing.unsecured)
        if not secured:
            return None
        pause_s = max(
            self._save_took_s / CHECKPOINT_SHARE, CHECKPOINT_S if secured < CHECKPOINT_FRAMES else 0.0
        )
        return max(0.0, self._saved_s + pause_s - time.monotonic())

    def _save(self) -> None:
        """Write a checkpoint; then, and only then, may the inputs of what is done go."""
        started_s = time.monotonic()
        name = self.course.spec.engine
        with self._room.turn(name, "while its state was kept"):
            state = self._session.state()
            found = Checkpoint(
                self.course.plan.engine,
                self._position if self._position is not None else self.course.numbers[0],
                self._measuring.display,
                state,
                self._finishing.answers(),
                self._measuring.facts,
                sorted(self._finishing.owed),
                list(self._finishing.latest),
            )
        try:
            checkpoint.save(self.course.folder / checkpoint.STATE, found)
        except TypeError as error:
            raise EngineFailed(f"engine {name} has a state that cannot be kept: {error}.") from error
        except OSError as error:
            kind = SpoolFull if error.errno in DISK_FULL else OutputError
            raise kind(f"the checkpoint cannot be written: {error.strerror}.") from error
        self._release()
        self._saved_s = time.monotonic()
        self._save_took_s = self._saved_s - started_s

    def _release(self) -> None:
        """Tell main whose inputs are needed no more."""
        if self._finishing.unsecured:
            self.course.tell("release", frames=list(self._finishing.unsecured))
            self._finishing.unsecured.clear()
