"""Which job runs in which worker: fair turns, places given up by those that wait, and what a death means.

A worker runs up to `Config.active_jobs` jobs side by side. A place goes to the user with the fewest places,
and among that user's jobs to the oldest. A job whose client sends too slowly (or is away) gives its place up
as soon as another one wants it, and comes back when it has enough input to go on.

When a worker dies, every job that made no progress in it since its start gets a strike, and is from then on a
suspect: at most one suspect at a time runs unproven in a worker, so that innocent jobs prove themselves and
the guilty one is left with `STRIKES` strikes, and fails.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from harmovid.errors import EngineFailed, EngineUnknown
from harmovid.job import FAILED, QUEUED, RUNNING

from harmovid_server.logs import about
from harmovid_server.main.jobs import IDLE_ATTACHED_S, IDLE_DETACHED_S, Job
from harmovid_server.main.state import Board
from harmovid_server.main.store import ACKED, COMPUTED, DEAD
from harmovid_server.spool import PART, file_crc, job_folder

log = logging.getLogger("harmovid.main")

STRIKES = 3
"""Workers that a job may take down in a row without any progress."""

PAUSE_S = 1.0
"""How long a job rests after the disk was full, before it is tried again."""


def assign(board: Board) -> None:
    """Give free places in workers to waiting jobs."""
    if not board.workers:
        return
    waiting = queue(board)
    for job in waiting:
        if job.spec.engine not in board.engines:
            board.end(job, FAILED, EngineUnknown(f"there is no engine {job.spec.engine!r} here any more."))
    while waiting := [job for job in waiting if job.active and job.worker is None]:
        pairs = [(job, name) for job in waiting for name in board.workers if _fits(board, job, name)]
        if not pairs:
            break
        places = Counter(job.record.user for job in board.jobs.values() if job.worker is not None)
        # min is stable: among equals the queue's order and the first worker hold.
        start(board, *min(pairs, key=lambda p: (p[0].starved, places[p[0].record.user], _load(board, p[1]))))
    _give_up_places(board, waiting)


def queue(board: Board) -> List[Job]:
    """Return the jobs that want a place in a worker, in the order of their age.

    Fresh jobs wait while their client is there; jobs that ran before also when they have enough to go on.
    """
    now = board.now()
    return [
        job
        for job in sorted(board.jobs.values(), key=lambda job: (job.record.created_s, job.id))
        if job.worker is None
        and job.owes
        and job.paused_until_s <= now
        and (job.session is not None or job.spec.shared or not job.starved)
        and not (board.draining and job.record.state == QUEUED)
    ]


def _load(board: Board, name: str) -> int:
    return len(board.workers[name].jobs)


def _fits(board: Board, job: Job, name: str) -> bool:
    seat = board.workers[name]
    if job.spec.engine not in seat.engines or len(seat.jobs) >= board.config.active_jobs:
        return False
    if not job.record.strikes:
        return True
    others = [board.jobs[other] for other in seat.jobs]
    return not any(other.record.strikes and not other.proven and not other.starved for other in others)


def start(board: Board, job: Job, name: str) -> None:
    """Start a job in a worker: what is done, what has failed, and then every frame that is in the spool."""
    job.record.attempt += 1
    job.record.state = RUNNING
    job.worker, job.proven = name, False
    job.info = board.engines[job.spec.engine]
    board.workers[name].jobs.add(job.id)
    job.placed_s = board.now()
    board.keep(job)
    board.send(
        name, "start", job=job.id, attempt=job.record.attempt, spec=job.spec.to_dict(),
        folder=str(job_folder(board.spool.folder, job.id)),
        done=list(job.in_states(COMPUTED, ACKED)), failed=list(job.in_states(DEAD)),
    )  # fmt: skip
    for number, frame in sorted(job.frames.items()):
        # Done frames too, while their inputs are there: the engine's checkpoint may be older than they are.
        if len(frame.inputs) == len(job.spec.layers):
            board.send(name, "ready", job=job.id, frame=number)
    board.push_state(job)
    log.info(
        "job started",
        extra=about(job=job.id, user=job.record.user, attempt=job.record.attempt, worker=name, owes=job.owes),
    )


def restart(board: Board, job: Job) -> None:
    """Take a job from its worker, so that it starts again with what is now done; without its checkpoint."""
    board.take_from_worker(job)
    (job_folder(board.spool.folder, job.id) / "state.npz").unlink(missing_ok=True)


def _give_up_places(board: Board, waiting: List[Job]) -> None:
    wanting = [job for job in waiting if not job.starved or job.record.state == QUEUED]
    if not wanting:
        return
    now = board.now()
    for job in list(board.jobs.values()):
        patience_s = IDLE_DETACHED_S if job.session is None else IDLE_ATTACHED_S
        if job.worker is not None and job.starved and now - max(job.moved_s, job.placed_s) > patience_s:
            log.info("job waits for frames and gives its place up", extra=about(job=job.id))
            board.take_from_worker(job)


def worker_lost(board: Board, name: str) -> None:
    """A worker process is dead: keep what it had finished, count strikes, let its jobs start again."""
    seat = board.workers.pop(name, None)
    for job_id in sorted(seat.jobs if seat else ()):
        job = board.jobs[job_id]
        job.worker = None
        adopt_results(board, job)
        if job.proven or not job.active:
            continue
        job.record.strikes += 1
        job.dirty = True
        board.keep(job)
        if job.record.strikes >= STRIKES:
            error = EngineFailed(
                f"the engine process died {STRIKES} times on this job without finishing a frame.",
                fix="The server's log says how; try the job with another engine or other frames.",
            )
            board.end(job, FAILED, error)


def adopt_results(board: Board, job: Job) -> None:
    """Count results that were renamed into place but never reported; remove what was being written.

    A renamed file is whole. Its report died with the worker.
    """
    for number, path in results_in(job_folder(board.spool.folder, job.id)):
        if number is None:
            path.unlink()
        elif number in job.numbers and job.frames[number].state not in (COMPUTED, ACKED, DEAD):
            board.compute(job, number, path.stat().st_size, file_crc(path), {})


def results_in(folder: Path) -> Iterator[Tuple[Optional[int], Path]]:
    """Yield (frame, path) of each result in a job's folder; frame is None for unfinished and odd files."""
    for path in sorted((folder / "out").glob("*")):
        stem = path.name[: -len(".exr")] if path.name.endswith(".exr") else ""
        digits = stem[1:] if stem.startswith("-") else stem
        yield (int(stem) if digits.isdecimal() and PART not in path.name else None), path
