"""Answers to requests of clients, and the handling of a frame's third RESULT_BAD.

Every function takes the state, the requester and the checked body, and returns (type, body) of the answer. An error of
`harmovid.errors` raised here becomes the REJECT.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from harmovid.errors import (
    EngineUnknown,
    FrameMissing,
    HarmoVidError,
    InputError,
    JobConflict,
    JobUnknown,
    PatternError,
    ServerBusy,
    ServerDraining,
    SpoolFull,
)
from harmovid.frames import FrameRange
from harmovid.job import CANCELLED, QUEUED, JobSpec
from harmovid.transport import wire

from harmovid_server import metric_list as names
from harmovid_server.fetch.roots import Roots
from harmovid_server.logs import about
from harmovid_server.main.jobs import Job
from harmovid_server.main.placement import restart
from harmovid_server.main.state import Ended, ServerState
from harmovid_server.main.store import ACKED, COMPUTED, DEAD, RECEIVED, WANT, JobRecord

log = logging.getLogger("harmovid.main")

Body = Dict[str, Any]
Answer = Tuple[str, Body]

BUSY_RETRY_S = 30.0
DRAINING_RETRY_S = 60.0

NAMELESS = 10
"""Characters of a key that are shown instead of a name if the key is not listed any more, as in the logs."""

SPEC_TEXT = 256 * 1024
"""Characters of ranges in a specification that is sent back: with all else that it may hold, below one payload."""

HOLD_S = 1.0
"""After a known job is submitted again, nothing is requested for this long: RESUME will say what the client has."""


@dataclass(frozen=True)
class Requester:
    """The sender of a request: the front's session, and the user (the client's public key, or "" without keys)."""

    session: bytes
    user: str


def answer(state: ServerState, requester: Requester, kind: str, body: Body) -> Optional[Answer]:
    """Return the answer to one request, or None if it has no answer."""
    try:
        return _ANSWERS[kind](state, requester, body)
    except HarmoVidError as error:
        state.tally.count(names.ERRORS, "request", error.code)
        if kind == "SUBMIT":
            spec = body["spec"]
            facts = {"job": spec["job_id"], "engine": spec["engine"], "error": error.code}
            state.audit("refused", requester.user, **facts)
        return "REJECT", {"error": wire.error_body(error)}


def _engines(state: ServerState, _asker: Requester, _body: Body) -> Answer:
    return "ENGINE_LIST", {"engines": [info.to_dict() for info in state.engines.values()]}


def _status(state: ServerState, requester: Requester, body: Body) -> Answer:
    everybody = _is_admin(state, requester)
    rows: List[Tuple[JobRecord, Body]] = [
        (job.record, {**wire.progress_body(job.progress()), "connected": job.session is not None})
        for job in state.jobs.values()
        if everybody or job.record.user == requester.user
    ]
    rows += [
        (ended.record, {**wire.progress_body(ended.progress), "connected": False})
        for ended in state.ended.values()
        if everybody or ended.record.user == requester.user
    ]
    if "job" in body:
        rows = [row for row in rows if row[0].spec.job_id == body["job"]]
        if not rows:
            raise _unknown(body["job"])
    rows.sort(key=lambda row: row[0].created_s, reverse=True)
    now = time.time()
    jobs = [
        {
            **progress,
            "engine": record.spec.engine,
            "label": record.spec.label,
            "age_s": max(now - record.created_s, 0.0),
            "user": state.name_of(record.user) or record.user[:NAMELESS],
        }
        for record, progress in rows[: wire.JOBS_LISTED]
    ]
    if "job" in body:
        spec = rows[0][0].spec
        if len(spec.frames) + len(spec.context) <= SPEC_TEXT:
            jobs[0]["spec"] = spec.to_dict()
    return "JOBS", {"jobs": jobs}


def _submit(state: ServerState, requester: Requester, body: Body) -> Answer:
    spec = JobSpec.from_dict(body["spec"])
    known = state.jobs.get(spec.job_id) or state.ended.get(spec.job_id)
    if known is not None:
        if known.record.user != requester.user or known.record.spec != spec:
            raise JobConflict(
                f"job {spec.job_id} exists already with another specification.",
                fix="Submit with a new job id.",
            )
        if isinstance(known, Ended):
            return "ACCEPT", wire.progress_body(known.progress)
        if known.session != requester.session:
            state.attach(known, requester.session)
            known.asks_at_s = state.now() + HOLD_S
        return "ACCEPT", wire.progress_body(known.progress())
    record = JobRecord(spec, requester.user, QUEUED, created_s=time.time(), seen_s=time.time())
    job = Job(record, _admit(state, requester.user, spec))
    job.session = requester.session
    try:
        state.add(job)
    except OSError as error:
        raise SpoolFull(
            f"the server cannot make room for the job: {error.strerror}.", retry_after_s=BUSY_RETRY_S
        ) from error
    return "ACCEPT", wire.progress_body(job.progress())


def _admit(state: ServerState, user: str, spec: JobSpec) -> Any:
    """Return the engine's description; raise if the job is invalid or cannot be accepted now."""
    if state.draining:
        raise ServerDraining("the server is shutting down.", retry_after_s=DRAINING_RETRY_S)
    info = state.engines.get(spec.engine)
    if info is None:
        raise EngineUnknown(
            f"there is no engine {spec.engine!r} here.", fix="There are " + ", ".join(state.engines) + "."
        )
    info.check_options(spec.options)
    info.check_layers(spec.layers)
    if len(set(spec.layers)) != len(spec.layers) or not spec.layers:
        raise InputError("the job's layers are not each there once.", fix="Name each input once.")
    for name in ("shared", "colorspace", "exr_layers", "matte_channels"):
        if not set(getattr(spec, name)) <= set(spec.layers):
            raise InputError(f"{name} names an input that the job does not have.")
    for source in spec.shared.values():
        Roots(state.config.roots).check(source)
    count = len(FrameRange.parse(spec.frames))
    seen = count + (len(FrameRange.parse(spec.context)) if spec.context else 0)
    if not 0 < count <= seen <= wire.FRAMES_PER_JOB:
        raise PatternError(f"the job has {seen} frames.", fix=f"It may have 1 to {wire.FRAMES_PER_JOB}.")
    state.read_keys()
    own = [job for job in state.jobs.values() if job.record.user == user]
    state.users.check(user, len(own), sum(job.not_back for job in own), count)
    waiting = sum(1 for job in state.jobs.values() if job.worker is None)
    slots = state.config.active_jobs * max(len(state.workers), 1)
    free = slots - sum(len(slot.jobs) for slot in state.workers.values())
    if waiting >= state.config.queued_jobs + free:
        raise ServerBusy(
            f"{waiting} jobs are waiting already.", fix="Try again later.", retry_after_s=BUSY_RETRY_S
        )
    return info


def _resume(state: ServerState, requester: Requester, body: Body) -> Answer:
    have = wire.unpack_have(body["have"])
    ended = state.ended.get(body["job"])
    if ended is not None and ended.record.user == requester.user:
        return _resume_ended(state, requester, ended, have)
    job = _own(state, requester, body["job"])
    state.attach(job, requester.session)
    job.asks_at_s = 0.0
    surprises = [_settle(state, job, number, have.get(number)) for number in job.numbers]
    if any(surprises) and job.worker is not None:
        restart(state, job)
    for number in job.in_states(DEAD):
        state.push(
            job, "FRAME_FAILED", {"job": job.id, "frame": number, "error": job.frames[number].error or {}}
        )
    accepted = wire.progress_body(job.progress())
    state.push_state(job)
    state.finish_if_over(job)
    return "ACCEPT", accepted


def _settle(state: ServerState, job: Job, number: int, crc: Optional[int]) -> bool:
    """Update one frame by what the client has (`crc`, or None); return True if the job has to start again."""
    frame = job.frames.get(number)
    if frame is None and crc is None:
        return False
    frame = frame or job.frames[number]
    if frame.state == COMPUTED and crc == frame.crc:
        state.count_as_acked(job, number)
    elif frame.state in (WANT, RECEIVED) and crc is not None:
        # The store does not know these results, but the client has them: they count.
        state.release(job, number)
        state.count_as_acked(job, number)
        return True
    elif frame.state == ACKED and crc is None:
        # It was acknowledged and is gone from the client's disk: compute it again.
        state.want_again(job, number)
        return True
    return False


def _resume_ended(state: ServerState, requester: Requester, ended: Ended, have: Dict[int, int]) -> Answer:
    """Send the end of a job again: its failed frames and its final state."""
    job_id = ended.record.spec.job_id
    frames = state.store.frames(job_id)
    if any(record.state == ACKED and number not in have for number, record in frames.items()):
        raise JobUnknown(
            f"job {job_id} has ended, and results that it delivered are missing on your side.",
            fix="Submit it again with a new job id.",
        )
    for number, record in sorted(frames.items()):
        if record.state == DEAD:
            body = {"job": job_id, "frame": number, "error": record.error or {}}
            state.send(state.front, "push", session=requester.session, type="FRAME_FAILED", body=body)
    final = wire.progress_body(ended.progress)
    if ended.record.error:
        final["error"] = ended.record.error
    state.send(state.front, "push", session=requester.session, type="STATE", body=final)
    return "ACCEPT", wire.progress_body(ended.progress)


def _cancel(state: ServerState, requester: Requester, body: Body) -> Answer:
    _may_see(state, requester, body["job"])
    job = state.jobs.get(body["job"])
    if job is not None:
        if job.record.user != requester.user:
            owner = state.name_of(job.record.user) or None
            state.audit("cancelled by an administrator", requester.user, job=job.id, owner=owner)
        state.end(job, CANCELLED)
    return "ACCEPT", wire.progress_body(state.ended[body["job"]].progress)


def _retry(state: ServerState, requester: Requester, body: Body) -> Answer:
    """Put the failed frames of a job that has not ended back: they are requested and computed as if they were new."""
    _may_see(state, requester, body["job"])
    job = state.jobs.get(body["job"])
    if job is None:
        return "ACCEPT", wire.progress_body(state.ended[body["job"]].progress)
    failed = list(job.in_states(DEAD))
    if failed:
        for number in failed:
            state.want_again(job, number)
        # A new attempt, so that nothing that the present one still says can reach these frames. Without its
        # checkpoint, since that may be beyond them.
        restart(state, job)
        state.tally.count(names.FRAMES, "retried", by=len(failed))
        state.audit(
            "retried", requester.user, job=job.id, frames=len(failed), owner=_owner(state, requester, job)
        )
        state.moved(job)
        log.info("failed frames retried", extra=about(job=job.id, user=job.record.user, frames=len(failed)))
    return "ACCEPT", wire.progress_body(job.progress())


def _owner(state: ServerState, requester: Requester, job: Job) -> Optional[str]:
    """Return the name of a job's user for the audit log; None where it is the requester."""
    return None if job.record.user == requester.user else state.name_of(job.record.user) or None


def _frames(state: ServerState, requester: Requester, body: Body) -> Answer:
    _may_see(state, requester, body["job"])
    owner = (state.jobs.get(body["job"]) or state.ended[body["job"]]).record.user
    if owner != requester.user and not body.get("at"):
        named = state.name_of(owner) or None
        state.audit("looked at by an administrator", requester.user, job=body["job"], owner=named)
    frames, at = state.history.read(body["job"], body.get("at", 0))
    return "FRAME_LIST", {"job": body["job"], "at": at, "frames": frames}


def _preview(state: ServerState, requester: Requester, body: Body) -> Answer:
    _may_see(state, requester, body["job"])
    data = state.history.preview(body["job"], body["frame"], body["side"])
    if not data or len(data) > wire.PAYLOAD_BYTES:
        raise FrameMissing("there is no preview of it.", frame=body["frame"])
    return "PREVIEW_DATA", {"job": body["job"], "frame": body["frame"], "data": data}


def _workers(state: ServerState, requester: Requester, _body: Body) -> Answer:
    rows = [
        {
            "name": name,
            "engines": list(slot.engines),
            "running": len(slot.jobs),
            "jobs": [job for job in sorted(slot.jobs) if _is_visible(state, requester, job)],
        }
        for name, slot in sorted(state.workers.items())
    ]
    return "WORKER_LIST", {"workers": rows}


def _is_visible(state: ServerState, requester: Requester, job_id: str) -> bool:
    """Return whether a user may see a job: their own, or any with an administrator's key."""
    known = state.jobs.get(job_id) or state.ended.get(job_id)
    return known is not None and (known.record.user == requester.user or _is_admin(state, requester))


def _is_admin(state: ServerState, requester: Requester) -> bool:
    state.read_keys()
    return state.users.is_admin(requester.user)


def _may_see(state: ServerState, requester: Requester, job_id: str) -> None:
    """Raise `JobUnknown` if a job does not exist or the user may not see it."""
    if not _is_visible(state, requester, job_id):
        raise _unknown(job_id)


def _result_bad(state: ServerState, requester: Requester, body: Body) -> None:
    job = _own(state, requester, body["job"])
    if job.session == requester.session and body["frame"] in job.numbers:
        state.fail_frame(job, body["frame"], body["error"])


def _own(state: ServerState, requester: Requester, job_id: str) -> Job:
    job = state.jobs.get(job_id)
    if job is None or job.record.user != requester.user:
        raise _unknown(job_id)
    return job


def _unknown(job_id: str) -> JobUnknown:
    return JobUnknown(
        f"there is no job {job_id} of yours.", fix="It may have expired; submit it again with a new job id."
    )


_ANSWERS: Dict[str, Callable[[ServerState, Requester, Body], Optional[Answer]]] = {
    "ENGINES": _engines,
    "STATUS": _status,
    "SUBMIT": _submit,
    "RESUME": _resume,
    "CANCEL": _cancel,
    "RETRY": _retry,
    "FRAMES": _frames,
    "PREVIEW": _preview,
    "WORKERS": _workers,
    "RESULT_BAD": _result_bad,
}
