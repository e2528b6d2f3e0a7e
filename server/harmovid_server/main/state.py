"""The server's state: all jobs, and the only place where they change.

A change of a job is four things at once: memory, store, spool and a message to somebody. The methods here do them
together. Nothing is sent before it is stored: `flush` commits the store and only then returns the messages;
`delete_unused` then deletes the files that are no longer needed, while the other processes already work on.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Tuple

from harmovid.errors import EngineFailed, HarmoVidError
from harmovid.job import DONE, EXPIRED, FAILED, EngineInfo, Progress
from harmovid.transport import wire

from harmovid_server import metric_list as names
from harmovid_server.config import Config
from harmovid_server.logs import about, short
from harmovid_server.main.audit import AuditLog
from harmovid_server.main.history import History
from harmovid_server.main.jobs import Job
from harmovid_server.main.store import ACKED, COMPUTED, DEAD, RECEIVED, WANT, JobRecord, Store
from harmovid_server.main.tally import Tally
from harmovid_server.main.users import Users, replaced
from harmovid_server.spool import Spool, file_is, input_path, output_path

log = logging.getLogger("harmovid.main")

Body = Dict[str, Any]
Outgoing = Tuple[str, str, Body]
"""(child name, op, fields): one message of the link."""


@dataclass
class WorkerSlot:
    """A worker as main sees it: the engines it offers and the jobs it runs."""

    engines: Dict[str, EngineInfo]
    jobs: Set[str] = field(default_factory=set)


@dataclass
class Ended:
    """A job that has ended, as it is remembered for `Config.keep_s`."""

    record: JobRecord
    progress: Progress


class ServerState:
    """Jobs, workers and the front, with the store and the spool behind them."""

    def __init__(
        self, config: Config, store: Store, spool: Spool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.config = config
        self.store = store
        self.spool = spool
        self.history = History(config.history_folder, config.history_bytes)
        self.now = now
        self.jobs: Dict[str, Job] = {}
        self.ended: Dict[str, Ended] = {}
        self.workers: Dict[str, WorkerSlot] = {}
        self.engines: Dict[str, EngineInfo] = {}
        self.front: Optional[str] = None
        self.fetcher: Optional[str] = None
        self.draining = False
        self.clients = 0
        self.tally = Tally()
        self.users = Users(config)
        self._former: Dict[str, str] = json.loads(store.meta("former_keys") or "{}")
        self._audit = AuditLog(config.audit_file)
        self._outbox: List[Outgoing] = []
        self._trash: Dict[Path, None] = {}  # used as an ordered set
        self._folders_to_drop: List[str] = []

    def outbox_size(self) -> int:
        """Return how many messages are queued: an index at which `send` can insert one later."""
        return len(self._outbox)

    def send(self, child: Optional[str], op: str, at: Optional[int] = None, **fields: Any) -> None:
        """Queue one link message. Without the child it is dropped: the next one gets the state when it starts."""
        if child is not None:
            self._outbox.insert(len(self._outbox) if at is None else at, (child, op, fields))

    def push(self, job: Job, kind: str, body: Body) -> None:
        """Send a job's client a message that does not answer a request."""
        if job.session is not None:
            self.send(self.front, "push", session=job.session, type=kind, body=body)

    def push_state(self, job: Job) -> None:
        """Send a job's progress to its client."""
        body = wire.progress_body(job.progress())
        if job.record.state == FAILED and job.record.error:
            body["error"] = job.record.error
        job.dirty, job.reported_s = False, self.now()
        self.push(job, "STATE", body)

    def audit(self, event: str, key: str, **facts: Any) -> None:
        """Note in the audit log who did what; `key` is the user's, "" without keys."""
        who = {"user": self.name_of(key) or None, "key": short(key) or None}
        if not self._audit.write(event, **{**who, **facts}):
            self.tally.count(names.AUDIT_LOST)

    def name_of(self, key: str) -> str:
        """Return the name of a user's key, also of one that was removed from the list but still has jobs; else ""."""
        return self.users.name(key) or self._former.get(key, "")

    def read_keys(self, force: bool = False) -> None:
        """Read the key list again where it has changed; jobs of a key that was replaced go over to the new one."""
        if self.users.read_if_changed(force):
            self.follow_keys()

    def follow_keys(self) -> None:
        """Compare the listed keys with those that were listed last: new ones, removed ones, replaced ones."""
        if not self.config.server_key:
            return
        before: Dict[str, str] = json.loads(self.store.meta("keys") or "{}")
        now = self.users.names()
        if before == now:
            return
        new_key = replaced(before, now)
        records = [job.record for job in self.jobs.values()] + [ended.record for ended in self.ended.values()]
        for record in records:
            if record.user in new_key:
                record.user = new_key[record.user]
                self.store.put_job(record)
        for key in now.keys() - before.keys():
            self.audit("key replaced" if key in new_key.values() else "key added", key)
        for key in before.keys() - now.keys() - new_key.keys():
            self.audit("key removed", key, user=before[key])
        owners = {record.user for record in records}
        former = {**self._former, **before}
        self._former = {key: name for key, name in former.items() if key in owners and key not in now}
        self.store.put_meta("former_keys", json.dumps(self._former))
        self.store.put_meta("keys", json.dumps(now))

    def fetch(self, job: Job, layer: str, number: int, limit: int) -> None:
        """Have one frame of a shared layer copied into the spool."""
        source = job.spec.shared[layer]
        self.send(self.fetcher, "fetch", job=job.id, layer=layer, frame=number, source=source, limit=limit)

    def flush(self) -> List[Outgoing]:
        """Commit the store, then return the messages that may now be sent."""
        self.store.commit()
        outbox, self._outbox = self._outbox, []
        return outbox

    def delete_unused(self) -> None:
        """Delete files that are no longer needed; the store has already recorded that."""
        for path in self._trash:
            self.spool.remove(path)
        for job in self._folders_to_drop:
            self.spool.remove_job(job)
        self._trash.clear()
        self._folders_to_drop.clear()

    def keep(self, job: Job) -> None:
        """Store a job's record as it now is."""
        self.store.put_job(job.record)

    def add(self, job: Job) -> None:
        """Take a new job."""
        self.spool.make_job(job.id)
        self.history.begin(job.id)
        self.jobs[job.id] = job
        job.moved_s = self.now()
        self.tally.count(names.SUBMITTED, job.spec.engine)
        facts = {"engine": job.spec.engine, "frames": len(job.numbers), "label": job.spec.label or None}
        self.audit("submitted", job.record.user, job=job.id, **facts)
        self.keep(job)
        log.info(
            "job taken",
            extra=about(
                job=job.id, user=job.record.user, engine=job.spec.engine, frames=len(job.numbers),
                label=job.spec.label or None,
            ),
        )  # fmt: skip

    def attach(self, job: Job, session: bytes) -> None:
        """Attach a job to a session; requests to and deliveries for an earlier session are dropped."""
        if job.session is not None and job.session != session:
            self.send(self.front, "forget", job=job.id)
            error = HarmoVidError("another connection has taken this job over.")
            body = {"scope": "job", "job": job.id, "error": wire.error_body(error)}
            self.push(job, "ERROR", body)
        if job.session != session:
            self._void(job)
        job.session = session
        job.record.seen_s = time.time()
        self.keep(job)

    def detach(self, job: Job) -> None:
        """Note that a job's client is away."""
        self._void(job)
        job.session = None
        job.record.seen_s = time.time()
        self.keep(job)
        log.info("job detached", extra=about(job=job.id, user=job.record.user))

    def _void(self, job: Job) -> None:
        for number, layer in job.detach():
            self._break_promise(job, number, layer)

    def void(self, job: Job, number: int, layer: str) -> None:
        """Note that one input will not come as requested."""
        self._break_promise(job, number, layer)
        job.ask_again(number, [layer])

    def _break_promise(self, job: Job, number: int, layer: str) -> None:
        self.spool.release_promise(input_path(self.spool.folder, job.id, layer, number))
        self.spool.release_promise(output_path(self.spool.folder, job.id, number))

    def expect(self, path: Path, size: int) -> None:
        """Reserve space for a file that is being requested.

        An earlier copy that is still to be deleted is deleted now: later, that could be the new one.
        """
        if path in self._trash:
            del self._trash[path]
            self.spool.remove(path)
        self.spool.promise(path, size)

    def end(self, job: Job, state: str, error: Optional[HarmoVidError] = None) -> None:
        """End a job: inform the client and the worker, drop its files."""
        job.record.state, job.record.ended_s = state, time.time()
        job.record.error = wire.error_body(error) if error else None
        self.tally.count(names.ENDED, state)
        self.audit(
            "ended", job.record.user, job=job.id, engine=job.spec.engine, frames=len(job.numbers), outcome=state,
            delivered=job.counts[ACKED], failed=job.counts[DEAD], error=error.code if error else None,
        )  # fmt: skip
        if error is not None:
            self.tally.count(names.ERRORS, "job", error.code)
        self.keep(job)
        self.push_state(job)
        if state != DONE:
            self.send(self.front, "forget", job=job.id)
        self.take_from_worker(job)
        self._folders_to_drop.append(job.id)
        self.store.drop_inputs(job.id)
        del self.jobs[job.id]
        self.ended[job.id] = Ended(job.record, job.progress())
        log.log(
            logging.WARNING if state in (FAILED, EXPIRED) else logging.INFO,
            "job " + state.lower(),
            extra=about(job=job.id, user=job.record.user, error=str(error) if error else None),
        )

    def take_from_worker(self, job: Job) -> None:
        """Stop a job in its worker, if it is in one. The job's folder stays."""
        if job.worker is not None:
            self.send(job.worker, "stop", job=job.id)
            if job.worker in self.workers:
                self.workers[job.worker].jobs.discard(job.id)
            job.worker = None

    def forget(self, job_id: str) -> None:
        """Forget a job that has ended."""
        del self.ended[job_id]
        self.store.drop_job(job_id)
        self.history.forget(job_id)

    def moved(self, job: Job) -> None:
        """Note progress: a frame moved to its next state. A new start in a worker is no progress."""
        job.moved_s = self.now()
        job.dirty = True

    def receive(self, job: Job, layer: str, number: int, size: int, crc: int) -> None:
        """Record that an input is complete in the spool; it is requested again if it has been deleted since."""
        frame = job.frames[number]
        path = input_path(self.spool.folder, job.id, layer, number)
        if not job.wants(number):
            # Sent twice (around a reconnect), or no longer wanted. A file in use was replaced by itself.
            if layer not in frame.inputs:
                self._trash[path] = None
            return
        self._trash.pop(path, None)
        if not file_is(path, size, None):
            # It had been requested twice, and was deleted as the earlier copy.
            self.void(job, number, layer)
            return
        frame.asked -= {layer}
        frame.inputs[layer] = size
        self.tally.count(names.BYTES, "in", by=size)
        self.spool.add(path, size)
        self.store.put_input(job.id, number, layer, size, crc)
        job.layer_bytes[layer] = max(size, job.layer_bytes.get(layer, 0))
        job.full_since_s = None
        self.moved(job)
        if len(frame.inputs) < len(job.spec.layers):
            return
        if number in job.to_show:
            job.to_show.discard(number)
        else:
            job.set_state(number, RECEIVED)
            self._step(job, number, "received", "receive")
            self.store.put_frame(job.id, number, frame.record())
            # Now that a size is known, the room kept for the result can be what it is likely to need.
            self.spool.promise(output_path(self.spool.folder, job.id, number), job.guess_result_bytes())
        self.send(job.worker, "ready", job=job.id, frame=number)

    def compute(
        self, job: Job, number: int, size: int, crc: int, report: Body, preview_bytes: int = 0
    ) -> None:
        """Record that a result is complete in the spool, and `preview_bytes` of pictures in the history."""
        path = output_path(self.spool.folder, job.id, number)
        if job.frames[number].state not in (WANT, RECEIVED):
            # A restarted worker may do again what was done: the copy that the client has counts.
            if job.frames[number].state != COMPUTED:
                self._trash[path] = None
            return
        frame = job.frames[number]
        frame.size, frame.crc, frame.report = size, crc, report
        job.set_state(number, COMPUTED)
        self._step(job, number, "computed")
        self.store.put_frame(job.id, number, frame.record())
        self.spool.add(path, size)
        line: Body = {"frame": number, "state": "computed", "report": report}
        self.history.note(job.id, {**line, "previews": True} if preview_bytes else line, preview_bytes)
        job.result_bytes = max(size, job.result_bytes)
        job.proven = True
        if job.record.crashes:
            job.record.crashes = 0
            self.keep(job)
        self.moved(job)

    def _step(self, job: Job, number: int, step: str, stage: str = "") -> None:
        """Count a step of a frame, and how long its last stage took where that began in this server."""
        frame, now = job.frames[number], self.now()
        self.tally.count(names.FRAMES, step)
        if stage and frame.since_s:
            self.tally.time(names.STAGES, now - frame.since_s, stage, job.spec.engine)
        frame.since_s = now

    def ack(self, job: Job, number: int) -> None:
        """Record that the client has a result safely on its disk."""
        if job.frames[number].state != COMPUTED:
            return
        self._step(job, number, "delivered", "deliver")
        self.tally.count(names.BYTES, "out", by=job.frames[number].size)
        self.count_as_acked(job, number)
        self.finish_if_over(job)

    def count_as_acked(self, job: Job, number: int) -> None:
        """Count a frame as being with the client, whatever it was before."""
        job.set_state(number, ACKED)
        self.store.put_frame(job.id, number, job.frames[number].record())
        self._trash[output_path(self.spool.folder, job.id, number)] = None
        self.moved(job)

    def want_again(self, job: Job, number: int) -> None:
        """Have a finished frame computed again: its result is lost, or it failed and is tried once more."""
        job.set_state(number, WANT)
        frame = job.frames[number]
        frame.error = None
        if len(frame.inputs) == len(job.spec.layers):
            job.set_state(number, RECEIVED)
        self.store.put_frame(job.id, number, frame.record())

    def fail_frame(self, job: Job, number: int, error: Body, by_worker: bool = False) -> None:
        """Record that one frame has failed; its neighbours are not affected."""
        if number in job.to_show:
            self.cannot_show(job, number)
        if job.frames[number].state not in (WANT, RECEIVED, COMPUTED):
            return
        frame = job.frames[number]
        frame.error = {**error, "frame": number}
        self.tally.count(names.FRAMES, "failed")
        self.tally.count(names.ERRORS, "frame", str(error.get("code", "error")))
        job.set_state(number, DEAD)
        self.store.put_frame(job.id, number, frame.record())
        self.history.note(job.id, {"frame": number, "state": "failed", "error": frame.error})
        self._trash[output_path(self.spool.folder, job.id, number)] = None
        self.release(job, number)
        if not by_worker:
            self.send(job.worker, "absent", job=job.id, frame=number)
        self.push(job, "FRAME_FAILED", {"job": job.id, "frame": number, "error": frame.error})
        self.moved(job)
        log.warning(
            "frame failed",
            extra=about(
                job=job.id, user=job.record.user, frame=number, attempt=job.record.attempt,
                error=error.get("message"),
            ),
        )  # fmt: skip
        self.finish_if_over(job)

    def show(self, job: Job, numbers: Iterable[int]) -> None:
        """Have the engine see these frames that have no open result, and no others of that kind."""
        for number in job.show(numbers):
            self.release(job, number)

    def cannot_show(self, job: Job, number: int) -> None:
        """Tell the worker that a frame without an open result cannot be seen; the job goes on without it."""
        job.shown(number)
        self.release(job, number)
        self.send(job.worker, "absent", job=job.id, frame=number)
        self.moved(job)

    def release(self, job: Job, number: int) -> None:
        """Delete the inputs of a frame; one that is still on its way is deleted when it arrives."""
        for layer in job.spec.layers:
            path = input_path(self.spool.folder, job.id, layer, number)
            self.spool.release_promise(path)
            if layer in job.frames[number].inputs:
                self._trash[path] = None
        job.frames[number].inputs.clear()
        self.store.drop_inputs(job.id, number)

    def release_if_done(self, job: Job, number: int) -> None:
        """Delete the inputs of a frame, unless its result is still to be computed."""
        if job.frames[number].state not in (WANT, RECEIVED):
            job.shown(number)
            self.release(job, number)

    def finish_if_over(self, job: Job) -> None:
        """End a job when every frame is with the client or has failed."""
        if not job.over or not job.active:
            return
        if job.counts[ACKED]:
            self.end(job, DONE)
            return
        number = job.numbers[0]
        first = job.frames[number].error or {}
        where = f"{number} of {first['layer']}" if first.get("layer") else str(number)
        error = EngineFailed(
            f"every frame failed; the first one, {where}: {first.get('message', 'unknown')}",
            fix=str(first.get("fix", "")),
        )
        self.end(job, FAILED, error)
