"""The pool of codec children: tasks in, replies out as futures; a child that dies is replaced.

    pool = CodecPool(children=2)
    reply = pool.submit(job, {"task": "proxy", ...}).result()         # Reply, or the task's FrameError
    pool.submit(job, {"task": "finish", ...}, affinity=reply.child, urgent=True)
    pool.forget(job)
    pool.close()

A crash may have been caused by an earlier task: a damaged file can corrupt a child's heap, so that the child crashes on
the next, good task. So if the child had run other tasks before, the task is repeated in a new child, and only a crash
of a new child is an error of the frame. A task that takes too long is not repeated: it was the only one running.
"""

from __future__ import annotations

import itertools
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any, List, Optional, Sequence, Tuple

import numpy.typing as npt
from harmovid.errors import FrameRefused, FrameUnreadable, HarmoVidError, JobError, ProtocolError, from_wire
from harmovid.processes import processor_s

from harmovid_server.codec import LOG_JSON, packets, sandbox
from harmovid_server.codec.packets import Arrays, Body, PeerGoneError
from harmovid_server.logs import about
from harmovid_server.worker.codec_queue import Reply, Task, TaskQueue

log = logging.getLogger("harmovid.worker")

COMMAND = (sys.executable, "-m", "harmovid_server.codec")
"""Started as a new program, never forked: a fork of a process with threads may keep their locks for ever."""

COMMAND_LOG_JSON = (*COMMAND, LOG_JSON)
"""The same for a server whose log is JSON."""

TASK_S = 120.0
"""Limit of a task in processor time, so that a busy machine, where the first frames are also compiled, loses no frame.
An 8K frame with forty channels takes about 20 s; the rest is for slow machines."""

WAITS = 5
"""Limit on the clock, as a multiple of that: for a child that waits and computes nothing."""

_LOOK_S = 1.0
"""How often the limit is looked at; a reply is taken at once."""

START_S = 300.0
"""Time limit of a start: the first one after an installation compiles loops, perhaps on a busy machine."""

START_TRIES = 3
"""After this many failed starts in a row the pool gives up."""


class CodecChild:
    """One child process and its socket; `served` counts the tasks it has taken so far."""

    def __init__(self, serial: int, command: Sequence[str]) -> None:
        self.serial = serial
        self.served = 0
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # OpenEXR's module prints messages about damaged files there
                env=sandbox.environment(),
            )
        self._socket = ours
        try:
            packets.receive(ours, time.monotonic() + START_S)  # its first message: imported, limited, ready
        except (PeerGoneError, ProtocolError, TimeoutError):
            self.terminate()
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, body: Body, arrays: Sequence[npt.NDArray[Any]], timeout_s: float) -> Tuple[Body, Arrays]:
        """Run one task; after any error (child gone, bad reply, timeout) the child must be terminated.

        Args:
            timeout_s: limit of the child's processor time; `WAITS` times as much on the clock.
        """
        self.served += 1
        last_s = time.monotonic() + WAITS * timeout_s
        limit_s = processor_s(self.pid) + timeout_s
        self._socket.settimeout(WAITS * timeout_s)
        packets.send(self._socket, body, arrays)
        while not select.select([self._socket], [], [], min(_LOOK_S, timeout_s))[0]:
            if processor_s(self.pid) > limit_s or time.monotonic() > last_s:
                raise TimeoutError
        return packets.receive(self._socket, last_s)

    def terminate(self) -> str:
        """Kill the process, and return how it had died by itself, if it had."""
        self._socket.close()
        try:
            # A dying process closes its socket a moment before it is reported as dead.
            code = self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "killed"
        return signal.Signals(-code).name if code < 0 else f"exit {code}"


class CodecPool:
    """`children` processes, each served by its own thread, which also starts it and its successors."""

    def __init__(self, children: int, command: Sequence[str] = COMMAND, timeout_s: float = TASK_S) -> None:
        self.children = children
        self._command = tuple(command)
        self._timeout_s = timeout_s
        self._queue = TaskQueue()
        self._serials = itertools.count(1)
        # The kernel kills a child when the *thread* that started it ends (PR_SET_PDEATHSIG), so each slot's
        # thread starts its own children and lives as long as the pool.
        self._threads = [threading.Thread(target=self._serve, name=f"codec-{i}") for i in range(children)]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def submit(
        self,
        job: str,
        body: Body,
        arrays: Sequence[npt.NDArray[Any]] = (),
        *,
        affinity: int = 0,
        urgent: bool = False,
    ) -> Future[Reply]:
        """Queue one task.

        Args:
            job: the job it belongs to; jobs are served in turn.
            body: the task for `harmovid_server.codec`, with "task" and "frame".
            affinity: serial of the child that may still hold the decoded frame; 0 for none.
            urgent: whether it goes before the job's other tasks.

        Returns:
            A future of the reply. Its error is the one from the child, `FrameUnreadable` if the frame crashed the child
            or took too long, or `JobError` if children do not start at all. It is cancelled by `forget`.
        """
        task = Task(job, body, arrays, affinity=affinity, urgent=urgent)
        self._queue.put(task)
        return task.future

    @property
    def failure(self) -> Optional[HarmoVidError]:
        """The error if children do not start, so that no tasks can run; None otherwise."""
        return self._queue.failure

    def forget(self, job: str) -> None:
        """Drop a job's waiting tasks, and let the children drop its cached frames."""
        self._queue.forget(job)
        for serial in self._queue.alive():
            self._queue.put(Task(job, {"task": "forget", "job": job}, affinity=serial, only=True))

    def close(self) -> None:
        """End all children; waiting tasks are cancelled, running ones finish or reach their time limit."""
        self._queue.close()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """Serve one slot: run tasks in its child until the pool closes."""
        slot = _ChildSlot(self._command, self._queue, self._serials)
        try:
            while True:
                task = self._queue.take(slot.child().serial)
                if task is None:
                    return
                if task.future.set_running_or_notify_cancel():
                    self._do(slot, task)
        except JobError as error:
            self._queue.close(error)
        finally:
            slot.empty()

    def _do(self, slot: _ChildSlot, task: Task) -> None:
        """Run `task` in the slot's child, or in its successor, and set its future."""
        for _ in range(2):
            child = slot.child()
            fresh = child.served == 0
            begun_s = time.monotonic()
            try:
                body, arrays = child.ask(task.body, task.arrays, self._timeout_s)
            except TimeoutError:
                slot.empty()
                task.future.set_exception(_too_slow(task.body, self._timeout_s))
                return
            except (PeerGoneError, ProtocolError) as error:
                died = slot.empty()
                facts = about(job=task.job, frame=task.body.get("frame"), died=died, fresh=fresh)
                log.warning("codec child lost", extra={**facts, "cause": str(error)})
                if fresh:
                    task.future.set_exception(_crashed(task.body, died))
                    return
            else:
                _fill(task.future, body, arrays, child.serial, time.monotonic() - begun_s)
                return


class _ChildSlot:
    """A slot for a child process and its successors."""

    def __init__(self, command: Sequence[str], queue: TaskQueue, serials: itertools.count[int]) -> None:
        self._command = command
        self._queue = queue
        self._serials = serials
        self._child: Optional[CodecChild] = None

    def child(self) -> CodecChild:
        """Return the child, started if necessary; raise `JobError` if none starts."""
        reasons: List[str] = []
        while self._child is None:
            try:
                self._child = CodecChild(next(self._serials), self._command)
            except (PeerGoneError, ProtocolError, TimeoutError, OSError) as error:
                reasons.append(str(error))
                if len(reasons) == START_TRIES:
                    message = f"the server's codec processes do not start ({reasons[-1]})."
                    raise JobError(message, fix="The server's log says why.") from error
            else:
                self._queue.join(self._child.serial)
        return self._child

    def empty(self) -> str:
        """Kill the child, if there is one, and return how it had died."""
        child, self._child = self._child, None
        if child is None:
            return ""
        self._queue.leave(child.serial)
        return child.terminate()


def _fill(future: Future[Reply], body: Body, arrays: Arrays, child: int, seconds: float) -> None:
    error = body.get("error")
    if isinstance(error, dict):
        future.set_exception(from_wire(error))
    else:
        future.set_result(Reply(body, arrays, child, seconds))


def _crashed(body: Body, died: str) -> HarmoVidError:
    """Return the frame error for a task that crashed a new child."""
    return FrameUnreadable(
        f"the process that worked on it died ({died}).",
        fix="The file is most likely damaged: write it again.",
        frame=body.get("frame"),
    )


def _too_slow(body: Body, timeout_s: float) -> HarmoVidError:
    return FrameRefused(
        f"it was not done within {timeout_s:g} s of processor time, or {WAITS * timeout_s:g} s on the clock.",
        fix="Write it again with fewer channels or another compression.",
        frame=body.get("frame"),
    )
