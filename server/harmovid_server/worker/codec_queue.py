"""The queue of tasks for the codec children.

Jobs take turns; results go before new frames; a frame goes to the child that has it decoded.

    queue.put(Task(job, body, arrays, affinity=serial))
    task = queue.take(serial)           # in the thread of child `serial`; None once the queue is closed
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Set

import numpy.typing as npt
from harmovid.errors import HarmoVidError

from harmovid_server.codec.packets import Arrays, Body

STEAL_FROM = 2
"""When this many tasks wait for one busy child, an idle child takes one of them and decodes the frame again."""


@dataclass(frozen=True)
class Reply:
    """A child's reply, its serial number (it may still have the frame decoded), and the duration of the task."""

    body: Body
    arrays: Arrays
    child: int
    seconds: float = 0.0


@dataclass
class Task:
    """One task of one job.

    Attributes:
        affinity: serial number of the child that should do it; 0 for any.
        only: whether only that child may do it; the task is dropped when the child dies.
        urgent: whether it goes before other tasks of the same job.
    """

    job: str
    body: Body
    arrays: Sequence[npt.NDArray[Any]] = ()
    affinity: int = 0
    only: bool = False
    urgent: bool = False
    future: Future[Reply] = field(default_factory=Future)


class TaskQueue:
    """Waiting tasks of all jobs. Every method may be called from any thread.

    `failure` is the error with which it was closed, if any.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, List[Task]] = OrderedDict()
        self._alive: Set[int] = set()
        self.failure: Optional[HarmoVidError] = None
        self._closed = False

    def put(self, task: Task) -> None:
        """Add a task; in a closed queue its future is cancelled, or gets `failure`, at once."""
        with self._changed:
            if self.failure is None and not self._closed:
                self._waiting.setdefault(task.job, []).append(task)
                self._changed.notify_all()
                return
        if self.failure is None:
            task.future.cancel()
        else:
            task.future.set_exception(self.failure)

    def join(self, serial: int) -> None:
        """Add a child that has started."""
        with self._changed:
            self._alive.add(serial)

    def leave(self, serial: int) -> None:
        """Remove a child that has died: its waiting tasks may go to any other, those for it only are dropped."""
        with self._changed:
            self._alive.discard(serial)
            for job, tasks in list(self._waiting.items()):
                tasks[:] = [task for task in tasks if not (task.only and task.affinity == serial)]
                if not tasks:
                    del self._waiting[job]
            self._changed.notify_all()

    def alive(self) -> List[int]:
        """Return the serial numbers of the running children."""
        with self._changed:
            return sorted(self._alive)

    def take(self, serial: int) -> Optional[Task]:
        """Wait for a task for child `serial` and return it; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                task = self._next(serial)
                if task is not None:
                    return task
                self._changed.wait()
        return None

    def forget(self, job: str) -> None:
        """Cancel the waiting tasks of a job."""
        with self._changed:
            dropped = self._waiting.pop(job, [])
        for task in dropped:
            task.future.cancel()

    def close(self, failure: Optional[HarmoVidError] = None) -> None:
        """Close the queue and wake all children; waiting tasks get `failure`, or are cancelled."""
        with self._changed:
            self._closed, self.failure = True, failure
            dropped = [task for tasks in self._waiting.values() for task in tasks]
            self._waiting.clear()
            self._changed.notify_all()
        for task in dropped:
            if failure is None:
                task.future.cancel()
            else:
                task.future.set_exception(failure)

    def _next(self, serial: int) -> Optional[Task]:
        """Return this child's next task, jobs in turn: its own and those for any child before other children's."""
        backlog = self._backlog()
        for steal in (False, True):
            for job, tasks in self._waiting.items():
                fitting = [task for task in tasks if self._fits(task, serial, backlog, steal)]
                if fitting:
                    task = next((each for each in fitting if each.urgent), fitting[0])
                    tasks.remove(task)
                    self._waiting.move_to_end(job)
                    if not tasks:
                        del self._waiting[job]
                    return task
        return None

    def _fits(self, task: Task, serial: int, backlog: Dict[int, int], steal: bool) -> bool:
        if task.affinity in (0, serial):
            return True
        if task.only:
            return False
        bound = task.affinity in self._alive
        return not bound or (steal and backlog[task.affinity] >= STEAL_FROM)

    def _backlog(self) -> Dict[int, int]:
        counts: Dict[int, int] = {}
        for tasks in self._waiting.values():
            for task in tasks:
                if not task.only:
                    counts[task.affinity] = counts.get(task.affinity, 0) + 1
        return counts
