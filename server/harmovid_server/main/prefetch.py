"""Transfers between clients and the spool: which frames to request, which results to send, what expires.

Frames are requested round robin: user by user, and job by job within a user, as far as a job's window and the space in
the spool allow. So a clip needs disk space for its window, not for its length, and a long clip does not keep others
from starting. A job whose engine waits for a late reference frame has a window up to that frame.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict, deque
from itertools import chain, zip_longest
from typing import Deque, Dict, Iterable, List, Tuple, TypeVar

from harmovid.errors import JobError, SpoolFull
from harmovid.job import EXPIRED, FAILED, QUEUED, RUNNING
from harmovid.sizes import MIB

from harmovid_server.main.jobs import Job
from harmovid_server.main.placement import PAUSE_S, queue
from harmovid_server.main.state import ServerState
from harmovid_server.spool import input_path, output_path

log = logging.getLogger("harmovid.main")

Item = TypeVar("Item")
Need = Tuple[str, int, int]
"""(layer, frame, limit of the file size): one item of the link's `need`."""

REPORT_S = 0.1
"""STATE is sent at most this often per job (docs/wire.md, "STATE")."""

RESULT = ""
"""Key for the result among the layers of a frame."""

ENDED_KEPT = 1000
"""Limit of jobs kept after their end; the oldest are removed first. One JOBS message can list this many."""

RETRY_AFTER_S = 30.0


def by_turns(queues: Iterable[Iterable[Item]]) -> List[Item]:
    """Return the first of each queue, then the second of each, and so on."""
    missing = object()
    rounds = zip_longest(*queues, fillvalue=missing)
    return [item for item in chain.from_iterable(rounds) if item is not missing]  # type: ignore[misc]


class Prefetcher:
    """Requests inputs, delivers results and reports progress. Its only state is whose turn it is."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self._turn: Deque[str] = deque()
        self._share: Dict[str, int] = {}

    def order(self) -> List[Job]:
        """Return the running jobs in the order of this round: users in turn, a user's jobs by age."""
        jobs: Dict[str, List[Job]] = defaultdict(list)
        for job in self.state.jobs.values():
            if job.record.state == RUNNING:
                jobs[job.record.user].append(job)
        self._turn.extend(user for user in jobs if user not in self._turn)
        self._turn = deque(user for user in self._turn if user in jobs)
        self._turn.rotate(-1)
        return by_turns(jobs[user] for user in self._turn)

    def request_inputs(self) -> None:
        """Request the next frames from clients and from shared storage."""
        now = self.state.now()
        order = [job for job in self.order() if job.paused_until_s <= now and job.asks_at_s <= now]
        self._share_out(order)
        needs: Dict[str, List[Need]] = defaultdict(list)
        while order:
            order = [job for job in order if self._request_one(job, needs[job.id])]
        for job_id, items in needs.items():
            job = self.state.jobs[job_id]
            sent = [item for item in items if item[0] not in job.spec.shared]
            if sent:
                self.state.send(self.state.front, "need", session=job.session, job=job_id, items=sent)
            for item in items:
                if item[0] in job.spec.shared:
                    self.state.fetch(job, *item)

    def _request_one(self, job: Job, needs: List[Need]) -> bool:
        """Request one frame of a job; return False if nothing can be requested now."""
        config = self.state.config
        number = job.next_to_ask(config.window_frames, config.result_frames)
        if number is None:
            return False
        layers = job.missing(number)
        sent_by_client = any(layer not in job.spec.shared for layer in layers)
        if (sent_by_client and job.session is None) or (job.spec.shared and self.state.fetcher is None):
            return False
        limits = self._limits(job, layers)
        if limits is None:
            return False
        spool = self.state.spool
        job.frames[number].since_s = self.state.now()
        for layer in job.ask(number):
            self.state.expect(input_path(spool.folder, job.id, layer, number), limits[layer])
            needs.append((layer, number, limits[layer]))
        if number not in job.to_show:
            spool.promise(output_path(spool.folder, job.id, number), limits[RESULT])
        return True

    def _share_out(self, jobs: List[Job]) -> None:
        """Divide the spool equally among users with running jobs, and each part among that user's jobs.

        So a later job finds space at once, and several half-filled windows cannot block each other.
        """
        of_user = Counter(job.record.user for job in jobs)
        total = self.state.spool.all_bytes()
        self._share = {}
        for user, count in of_user.items():
            most = self.state.users.limits(user).bytes
            share = total // len(of_user)
            self._share[user] = (min(share, most) if most else share) // count

    def _limits(self, job: Job, layers: List[str]) -> Dict[str, int] | None:
        """Return the room to keep for each layer of the next frame and for its result, or None if there is no space.

        Until a file of each layer has arrived, one frame is requested with a generous limit, to learn the size.
        """
        unknown = [layer for layer in layers if not job.layer_bytes.get(layer)]
        if unknown and job.waits_for_first:
            return None
        spool, most = self.state.spool, self.state.config.frame_bytes
        room = min(spool.room_bytes(), self._share[job.record.user] - spool.held_bytes(job.id))
        limits = {layer: min(job.guess_bytes(layer), most) for layer in layers}
        limits[RESULT] = job.guess_result_bytes()
        rest = room - sum(limits.values())
        generous = min(most, rest // (len(unknown) + 1)) if unknown else 0
        if rest < 0 or (unknown and generous < 1):
            _note_full(self.state, job)
            return None
        limits.update(dict.fromkeys(unknown, generous))
        limits[RESULT] = limits[RESULT] or generous
        return limits

    def deliver_results(self) -> None:
        """Give the next results to the front, round robin over the jobs."""
        jobs = [
            job
            for job in self.state.jobs.values()
            if job.session is not None and job.asks_at_s <= self.state.now()
        ]
        while jobs:
            jobs = [job for job in jobs if self._deliver_one(job)]

    def _deliver_one(self, job: Job) -> bool:
        number = job.next_to_send()
        if number is None:
            return False
        frame = job.frames[number]
        self.state.send(
            self.state.front, "deliver", session=job.session, job=job.id, frame=number,
            path=str(output_path(self.state.spool.folder, job.id, number)), size=frame.size, crc=frame.crc,
            report=frame.report or {},
        )  # fmt: skip
        return True

    def report_progress(self) -> None:
        """Send the progress of jobs to their clients, each at most every `REPORT_S`."""
        now = self.state.now()
        waiting = [job for job in queue(self.state) if job.record.state == QUEUED]
        for position, job in enumerate(waiting, 1):
            if job.position != position:
                job.position, job.dirty = position, True
        for job in self.state.jobs.values():
            if job.dirty and job.session is not None and now - job.reported_s >= REPORT_S:
                self.state.push_state(job)

    def expire(self) -> None:
        """End jobs whose client stayed away, remove old ones, fail the youngest that found no space in time."""
        now, today, config = self.state.now(), time.time(), self.state.config
        for job in list(self.state.jobs.values()):
            if job.session is None and today - job.record.seen_s > config.detach_s:
                self.state.end(job, EXPIRED)
        for job_id, ended in list(self.state.ended.items()):
            too_many = len(self.state.ended) > ENDED_KEPT
            if too_many or today - (ended.record.ended_s or 0.0) > config.keep_s:
                self.state.forget(job_id)
        stuck = [job for job in self.state.jobs.values() if job.full_since_s is not None]
        for job in [job for job in stuck if job.bytes_of(1) > self._most_bytes(job)]:
            stuck.remove(job)
            self.state.end(job, FAILED, self._too_small(job, 1))
        # While any frames progress, space may become free, so waiting jobs just queue.
        moved = max((job.moved_s for job in self.state.jobs.values()), default=0.0)
        stuck = [job for job in stuck if now - max(job.full_since_s or 0.0, moved) > config.full_s]
        if stuck:
            self._fail_for_room(stuck)

    def _fail_for_room(self, stuck: List[Job]) -> None:
        """Fail the youngest of the jobs that found no space; the others wait again and get its share."""
        youngest = max(stuck, key=lambda job: job.record.created_s)
        for job in stuck:
            job.full_since_s = self.state.now()
        if youngest.bytes_of(youngest.frames_at_once()) > self._most_bytes(youngest):
            self.state.end(youngest, FAILED, self._too_small(youngest, youngest.frames_at_once()))
            return
        spool = self.state.spool
        most, full_s = self.state.users.limits(youngest.record.user).bytes, self.state.config.full_s
        error = SpoolFull(
            f"no room for more frames in {full_s:g} s: the server's spool holds "
            f"{spool.used_bytes >> 20} of {spool.budget_bytes >> 20} MiB, {spool.disk_free_bytes() >> 20} "
            "MiB of its disk can still be used"
            + (f"; your jobs may take {most >> 20} MiB together." if most else "."),
            fix="Try again when other jobs are done, or give the server more disk (--spool-bytes)"
            + (" or the user more of it (`harmovid keys limit`, --user-bytes)." if most else "."),
            retry_after_s=RETRY_AFTER_S,
        )
        self.state.end(youngest, FAILED, error)

    def _most_bytes(self, job: Job) -> int:
        """Return the space that a job could have if it were alone."""
        most = self.state.users.limits(job.record.user).bytes
        capacity = self.state.spool.capacity_bytes()
        return min(capacity, most) if most else capacity

    def _too_small(self, job: Job, frames: int) -> JobError:
        """Return the error of a job that has no room even if it is alone: trying again is of no use."""
        needed, most = -(-job.bytes_of(frames) // MIB), self._most_bytes(job)
        limited = most < self.state.spool.capacity_bytes()
        whose = "your part of the server's spool" if limited else "the server's spool"
        seen = f"{frames} frames, which the engine has to see at once," if frames > 1 else "one frame"
        limit = (
            "`harmovid keys limit NAME bytes=...`, --user-bytes" if limited else "--spool-bytes, and its disk"
        )
        return JobError(
            f"{whose} is too small for this job: it holds {most >> 20} MiB, and {seen} with inputs and result need "
            f"about {needed} MiB.",
            fix=f"The server needs a larger one ({limit}): {needed} MiB or more.",
        )


def disk_was_full(state: ServerState, job: Job) -> None:
    """Pause a job after something could not be written; `Prefetcher.expire` fails it after `full_s`."""
    _note_full(state, job)
    job.paused_until_s = state.now() + PAUSE_S


def _note_full(state: ServerState, job: Job) -> None:
    """Record since when a job has found no space, and report that to its client."""
    if job.full_since_s is None:
        job.full_since_s, job.dirty = state.now(), True
