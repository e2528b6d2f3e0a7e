"""The pool of codec children with real processes: crashes and their attribution, fairness, affinity, timeouts."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from fakes.waiting import wait_until
from harmovid.errors import FrameRefused, FrameUnreadable, JobError
from harmovid_server.worker.codec_pool import CodecPool
from harmovid_server.worker.codec_queue import Task, TaskQueue

FAKE = (sys.executable, str(Path(__file__).parents[2] / "fakes" / "codec_child.py"))
JOB = "a" * 32
OTHER = "b" * 32


@pytest.fixture
def pool() -> Iterator[CodecPool]:
    """Yield a pool of one fake child."""
    made = CodecPool(1, command=FAKE, timeout_s=300.0)
    yield made
    made.close()


def test_reply_comes_back_with_its_arrays(pool: CodecPool) -> None:
    """A task's body and arrays reach the child and come back whole, whatever the arrays' shape."""
    arrays = [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.zeros((0, 2), np.float32),
        np.ones(5, np.uint8),
    ]
    reply = pool.submit(JOB, {"task": "echo", "frame": -3}, arrays).result(300)
    assert reply.body["echo"] == {"task": "echo", "frame": -3}
    assert [a.shape for a in reply.arrays] == [(3, 4), (0, 2), (5,)]
    assert all(np.array_equal(a, b) for a, b in zip(arrays, reply.arrays))


def test_what_kills_a_fresh_child_is_its_frames_error(pool: CodecPool) -> None:
    """A task that kills a child that had done nothing before is one FrameUnreadable naming the frame."""
    with pytest.raises(FrameUnreadable, match="SIGSEGV") as caught:
        pool.submit(JOB, {"task": "segfault", "frame": 1003}).result(300)
    assert caught.value.frame == 1003
    assert caught.value.fix


def test_poison_that_works_later_does_not_blame_the_next_frame(pool: CodecPool) -> None:
    """A task whose child dies of what came before is done again in a fresh child, and succeeds."""
    first = pool.submit(JOB, {"task": "echo"}).result(300)
    second = pool.submit(JOB, {"task": "segfault when worn"}).result(300)
    assert second.body["served"] == 1
    assert second.body["pid"] != first.body["pid"]


def test_neighbours_go_on_after_a_crash(pool: CodecPool) -> None:
    """Tasks queued before and after a deadly one all succeed, and exactly one fails."""
    tasks = ["echo", "echo", "segfault", "echo", "echo"]
    futures = [pool.submit(JOB, {"task": name, "frame": i}) for i, name in enumerate(tasks)]
    failed = [i for i, future in enumerate(futures) if future.exception(300)]
    assert failed == [2]


def test_a_slow_task_is_ended_and_refused() -> None:
    """A task beyond the time limit is a FrameRefused long before it would have ended, and its child is replaced."""
    pool = CodecPool(1, command=FAKE, timeout_s=1.0)
    try:
        with pytest.raises(FrameRefused, match="1 s"):
            pool.submit(JOB, {"task": "sleep", "seconds": 600, "frame": 7}).result(300)
        assert not pool.failure
    finally:
        pool.close()


def test_a_task_that_waits_for_a_processor_is_not_ended(tmp_path: Path) -> None:
    """The limit counts the child's processor time, so on a busy machine no frame is lost."""
    pool = CodecPool(1, command=FAKE, timeout_s=2.0)
    try:
        held = pool.submit(JOB, {"task": "wait", "for": str(tmp_path / "go on")})
        wait_until(held.running)
        time.sleep(3.0)
        (tmp_path / "go on").touch()
        assert held.result(300)
    finally:
        pool.close()


def test_a_task_that_computes_for_ever_is_ended() -> None:
    """A child that only computes is ended by its processor time, long before the limit on the clock."""
    pool = CodecPool(1, command=FAKE, timeout_s=0.5)
    try:
        with pytest.raises(FrameRefused, match=r"0\.5 s of processor time"):
            pool.submit(JOB, {"task": "compute", "frame": 7}).result(300)
    finally:
        pool.close()


def test_a_child_that_talks_nonsense_is_replaced(pool: CodecPool) -> None:
    """Bytes that are no message count as the child's death, not as the pool's."""
    with pytest.raises(FrameUnreadable):
        pool.submit(JOB, {"task": "nonsense", "frame": 1}).result(300)
    assert pool.submit(JOB, {"task": "echo"}).result(300).body["served"] == 1


def test_the_childs_own_error_comes_through(pool: CodecPool) -> None:
    """An error that the child reports is raised as the class it was, and the child lives on."""
    with pytest.raises(FrameUnreadable, match="torn"):
        pool.submit(JOB, {"task": "refuse", "frame": 5}).result(300)
    assert pool.submit(JOB, {"task": "echo"}).result(300).body["served"] == 2


def test_a_child_killed_while_idle_is_replaced(pool: CodecPool) -> None:
    """kill -9 of an idle child costs the next task a retry and nothing else."""
    pid = pool.submit(JOB, {"task": "echo"}).result(300).body["pid"]
    os.kill(pid, signal.SIGKILL)
    assert pool.submit(JOB, {"task": "echo"}).result(300).body["pid"] != pid


def test_forget_cancels_what_waits(pool: CodecPool, tmp_path: Path) -> None:
    """Forgetting a job cancels its waiting tasks and leaves other jobs' tasks alone."""
    busy = pool.submit(JOB, {"task": "wait", "for": str(tmp_path / "go on")})
    wait_until(busy.running)
    waiting = pool.submit(JOB, {"task": "echo"})
    other = pool.submit(OTHER, {"task": "echo"})
    pool.forget(JOB)
    with pytest.raises(CancelledError):
        waiting.result(300)
    (tmp_path / "go on").touch()
    assert other.result(300)
    assert busy.result(300)


def test_children_that_do_not_start_fail_the_tasks() -> None:
    """When no child comes up, tasks end with an error that says so instead of waiting for ever."""
    pool = CodecPool(1, command=(sys.executable, "-c", "import sys; sys.exit(3)"))
    with pytest.raises(JobError, match="do not start"):
        pool.submit(JOB, {"task": "echo"}).result(300)
    assert isinstance(pool.failure, JobError)
    pool.close()


def _queue(*tasks: Task) -> TaskQueue:
    queue = TaskQueue()
    for serial in (1, 2):
        queue.join(serial)
    for task in tasks:
        queue.put(task)
    return queue


def _names(queue: TaskQueue, serial: int, count: int) -> list:
    return [queue.take(serial).body["n"] for _ in range(count)]


def test_jobs_take_turns_however_many_tasks_they_have() -> None:
    """A job with many waiting tasks does not keep a job with one waiting: they alternate."""
    queue = _queue(
        *[Task(JOB, {"n": f"a{i}"}) for i in range(4)], *[Task(OTHER, {"n": f"b{i}"}) for i in range(2)]
    )
    assert _names(queue, 1, 6) == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_urgent_tasks_overtake_their_own_job_only() -> None:
    """An urgent task goes before its own job's others but waits for its job's turn."""
    queue = _queue(
        Task(JOB, {"n": "a"}),
        Task(OTHER, {"n": "b"}),
        Task(OTHER, {"n": "urgent"}, urgent=True),
        Task(JOB, {"n": "c"}),
    )
    assert _names(queue, 1, 4) == ["a", "urgent", "c", "b"]


def test_a_bound_task_waits_for_its_child_unless_there_is_a_backlog() -> None:
    """A child takes another child's tasks only where it has nothing else to do and two or more wait there."""
    queue = _queue(
        Task(JOB, {"n": "for 1"}, affinity=1), Task(JOB, {"n": "free"}), Task(JOB, {"n": "2nd"}, affinity=1)
    )
    assert _names(queue, 2, 2) == ["free", "for 1"]
    assert _names(queue, 1, 1) == ["2nd"]


def test_a_dead_childs_tasks_go_to_any_other() -> None:
    """After a child's death its bound tasks are free."""
    queue = _queue(Task(JOB, {"n": "orphan"}, affinity=1))
    queue.leave(1)
    assert _names(queue, 2, 1) == ["orphan"]


def test_what_was_for_a_dead_child_alone_is_dropped() -> None:
    """A task that no other child may do leaves with its child, so that nothing waits for ever."""
    queue = _queue(Task(JOB, {"n": "forget"}, affinity=1, only=True), Task(JOB, {"n": "other"}, affinity=1))
    queue.leave(1)
    assert _names(queue, 2, 1) == ["other"]
    assert queue._waiting == {}
