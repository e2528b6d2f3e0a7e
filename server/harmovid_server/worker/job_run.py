"""One job in the worker: its frames go in order from the spool through the engine and back.

    job_run = JobRun(start_message, host, pool, send)
    threading.Thread(target=job_run.run).start()
    job_run.arrivals.ready(1001)           # from the link's thread

For each frame: wait until its inputs have arrived, have a codec child make its proxy, push that into the engine's
session, have a child render each frame that the session answers, report the result to main. Several proxies and renders
are in progress at any time; the engine gets one frame after the other. Of a frame that is done only its number is kept.

If the process that runs the engine is lost (`EngineLostError`, only with engines on other machines), main starts the
job again.

A job that starts again continues from its checkpoint. Without one (first attempt, another engine version, a damaged
file) a new session sees all frames from the first on, also those that are done: main requests their inputs again
(`show`), so that the remaining frames get the same answers as in an undisturbed run. Context frames, which get no
result, are shown in the same way.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError
from contextlib import ExitStack
from itertools import islice
from typing import Callable, Iterator, List, Optional

from harmovid.errors import EngineFailed, HarmoVidError, OutputError, SpoolFull
from harmovid.job import PROXY

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
"""A checkpoint is due this long after the last one, or after this many results, whichever comes first."""

CHECKPOINT_SHARE = 0.05
"""Checkpoints take at most this share of the time; if they are slow, there are fewer of them."""

OPEN_PER_CHILD = 2
"""Answers that may wait for a codec child, per child, before the engine gets its next frame."""


class StoppedError(Exception):
    """Main has stopped the job; nothing is reported to it."""


class JobRun:
    """One attempt at one job; `run` does all of it, in its own thread.

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
        self._worked = False
        self._saved_s = now()
        self._save_took_s = 0.0

    @property
    def arrivals(self) -> Arrivals:
        """The arrivals of frames, which the link's thread reports."""
        return self.context.arrivals

    def run(self) -> None:
        """Do the job. After any error the worker goes on, and the end is reported to main exactly once."""
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
        # An error in the server's own code must not end the worker, in which other jobs run.
        except Exception as error:
            log.exception("job broke", extra=about(job=context.job))
            failed = EngineFailed(f"the server broke on this job ({error!r}).", fix="Its log says how.")
            context.tell("job_failed", error=failed.to_wire())
        finally:
            context.pool.forget(context.job)
            self._sessions.close()

    def _open(self) -> None:
        """Start the session, and restore the checkpoint of an earlier attempt if there is one."""
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
        """Report results that main has missed: those finished while it was stopping the job in this worker."""
        context = self.context
        for result in found.results:
            path = context.result_path(result.frame)
            if result.frame not in context.done and file_is(path, result.size, result.crc):
                context.done.add(result.frame)
                context.tell("computed", **result._asdict(), report={}, seconds={}, preview_bytes=0)
                context.tell("release", frames=[result.frame])

    def _fits(self, found: Checkpoint) -> bool:
        """Return whether every frame up to the checkpoint is known; False if a result was lost after it."""
        context = self.context
        known = {*found.owed, *(answer.number for answer in found.answers), *context.done}
        for number in context.numbers:
            if number <= found.position and number not in known and not context.arrivals.is_absent(number):
                log.warning("checkpoint is beyond a lost result", extra=about(job=context.job, frame=number))
                return False
        return True

    def _with_new_version(self) -> ShotSession:
        """Return a new session: starting the first one loaded a new version of the engine, with its own defaults."""
        context, engine = self.context, self.context.engine
        context.plan = Plan.of(context.spec, engine.info, engine.proxy_lines)
        self._options = engine.info.check_options(context.spec.options)
        session = self._start_session()
        if title(engine.info) != context.plan.engine:
            raise EngineFailed(
                f"engine {context.spec.engine} has several versions on the server's machines.",
                fix="Install the same version on every machine, then send the job again.",
            )
        return session

    def _start_session(self) -> ShotSession:
        context = self.context
        wants_pictures = context.spec.output.mode == PROXY
        shot = ShotInfo(tuple(context.numbers), self._options, context.spec.layers, wants_pictures)
        session = self._host.start(context.engine, shot, lambda: self.arrivals.stopped)
        self._sessions.callback(self._host.end, context.spec.engine, session)
        return session

    def _restore(self, found: Checkpoint) -> bool:
        """Restore the session's state from the checkpoint; return False if the engine refuses it."""
        try:
            with self._host.turn(self.context.spec.engine, "while it was restored"):
                self._session.restore(found.state)
        except HarmoVidError as error:
            log.warning("job starts over", extra=about(job=self.context.job, error=str(error)))
            return False
        log.info("job goes on", extra=about(job=self.context.job, frame=found.position))
        return True

    def _numbers_to_push(self, found: Optional[Checkpoint]) -> List[int]:
        """Return the frames that the session has still to see, and tell main which of them get no result.

        Those are context frames, and frames that are done but later than the checkpoint: the session needs the frames
        before the last open one, and as many after it as the engine looks ahead, without failed ones, which it does
        not see. The last open one may be among those that the session had seen and not answered yet: codec children do
        not finish frames in order. A session without a state needs none of them.
        """
        context = self.context
        numbers = [n for n in context.numbers if found is None or n > found.position]
        is_open = {n for n in numbers if n not in context.done and not context.arrivals.is_absent(n)}
        if len(is_open) == len(numbers):
            return numbers
        if found is not None:
            is_open.update(n for n in found.owed if n not in context.done)
        shown: List[int] = []
        if is_open and (self._session.state() if found is None else found.state):
            last = max(is_open)
            following = (n for n in context.numbers if n > last and not context.arrivals.is_absent(n))
            ahead = context.engine.info.lookahead(self._options, context.numbers)
            end = max([last, *islice(following, ahead)])
            # With those between them that are not there, so that the results say which were not seen.
            shown = [n for n in numbers if n <= end and n in context.done]
        context.tell("show", frames=shown)
        needed = set(shown)
        return [n for n in numbers if n not in context.done or n in needed]

    def _work_to_the_end(self) -> None:
        """Do all frames. If the engine is lost, first finish its answers, so that no child works for the job then."""
        try:
            self._work()
        except EngineLostError:
            self._lost = True
            self._wait(lambda: not self._renders.open)
            raise

    def _work(self) -> None:
        """Push every frame in order, and wait for the last result."""
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
        """Start a new session at the job's first frame, because the context before it has another format."""
        self.context.unseen.update(n for n in self.context.numbers if n < number and n in self.context.done)
        self._renders.owed.clear()
        self._session = self._start_session()

    def _finish(self, most: int) -> None:
        """Take the session's last answers: all at once from a list, one by one from an iterator.

        Args:
            most: answers that may wait for a codec child.
        """
        where = "at the end of the shot"
        with self._host.turn(self.context.spec.engine, where):
            answers = self._session.finish()
        if not isinstance(answers, Iterator):
            self._renders.take(answer for answer in answers if answer is not None)
            return
        spent_s = 0.0
        while True:
            self._wait(lambda: self._renders.open <= most)
            with self._host.turn(self.context.spec.engine, where):
                begun_s = time.monotonic()
                made = list(islice(answers, 1))
                spent_s += time.monotonic() - begun_s
            if not made:
                return
            for answer in made:
                if answer is None:
                    self._worked = True
                else:
                    self._proxies.count_engine(answer.number, spent_s)
                    spent_s = 0.0
                    self._renders.take([answer])

    def _push(self, frame: ProxyFrame) -> None:
        with self._host.turn(self.context.spec.engine, f"on frame {frame.number}"):
            begun_s = time.monotonic()
            answers = list(self._session.push(frame))
            self._proxies.count_engine(frame.number, time.monotonic() - begun_s)
        self._renders.owed.add(frame.number)
        self._position = frame.number
        if frame.number in self.context.done:
            self._renders.unsecured.append(frame.number)
        self._renders.take(answers)

    def _wait(self, done: Callable[[], bool]) -> None:
        """Wait until `done` returns True; meanwhile handle the codec children's replies and write due checkpoints."""
        wake = self.arrivals.wake
        while True:
            wake.clear()  # first, so that anything that happens from here on ends the wait below
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
        """Return in how many seconds a checkpoint is due; None if there is nothing new, or the engine is lost.

        A part of the engine's work, such as a step of its sampler, is worth as much as one result.
        """
        secured = len(self._renders.unsecured)
        if not (secured or self._worked) or self._lost:
            return None
        pause_s = max(
            self._save_took_s / CHECKPOINT_SHARE, CHECKPOINT_S if secured < CHECKPOINT_FRAMES else 0.0
        )
        return max(0.0, self._saved_s + pause_s - self._now())

    def _save(self) -> None:
        """Write a checkpoint. Only after that may the inputs of finished frames be deleted."""
        started_s = self._now()
        name = self.context.spec.engine
        with self._host.turn(name, "while its state was saved"):
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
            raise EngineFailed(f"engine {name} has a state that cannot be saved: {error}.") from error
        except OSError as error:
            kind = SpoolFull if error.errno in DISK_FULL else OutputError
            raise kind(f"the checkpoint cannot be written: {error.strerror}.") from error
        self._release()
        self._worked = False
        self._saved_s = self._now()
        self._save_took_s = self._saved_s - started_s

    def _release(self) -> None:
        """Tell main which frames' inputs are no longer needed."""
        if self._renders.unsecured:
            self.context.tell("release", frames=list(self._renders.unsecured))
            self._renders.unsecured.clear()
