"""The first step of a start: restore the jobs from the store and the spool.

However the last server ended (a restart, kill -9), renamed files are complete, because the kernel has their pages. Only
a power cut or a crash of the kernel can lose bytes; a changed boot id shows that, and then files are compared with
their checksums. Missing files are requested again: the client still has them.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from harmovid.frames import FrameRange
from harmovid.job import ACTIVE_STATES, Progress

from harmovid_server.logs import about
from harmovid_server.main import placement
from harmovid_server.main.jobs import Job, restore_frames
from harmovid_server.main.state import Ended, ServerState
from harmovid_server.main.store import ACKED, COMPUTED, DEAD, RECEIVED, WANT, FrameRecord, JobRecord
from harmovid_server.spool import file_is, input_path, job_folder, output_path

log = logging.getLogger("harmovid.main")

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def recover(state: ServerState) -> None:
    """Load the state from the store, and make the spool consistent with it."""
    boot = BOOT_ID.read_text(encoding="ascii").strip()
    same_boot = state.store.meta("boot_id") == boot
    state.store.put_meta("boot_id", boot)
    records = state.store.jobs()
    active = [record for record in records if record.state in ACTIVE_STATES]
    state.spool.remove_leftovers(record.spec.job_id for record in active)
    state.history.restore(record.spec.job_id for record in records)
    for record in records:
        if record.state not in ACTIVE_STATES:
            state.ended[record.spec.job_id] = _ended(state, record)
    for record in active:
        # Its client could not connect while the server was down.
        record.seen_s = time.time()
        job = Job(record, None)
        state.jobs[job.id] = job
        state.spool.make_job(job.id)
        lost = _restore(state, job, same_boot)
        state.keep(job)
        log.info("job taken up", extra=about(job=job.id, user=record.user, lost=lost, **dict(job.counts)))
        state.finish_if_over(job)
    state.follow_keys()
    state.flush()
    state.delete_unused()


def _ended(state: ServerState, record: JobRecord) -> Ended:
    counts = state.store.counts(record.spec.job_id)
    acked, dead = counts.get(ACKED, 0), counts.get(DEAD, 0)
    computed = acked + counts.get(COMPUTED, 0)
    return Ended(
        record,
        Progress(
            job_id=record.spec.job_id,
            state=record.state,
            total=len(FrameRange.parse(record.spec.frames)),
            received=computed + counts.get(RECEIVED, 0),
            computed=computed,
            delivered=acked,
            failed=dead,
        ),
    )


def _restore(state: ServerState, job: Job, same_boot: bool) -> int:
    """Restore a job's frames as far as their files exist; return how many files were lost."""
    lost, lost_results = 0, 0
    records = state.store.frames(job.id)
    for number, record in records.items():
        lost += _check_inputs(state, job, number, record, same_boot)
        if number in job.context:
            continue
        if record.state == COMPUTED:
            path = output_path(state.spool.folder, job.id, number)
            if file_is(path, record.size, None if same_boot else record.crc):
                state.spool.add(path, record.size)
                job.result_bytes = max(record.size, job.result_bytes)
            else:
                lost_results += 1
                record.state = WANT
        if record.state in (WANT, RECEIVED):
            record.state = RECEIVED if len(record.inputs) == len(job.spec.layers) else WANT
            state.store.put_frame(job.id, number, record)
    restore_frames(job, records)
    if lost_results or not same_boot:
        # The engine's checkpoint may be later than a result that has to be made again.
        (job_folder(state.spool.folder, job.id) / "state.npz").unlink(missing_ok=True)
    _remove_unknown_files(state, job, same_boot)
    return lost + lost_results


def _check_inputs(state: ServerState, job: Job, number: int, record: FrameRecord, same_boot: bool) -> int:
    lost = 0
    for layer, (size, crc) in list(record.inputs.items()):
        path = input_path(state.spool.folder, job.id, layer, number)
        if file_is(path, size, None if same_boot else crc):
            state.spool.add(path, size)
        else:
            del record.inputs[layer]
            lost += 1
    if lost:
        state.store.drop_inputs(job.id, number)
        for layer, (size, crc) in record.inputs.items():
            state.store.put_input(job.id, number, layer, size, crc)
    return lost


def _remove_unknown_files(state: ServerState, job: Job, same_boot: bool) -> None:
    """Remove files that the store does not know; results that were not yet reported are kept and counted."""
    folder = job_folder(state.spool.folder, job.id)
    if same_boot:
        placement.adopt_results(state, job)
    known = {
        input_path(state.spool.folder, job.id, layer, number)
        for number, frame in job.frames.items()
        for layer in frame.inputs
    } | {output_path(state.spool.folder, job.id, number) for number in job.in_states(COMPUTED)}
    for path in [*(folder / "in").iterdir(), *(folder / "out").iterdir()]:
        if path not in known:
            path.unlink()
