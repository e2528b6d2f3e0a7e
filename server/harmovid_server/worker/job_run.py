"""One job in the worker: its frames go in order from the spool through the engine and back.

    job_run = JobRun(start_message, host, pool, send)
    threading.Thread(target=job_run.run).start()
    job_run.arrivals.ready(1001)           # from the link's thread

For each frame: wait until it is there, have a codec child make its proxy, push that into the engine's session, have a
child render each frame that the session answers, report it to main. Several proxies and renders are under way at any
time; the engine sees one frame after the other. Of a frame that is done only its number is kept.

Where the engine itself is lost, with another machine (`EngineLostError`), main starts the job again.

A job that starts again goes on from its checkpoint. Without one (first attempt, another engine version, a damaged file)
the session starts anew and sees all frames from the first on, also those that are done: main requests their inputs
again (`show`), so that what is left gets the very answers of an undisturbed run. Context, frames of which no result is
wanted, is shown in the same way.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack
from typing import Callable, Iterator, List, Optional

from harmovid.errors import EngineFailed, HarmoVidError, OutputError, SpoolFull

from harmovid_server.codec.plan import Plan, title
from harmovid_server.engines.base import ProxyFrame, ShotInfo, ShotSession
from harmovid_server.logs import about, of_job
from harmovid_server.spool import DISK_FULL, file_is
from harmovid_server.worker import checkpoint
from harmovid_server.worker.checkpoint import Checkpoint
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.host import EngineLostError, Host
from harmovid_server.worker.job_context import Arrivals, JobContext, Message, Send
from harmovid_server.worker.stages import ProxyStage, RenderStage

log = logging.getLogger("harmovid.worker")

CHECKPOINT_S = 1.0
CHECKPOINT_FRAMES = 32
"""With results to secure, a checkpoint is due after this long or this many of them, whichever comes first."""

CHECKPOINT_SHARE = 0.05
"""Checkpoints take no more than this share of the time, even if that means fewer of them."""

OPEN_PER_CHILD = 2
"""Answers that may wait for a codec child, per child, before the engine gets its next frame."""


class StoppedError(Exception):
    """The job was stopped: leave quietly."""


class JobRun:
    """One attempt at one job; `run` is the whole of it, in a thread of its own.

    Raises:
        EngineUnknown, InputError: from the constructor, for a job that cannot be done here.
    """

    def __init__(
        self,
        message: Message,
        host: Host,
        pool: CodecPool,
        send: Send,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read main's `start` message.

        Args:
            now: a clock in seconds, for the time between checkpoints.
        """
        self._now = now
        engine = host.engine(message["spec"]["engine"])
        self.context = JobContext.of(message, engine, pool, send)
        self._options = engine.info.check_options(self.context.spec.options)
        self._host = host
        self._sessions = ExitStack()
        self._position: Optional[int] = None
        self._lost = False
        self._saved_s = now()
        self._save_took_s = 0.0

    @property
    def arrivals(self) -> Arrivals:
        """Where the link's thread tells what has come."""
        return self.context.arrivals

    def run(self) -> None:
        """Do the job. Whatever goes wrong, the worker lives on, and main hears of the end exactly once."""
        with of_job(self.context.job):
            self._run()

    def _run(self) -> None:
        context = self.context
        try:
            self._open()
            self._work_to_the_end()
            self._release()
            context.tell("finished")
        except EngineLostError as error:
            log.warning(
                "engine lost", extra=about(job=context.job, attempt=context.attempt, reason=str(error))
            )
            context.tell("engine_lost")
        except (StoppedError, CancelledError):
            log.info("job stopped", extra=about(job=context.job, attempt=context.attempt))
        except HarmoVidError as error:
            log.warning("job failed", extra=about(job=context.job, error=str(error)))
            context.tell("job_failed", error=error.to_wire())
        # A job's boundary: a fault of ours must not take the other jobs' worker down.
        except Exception as error:
            log.exception("job broke", extra=about(job=context.job))
            failed = EngineFailed(f"the server broke on this job ({error!r}).", fix="Its log says how.")
            context.tell("job_failed", error=failed.to_wire())
        finally:
            context.pool.forget(context.job)
            self._sessions.close()

    def _open(self) -> None:
        """Start the session, and take up the checkpoint of an earlier attempt if there is one."""
        self._session = self._start_session()
        if title(self.context.engine.info) != self.context.plan.engine:
            self._session = self._with_new_version()
        found = checkpoint.load(self.context.folder / checkpoint.STATE, self.context.plan.engine)
        if found is not None:
            self._tell_again(found)
            found = found if self._fits(found) else None
        if found is not None and not self._restore(found):
            found = None
            self._session = self._start_session()
        self._proxies = ProxyStage(self.context, self._numbers_to_push(found))
        self._renders = RenderStage(self.context, self._proxies)
        if found is not None:
            self._position = found.position
            self._proxies.display = found.display
            self._proxies.is_own = self.context.own[0] <= found.position
            self._proxies.facts = found.facts
            self._renders.take_up(found)

    def _tell_again(self, found: Checkpoint) -> None:
        """Tell main of results that it has missed: those made while it took the job from this worker."""
        context = self.context
        for result in found.results:
            path = context.result_path(result.frame)
            if result.frame not in context.done and file_is(path, result.size, result.crc):
                context.done.add(result.frame)
                context.tell("computed", **result._asdict(), report={}, seconds={}, preview_bytes=0)
                context.tell("release", frames=[result.frame])

    def _fits(self, found: Checkpoint) -> bool:
        """Whether every frame up to the checkpoint is accounted for: not so when a result was lost later."""
        context = self.context
        known = {*found.owed, *(answer.number for answer in found.answers), *context.done}
        for number in context.numbers:
            if number <= found.position and number not in known and not context.arrivals.is_absent(number):
                log.warning("checkpoint is beyond a lost result", extra=about(job=context.job, frame=number))
                return False
        return True

    def _with_new_version(self) -> ShotSession:
        """Return a session anew: starting one made the engine take a new version, with its own defaults."""
        context, engine = self.context, self.context.engine
        context.plan = Plan.of(context.spec, engine.info, engine.proxy_lines)
        self._options = engine.info.check_options(context.spec.options)
        session = self._start_session()
        if title(engine.info) != context.plan.engine:
            raise EngineFailed(
                f"engine {context.spec.engine} is there in several versions.",
                fix="Give every machine the same one, then send the job again.",
            )
        return session

    def _start_session(self) -> ShotSession:
        context = self.context
        shot = ShotInfo(tuple(context.numbers), self._options, context.spec.layers)
        session = self._host.start(context.engine, shot, lambda: self.arrivals.stopped)
        self._sessions.callback(self._host.end, context.spec.engine, session)
        return session

    def _restore(self, found: Checkpoint) -> bool:
        """Put the session where the checkpoint was; False where the engine will not have it."""
        try:
            with self._host.turn(self.context.spec.engine, "while it was restored"):
                self._session.restore(found.state)
        except HarmoVidError as error:
            log.warning("job starts over", extra=about(job=self.context.job, error=str(error)))
            return False
        log.info("job goes on", extra=about(job=self.context.job, frame=found.position))
        return True

    def _numbers_to_push(self, found: Optional[Checkpoint]) -> List[int]:
        """Return the frames that the session has still to see, and tell main which of them nobody waits for.

        Frames that are done, but later than the checkpoint, and context are among them, since the session needs to know
        what lies around an open frame: as far as it looks ahead of the last one. A session that keeps nothing needs
        none of them.
        """
        context = self.context
        numbers = [n for n in context.numbers if found is None or n > found.position]
        is_open = [n not in context.done and not context.arrivals.is_absent(n) for n in numbers]
        if all(is_open):
            return numbers
        shown: List[int] = []
        if any(is_open) and (self._session.state() if found is None else found.state):
            last = max(i for i, one in enumerate(is_open) if one)
            ahead = context.engine.info.lookahead(self._options, context.numbers)
            shown = [n for n in numbers[: last + ahead + 1] if n in context.done]
        context.tell("show", frames=shown)
        needed = set(shown)
        return [n for n in numbers if n not in context.done or n in needed]

    def _work_to_the_end(self) -> None:
        """Do the work; when its engine is lost, end what that has answered, so that no child works for the job then."""
        try:
            self._work()
        except EngineLostError:
            self._lost = True
            self._wait(lambda: not self._renders.open)
            raise

    def _work(self) -> None:
        """Take every frame through, in order, and wait for the last result."""
        most = OPEN_PER_CHILD * self.context.pool.children
        while not self._proxies.over:
            self._wait(lambda: self._proxies.can_take and self._renders.open <= most)
            frame = self._proxies.take()
            if frame is not None:
                if self._proxies.has_changed:
                    self._forget_context(frame.number)
                self._push(frame)
        self._finish(most)
        self._wait(lambda: not self._renders.open)
        if self._renders.owed:
            name, number = self.context.spec.engine, min(self._renders.owed)
            raise EngineFailed(f"engine {name} gave no answer for frame {number}.")

    def _forget_context(self, number: int) -> None:
        """Start the session anew at the job's first frame: what was shown before it has another format."""
        self.context.unseen.update(n for n in self.context.numbers if n < number and n in self.context.done)
        self._renders.owed.clear()
        self._session = self._start_session()

    def _finish(self, most: int) -> None:
        """Take what the session still owes: at once where it is a list, answer by answer where it comes as it is made.

        Args:
            most: answers that may wait for a codec child.
        """
        where = "at the end of the shot"
        with self._host.turn(self.context.spec.engine, where):
            answers = self._session.finish()
        if not isinstance(answers, Iterator):
            self._renders.take(answers)
            return
        while True:
            self._wait(lambda: self._renders.open <= most)
            with self._host.turn(self.context.spec.engine, where):
                answer = next(answers, None)
            if answer is None:
                return
            self._renders.take([answer])

    def _push(self, frame: ProxyFrame) -> None:
        with self._host.turn(self.context.spec.engine, f"on frame {frame.number}"):
            begun_s = time.monotonic()
            answers = list(self._session.push(frame))
            self._proxies.seconds[frame.number]["engine"] = time.monotonic() - begun_s
        self._renders.owed.add(frame.number)
        self._position = frame.number
        if frame.number in self.context.done:
            self._renders.unsecured.append(frame.number)
        self._renders.take(answers)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait until `done`, and meanwhile pass on what the codec children have done."""
        wake = self.arrivals.wake
        while True:
            wake.clear()  # first, so that what happens from here on is not slept through
            if self.arrivals.stopped:
                raise StoppedError
            self._renders.collect()
            self._proxies.feed()
            if self._save_due_s() == 0:
                self._save()
            if done():
                return
            wake.wait(self._save_due_s())

    def _save_due_s(self) -> Optional[float]:
        """Return in how many seconds a checkpoint is due; None where nothing would be secured by it, or none can be."""
        secured = len(self._renders.unsecured)
        if not secured or self._lost:
            return None
        pause_s = max(
            self._save_took_s / CHECKPOINT_SHARE, CHECKPOINT_S if secured < CHECKPOINT_FRAMES else 0.0
        )
        return max(0.0, self._saved_s + pause_s - self._now())

    def _save(self) -> None:
        """Write a checkpoint; then, and only then, may the inputs of what is done go."""
        started_s = self._now()
        name = self.context.spec.engine
        with self._host.turn(name, "while its state was kept"):
            state = self._session.state()
            found = Checkpoint(
                self.context.plan.engine,
                self._position if self._position is not None else self.context.numbers[0],
                self._proxies.display,
                state,
                self._renders.answers(),
                self._proxies.facts,
                sorted(self._renders.owed),
                list(self._renders.latest),
            )
        try:
            checkpoint.save(self.context.folder / checkpoint.STATE, found)
        except TypeError as error:
            raise EngineFailed(f"engine {name} has a state that cannot be kept: {error}.") from error
        except OSError as error:
            kind = SpoolFull if error.errno in DISK_FULL else OutputError
            raise kind(f"the checkpoint cannot be written: {error.strerror}.") from error
        self._release()
        self._saved_s = self._now()
        self._save_took_s = self._saved_s - started_s

    def _release(self) -> None:
        """Tell main whose inputs are needed no more."""
        if self._renders.unsecured:
            self.context.tell("release", frames=list(self._renders.unsecured))
            self._renders.unsecured.clear()
