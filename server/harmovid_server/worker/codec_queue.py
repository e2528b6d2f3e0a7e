"""The queue in front of the codec children: fair between jobs, results before new frames, a frame to the child that
already holds it.

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
"""Tasks that must wait for a busy child before an idle one takes one of them and decodes the frame again."""


@dataclass(frozen=True)
class Reply:
    """What a child answered, and which child (its serial number): it may still hold the decoded frame.

    `seconds` is how long it took.
    """

    body: Body
    arrays: Arrays
    child: int
    seconds: float = 0.0


@dataclass
class Task:
    """One task of one job.

    Attributes:
        affinity: serial of the child that should do it; 0 where any may.
        only: nobody but that child may; dropped when it dies.
        urgent: before other tasks of the same job.
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

    `failure` is what it was closed with, if with anything.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, List[Task]] = OrderedDict()
        self._alive: Set[int] = set()
        self.failure: Optional[HarmoVidError] = None
        self._closed = False

    def put(self, task: Task) -> None:
        """Add a task; a queue that has failed answers it at once."""
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
        """Note a living child."""
        with self._changed:
            self._alive.add(serial)

    def leave(self, serial: int) -> None:
        """Note a child's death: what waited for it may go to any other; what was for it alone is dropped."""
        with self._changed:
            self._alive.discard(serial)
            for job, tasks in list(self._waiting.items()):
                tasks[:] = [task for task in tasks if not (task.only and task.affinity == serial)]
                if not tasks:
                    del self._waiting[job]
            self._changed.notify_all()

    def alive(self) -> List[int]:
        """Return the serials of the living children."""
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
        """Cancel what still waits for this job."""
        with self._changed:
            dropped = self._waiting.pop(job, [])
        for task in dropped:
            task.future.cancel()

    def close(self, failure: Optional[HarmoVidError] = None) -> None:
        """Take nothing more; wake all children; what waits ends with `failure`, or as cancelled."""
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
        """Return this child's next task, jobs in rotation; its own and free ones before others'."""
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
