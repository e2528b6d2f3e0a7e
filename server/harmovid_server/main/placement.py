"""Assigns jobs to workers: fair shares, slots released by idle jobs, and the handling of crashed workers.

A worker has `Config.active_jobs` slots. A free slot goes to the highest priority (of the users' keys) that waits, among
equal ones to the user with the fewest slots, and among that user's jobs to the oldest. A job whose client sends too
slowly (or is away) releases its slot as soon as another job waits, and returns when it has enough input to continue.

When a worker crashes, or an engine on another machine (`engine_lost`), every job that had finished no frame in it
counts one crash and becomes unproven. At most one unproven job runs in a worker at a time: jobs that were only
affected by the crash finish a frame and are proven; the one that causes it reaches `CRASH_LIMIT` crashes and fails.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path
from typing import Iterator, List, Mapping, Optional, Tuple

from harmovid.errors import EngineFailed, EngineUnknown
from harmovid.job import FAILED, QUEUED, RUNNING
from harmovid.storage.checksums import file_crc

from harmovid_server import compiled_loops
from harmovid_server import metric_list as names
from harmovid_server.logs import about
from harmovid_server.main.jobs import IDLE_ATTACHED_S, IDLE_DETACHED_S, Job
from harmovid_server.main.state import ServerState
from harmovid_server.main.store import ACKED, COMPUTED, DEAD
from harmovid_server.spool import PART, job_folder

log = logging.getLogger("harmovid.main")

CRASH_LIMIT = 3
"""A job fails after this many crashes of workers in a row."""

PAUSE_S = 1.0
"""Pause of a job after the disk was full."""


def assign(state: ServerState) -> None:
    """Give free worker slots to waiting jobs."""
    if not state.workers:
        return
    waiting = queue(state)
    for job in waiting:
        if job.spec.engine not in state.engines:
            state.end(job, FAILED, EngineUnknown(f"there is no engine {job.spec.engine!r} here any more."))
    while waiting := [job for job in waiting if job.active and job.worker is None]:
        pairs = [(job, name) for job in waiting for name in state.workers if _fits(state, job, name)]
        if not pairs:
            break
        slots = Counter(job.record.user for job in state.jobs.values() if job.worker is not None)
        # min is stable: among equals the queue's order and the first worker decide.
        start(state, *min(pairs, key=lambda pair: _turn(state, slots, *pair)))
    _give_up_slots(state, waiting)


def _turn(state: ServerState, slots: Mapping[str, int], job: Job, worker: str) -> Tuple[bool, int, int, int]:
    """Return the sort key by which jobs get a free slot; the lowest comes first."""
    user = job.record.user
    return job.starved, -state.users.limits(user).priority, slots[user], _load(state, worker)


def queue(state: ServerState) -> List[Job]:
    """Return the jobs that wait for a slot in a worker: the highest priority first, and of those the oldest.

    New jobs wait only while their client is connected; jobs that ran before also if they have enough input to continue.
    """
    now = state.now()
    return [
        job
        for job in sorted(state.jobs.values(), key=lambda job: _place(state, job))
        if job.worker is None
        and job.owes
        and job.paused_until_s <= now
        and (job.session is not None or job.spec.shared or not job.starved)
        and not (state.draining and job.record.state == QUEUED)
    ]


def _place(state: ServerState, job: Job) -> Tuple[int, float, str]:
    return -state.users.limits(job.record.user).priority, job.record.created_s, job.id


def _load(state: ServerState, name: str) -> int:
    return len(state.workers[name].jobs)


def _fits(state: ServerState, job: Job, name: str) -> bool:
    slot = state.workers[name]
    if job.spec.engine not in slot.engines or len(slot.jobs) >= state.config.active_jobs:
        return False
    if not job.record.crashes:
        return True
    others = [state.jobs[other] for other in slot.jobs]
    return not any(other.record.crashes and not other.proven and not other.starved for other in others)


def start(state: ServerState, job: Job, name: str) -> None:
    """Start a job in a worker: send which frames are done or have failed, then every frame in the spool."""
    job.record.attempt += 1
    if job.record.state == QUEUED:
        waited_s = max(time.time() - job.record.created_s, 0.0)
        state.tally.time(names.STAGES, waited_s, "queue", job.spec.engine)
    job.record.state = RUNNING
    job.worker, job.proven = name, False
    job.info = state.engines[job.spec.engine]
    state.workers[name].jobs.add(job.id)
    job.placed_s = state.now()
    job.compiling = not compiled_loops.are_compiled()
    state.keep(job)
    if not (job_folder(state.spool.folder, job.id) / "state.npz").exists():
        # As the worker will request (`show`), so that these frames come in order, before later ones.
        job.show(job.around_open())
    state.send(
        name, "start", job=job.id, attempt=job.record.attempt, spec=job.spec.to_dict(),
        folder=str(job_folder(state.spool.folder, job.id)),
        done=list(job.in_states(COMPUTED, ACKED)), failed=list(job.in_states(DEAD)),
        history=str(state.history.folder) if state.config.previews and state.config.history_bytes else "",
    )  # fmt: skip
    for number, frame in sorted(job.frames.items()):
        # Done frames too, if their inputs exist: the engine's checkpoint may be older.
        if len(frame.inputs) == len(job.spec.layers):
            state.send(name, "ready", job=job.id, frame=number)
    state.push_state(job)
    log.info(
        "job started",
        extra=about(job=job.id, user=job.record.user, attempt=job.record.attempt, worker=name, owes=job.owes),
    )


def restart(state: ServerState, job: Job) -> None:
    """Stop a job in its worker and drop its checkpoint, so that it starts again; finished frames stay."""
    state.take_from_worker(job)
    (job_folder(state.spool.folder, job.id) / "state.npz").unlink(missing_ok=True)


def _give_up_slots(state: ServerState, waiting: List[Job]) -> None:
    wanting = [job for job in waiting if not job.starved or job.record.state == QUEUED]
    if not wanting:
        return
    now = state.now()
    for job in list(state.jobs.values()):
        patience_s = IDLE_DETACHED_S if job.session is None else IDLE_ATTACHED_S
        if job.worker is not None and job.starved and now - max(job.moved_s, job.placed_s) > patience_s:
            log.info("job waits for frames and gives its slot up", extra=about(job=job.id))
            state.take_from_worker(job)


def worker_lost(state: ServerState, name: str) -> None:
    """Handle the death of a worker: keep its finished results, count the crash, restart its jobs."""
    slot = state.workers.pop(name, None)
    for job_id in sorted(slot.jobs if slot else ()):
        job = state.jobs[job_id]
        adopt_results(state, job)
        engine_lost(state, job)


def engine_lost(state: ServerState, job: Job) -> None:
    """Handle the loss of a job's engine: count a crash if no frame was finished there, and let the job wait again."""
    job.worker = None
    if job.proven or not job.active:
        return
    job.record.crashes += 1
    job.dirty = True
    state.keep(job)
    if job.record.crashes >= CRASH_LIMIT:
        error = EngineFailed(
            f"the engine process died {CRASH_LIMIT} times on this job without finishing a frame.",
            fix="The server's log says how; try the job with another engine or other frames.",
        )
        state.end(job, FAILED, error)


def adopt_results(state: ServerState, job: Job) -> None:
    """Count results that were renamed but not reported; remove unfinished files.

    A renamed file is complete. Its report was lost with the worker.
    """
    for number, path in results_in(job_folder(state.spool.folder, job.id)):
        if number is None:
            path.unlink()
        elif number in job.numbers and job.frames[number].state not in (COMPUTED, ACKED, DEAD):
            state.compute(job, number, path.stat().st_size, file_crc(path), {})


def results_in(folder: Path) -> Iterator[Tuple[Optional[int], Path]]:
    """Yield (frame, path) of each result in a job's folder; frame is None for unfinished and unknown files."""
    for path in sorted((folder / "out").glob("*")):
        stem = path.name[: -len(".exr")] if path.name.endswith(".exr") else ""
        digits = stem[1:] if stem.startswith("-") else stem
        yield (int(stem) if digits.isdecimal() and PART not in path.name else None), path
