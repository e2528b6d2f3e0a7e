"""One send from start to end: request the engine, render the inputs, run the job, load the results.

    run = send(group)                   # Nuke stays usable; the node follows
    wait(run)                           # `nuke -t` and scripts: until it is over

A worker thread talks to the server and transfers frames; the main thread does everything that uses the script
(`threads`). Whatever happens, arrived frames stay on disk with their record, and `resume` continues from there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import traceback
from typing import Any, Dict, List, Mapping, Optional

import nuke
from harmovid import JobFiles
from harmovid.errors import HarmoVidError, InputError, JobCancelled
from harmovid.frames import FrameRange
from harmovid.job import FOREGROUND_MATTE

from harmovid_nuke import (
    engine_cache,
    inputs,
    plan,
    private,
    readback,
    record,
    render,
    result_curve,
    status,
    threads,
)
from harmovid_nuke import node as nodes
from harmovid_nuke.partial import PartialJob
from harmovid_nuke.record import Record

LOOK_S = 0.1
SHOW_S = 0.5
"""Seconds between checks for a cancel, and between updates of the node by arriving frames."""

TITLES = {"harmonize": "Harmonize", "deflicker": "Deflicker"}
_runs: Dict[str, Run] = {}


class Run:
    """A running or finished send. The worker writes `record`, `reports` and `failures`; any thread may cancel."""

    def __init__(self, asked: Record, new: bool, redo: Optional[FrameRange] = None) -> None:
        """Store the request; `new` makes a version, otherwise the record's own is resumed."""
        self.record, self.new, self.redo = asked, new, redo
        self.node = asked.node
        self.reports: Dict[int, Mapping[str, Any]] = {}
        self.failures: Dict[int, str] = {}
        self.problems: List[str] = []
        self.error: Optional[BaseException] = None
        self.settings: Any = None
        self.engine: Any = None
        self.cancelled = threading.Event()
        self.thread = threading.Thread(target=_work, args=(self,), name=f"harmovid-{asked.node}", daemon=True)

    @property
    def over(self) -> bool:
        """Whether the worker has ended."""
        return not self.thread.is_alive()


def send(group: Any) -> Run:
    """Start a new version from the node's knobs.

    Raises:
        InputError: the knobs cannot be used as they are set, or the node is busy.
    """
    return _begin(group, Run(plan.make(group), new=True))


def resume(group: Any, redo: Optional[FrameRange] = None) -> Run:
    """Resume the version that the node shows: make the missing frames, or those of `redo`.

    Raises:
        InputError: there is no such version, or nothing to do.
    """
    found = nodes.record_of(group) if redo is not None else unfinished(group)
    if found is None:
        raise InputError(
            "no frame is missing.", fix="Press Send for a new version, or name frames to make again."
        )
    if redo is not None:
        outside = [frame for frame in redo if frame not in FrameRange.parse(found.wanted)]
        if outside:
            raise InputError(
                f"frames {FrameRange(outside)} are not of {found.wanted}.", fix="Send a wider range."
            )
    return go_on(group, found, redo)


def go_on(group: Any, found: Record, redo: Optional[FrameRange] = None) -> Run:
    """Run a version that has its folder: make the missing frames, or those of `redo`.

    Raises:
        InputError: the node is busy.
    """
    return _begin(group, Run(found, new=False, redo=redo))


def unfinished(group: Any) -> Optional[Record]:
    """Return a version that lacks frames: the one shown, else the newest on disk; None if there is no such version.

    A Nuke that was killed has not saved its script, but the record is in the version's folder.
    """
    shown = nodes.record_of(group)
    try:
        found = record.versions(plan.folder_of(group))
    except InputError:
        found = []
    for each in ([shown] if shown is not None else []) + found[:1]:
        if each.state in record.OPEN_STATES and each.missing():
            return each
    return None


def _begin(group: Any, run: Run) -> Run:
    busy = of(group)
    if busy is not None:
        raise InputError("the node is busy with a job.", fix="Wait for it, or press Cancel.")
    run.settings = private.settings_of(run.record.server, run.record.key)
    _runs[run.node] = run
    status.tell(group, "Asking the server ...", status.BUSY)
    run.thread.start()
    return run


def of(group: Any) -> Optional[Run]:
    """Return the running send of a node."""
    run = latest(group)
    return run if run is not None and not run.over else None


def latest(group: Any) -> Optional[Run]:
    """Return the last send of a node in this session, running or finished."""
    return _runs.get(group.fullName())


def under_way() -> List[Run]:
    """Return all running sends."""
    return [run for run in _runs.values() if not run.over]


def cancel(group: Any) -> None:
    """Stop a node's job; frames that have arrived stay.

    Raises:
        InputError: the node has no running job.
    """
    run = of(group)
    if run is None:
        raise InputError("no job is under way.", fix="")
    run.cancelled.set()
    status.tell(group, "Stopping ...", status.BUSY)


def wait(run: Run) -> Run:
    """Wait in the main thread of a `nuke -t` until a run is over; Ctrl-C cancels it. Raises what went wrong.

    Raises:
        HarmoVidError: the job failed.
    """
    try:
        threads.serve(lambda: run.over)
    except KeyboardInterrupt:
        run.cancelled.set()
        threads.serve(lambda: run.over)
        raise
    if run.error is not None:
        raise run.error
    return run


def _work(run: Run) -> None:
    """The worker thread's function: everything except the main thread's part. It raises nothing."""
    try:
        with private.connected(run.settings) as client:
            run.engine = client.engine(run.record.engine)
            engine_cache.keep(run.record.kind, run.engine)
            run.record = threads.Ask(_in_main, run).wait()
            _jobs(run, client)
    except HarmoVidError as error:
        run.error = error
    except BaseException as error:  # the thread's outermost level
        run.error = error
        traceback.print_exc()
    with contextlib.suppress(HarmoVidError):  # on a full disk the results matter more than their reports
        _settle(run)
    threads.later(_finish, run)


def _in_main(run: Run) -> Record:
    """Render the frames to send, and return the record in its version's folder. In the main thread.

    Raises:
        HarmoVidError: it cannot be rendered, or the artist stopped it.
    """
    if run.cancelled.is_set():
        raise JobCancelled("the job was cancelled.")
    group = nodes.find(run.node)
    nodes.take_engine(group, run.engine)
    if run.new:
        nodes.upgrade(group)
        # The engine may take other inputs than it did when the node was connected last.
        run.record = plan.placed(plan.with_inputs(group, run.record))
        run.problems = _doubts(group, run.engine)
    else:
        run.record = run.record.save(state=record.RUNNING, message="")
        run.problems = _changed_since(group, run.record)
    group["job_data"].setValue(nodes.packed(run.record))
    status.tell(group, "Rendering the inputs ...", status.BUSY)
    run.problems += render.render(group, run.record, run.engine)
    readback.history(group, run.record)
    status.tell(group, "Sending ...", status.BUSY)
    return run.record


def _changed_since(group: Any, found: Record) -> List[str]:
    """Return a sentence if the inputs have changed since a version was sent, whose frames that are left then go.

    Else the engine would see frames of two states as one shot.
    """
    if nodes.fits(group, found):
        return []
    shutil.rmtree(os.path.join(found.folder, record.INPUTS), ignore_errors=True)
    return [
        "The inputs have changed since this version was sent: the new frames are of the inputs as they are now."
    ]


def _doubts(group: Any, engine: Any) -> List[str]:
    """Return sentences on connections that are most likely not meant."""
    found = inputs.connected(group)
    said = [f"The engine {engine.name} does not use the input {name}." for name in found.unused]
    same = inputs.same_as_background(group, found, engine.layers)
    return said + [f"{name} is the same node as the background." for name in same]


def _jobs(run: Run, client: Any) -> None:
    bar = Bar(run)
    for view in run.record.views:
        bar.view = view
        _job(run, client, view, bar)


def _job(run: Run, client: Any, view: str, bar: Bar) -> None:
    """Run one view's job to its end.

    Raises:
        HarmoVidError: it failed or was cancelled.
    """
    job = _prepared(run, client, view)
    shown_at = 0.0

    def arrived(frame: int, report: Mapping[str, Any]) -> None:
        nonlocal shown_at
        run.reports[frame] = report
        if time.monotonic() - shown_at > SHOW_S:
            shown_at = time.monotonic()
            # The folder is listed here: on slow storage Nuke must not wait for it.
            threads.later(_follow, run, run.record.present())

    handle = client.start(job, on_result=arrived)
    while not handle.wait(LOOK_S):
        if run.cancelled.is_set() or bar.cancelled():
            handle.cancel()
        bar.update(handle.progress)
    bar.update(handle.progress)
    result = handle.result()
    run.failures.update({frame: error.message for frame, error in result.failed.items()})


def _prepared(run: Run, client: Any, view: str) -> Any:
    # In the engine's order and not the record's, because another order would be another job.
    known = [layer.name for layer in run.engine.layers]
    wanted = sorted(run.record.inputs, key=lambda name: known.index(name) if name in known else len(known))
    files = {layer: run.record.sent(layer, view) for layer in wanted}
    options = {name: value for name, value in run.record.options.items() if value is not None}
    job = JobFiles.prepare(
        run.engine,
        files,
        run.record.result(view),
        frames=run.record.wanted,
        context=run.record.frames,
        shot=run.record.shot,
        options=options,
        output="fg",
        field=True,
        # Where there is no alpha, a matte of its own cannot have been multiplied in.
        premultiplied=run.record.has_alpha or FOREGROUND_MATTE not in run.record.layers,
        overwrite=True,
        label=run.record.label,
        roots=client.roots,
    )
    run.problems += [warning for warning in job.warnings if "replaced" not in warning]
    return job if run.new else PartialJob(job, run.redo)


class Bar:
    """Nuke's progress bar for a run, owned by its worker; a terminal gets lines."""

    def __init__(self, run: Run) -> None:
        """Open it."""
        title = f"{TITLES[run.record.kind]} {run.node}"
        self._task = nuke.ProgressTask(title) if nuke.GUI else None
        self._title, self._said = title, ""
        self.view = ""

    def cancelled(self) -> bool:
        """Return whether the artist pressed its Cancel."""
        return self._task is not None and bool(self._task.isCancelled())

    def update(self, progress: Any) -> None:
        """Show the progress of a job."""
        text = f"{progress.delivered} of {progress.total} frames"
        if progress.queue_position:
            text = f"waiting, number {progress.queue_position} in the queue"
        text = " ".join(each for each in (self.view, progress.message or text) if each)
        if self._task is not None:
            self._task.setMessage(text)
            self._task.setProgress(100 * progress.delivered // max(progress.total, 1))
        elif text != self._said:
            print(f"{self._title}: {text}", flush=True)  # noqa: T201
        self._said = text


def _follow(run: Run, present: FrameRange) -> None:
    """Show the frames that have arrived. In the main thread."""
    group = nodes.find(run.node, missing_ok=True)
    if group is not None and not run.over:
        readback.show(group, run.record, present)
        total = len(FrameRange.parse(run.record.wanted))
        status.tell(group, f"{len(present)} of {total} frames are here ...", status.BUSY)


def _settle(run: Run) -> None:
    """Save how it ended, and remove sent frames that are not needed any more."""
    if not os.path.isfile(os.path.join(run.record.folder, record.RECORD)):
        return
    if run.reports:
        pattern = run.record.result(run.record.views[0])
        run.record.save_reports({n: result_curve.noted(pattern, n, said) for n, said in run.reports.items()})
    missing = run.record.missing()
    if run.error is None:
        state = record.PARTLY if missing else record.DONE
    else:
        state = record.CANCELLED if isinstance(run.error, JobCancelled) else record.FAILED
    message = "" if run.error is None else status.words_of(run.error)
    run.record = run.record.save(state=state, message=message)
    if state == record.DONE:
        _tidy(run.record)


def _tidy(done: Record) -> None:
    """Remove the frames that were sent for a finished version, and for older ones that are not running."""
    record.remove_leftovers(done.folder)
    for each in record.versions(os.path.dirname(done.folder)):
        if each.version <= done.version and each.state != record.RUNNING and not each.keep_inputs:
            shutil.rmtree(os.path.join(each.folder, record.INPUTS), ignore_errors=True)


def _finish(run: Run) -> None:
    """Show the outcome. In the main thread."""
    group = nodes.find(run.node, missing_ok=True)
    if group is None:
        return
    if os.path.isfile(os.path.join(run.record.folder, record.RECORD)):
        _show_end(group, run)
    if run.error is not None:
        status.tell(group, _last_words(run), status.BAD)


def _show_end(group: Any, run: Run) -> None:
    present = readback.show(group, run.record)
    if not run.new:  # files of the same names have other frames now, which Nuke does not notice
        readback.reload(group)
    readback.curves(group, run.record)
    readback.history(group, run.record)
    review = readback.summary(group, run.record, run.failures)
    with readback.quietly():
        group["upstream"].setValue(run.record.upstream)
        group["stale"].setValue(False)
    total = len(FrameRange.parse(run.record.wanted))
    version = os.path.basename(run.record.folder)
    text = f"{version}: {len(present)} of {total} frames. Worth a look: {review}."
    more = " ".join(run.problems)
    colour = status.GOOD if len(present) == total else status.OLD
    status.tell(group, f"{text} {more}".strip(), colour)


def _last_words(run: Run) -> str:
    words = status.words_of(run.error) if run.error is not None else ""
    here = len(run.record.present()) if run.record.version else 0
    if not here:
        return words
    return f"{words} {here} frames are here; press Missing on the History tab to go on."
