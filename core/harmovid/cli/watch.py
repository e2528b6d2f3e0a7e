"""`harmovid watch FOLDER`: run the job files that are dropped into a folder, until it is stopped."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from pathlib import Path
from typing import Any, Dict, Mapping

from harmovid.cli import exits
from harmovid.cli.console import Console, ok_result
from harmovid.cli.events import JobEvents
from harmovid.cli.report import Outcome
from harmovid.client import connect
from harmovid.errors import InputError
from harmovid.job_files import JobFiles
from harmovid.settings import load_settings
from harmovid.storage.locks import LockedFile
from harmovid.watch import status as states
from harmovid.watch.run import JobEnd
from harmovid.watch.watcher import Watcher

LOCK = ".harmovid-watch.lock"
LONGEST_S = 86400
"""Most seconds between two scans."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Watch the folder; with `--once`, run what is there and end.

    Raises:
        InputError: there is no such folder, or another watcher runs in it.
        OutputError: the folder cannot be written.
    """
    folder = Path(args.folder)
    if not 0 < args.every <= LONGEST_S:  # false for NaN, too
        raise InputError(
            f"--every is {args.every:g}.", fix=f"It must be more than 0 seconds, at most {LONGEST_S}."
        )
    stopped = threading.Event()
    with connect(load_settings(args.server, args.key, args.map)) as client:
        watcher = Watcher(
            folder, client, console.note, listener=_Listener(console) if console.events else None
        )
        with LockedFile.take(str(folder / LOCK), "another watcher is at work in this folder"):
            _on_signals(watcher, stopped)
            console.note(f"watching {folder}; drop job files (docs/watch.md). Ctrl-C stops.")
            _watch(watcher, args, stopped)
    return _end(folder, console)


class _Listener:
    """Prints the events of each job, with the name of its job file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._jobs: Dict[Path, JobEvents] = {}
        self._outcomes: Dict[Path, Outcome] = {}
        self._begun_s: Dict[Path, float] = {}

    def started(self, path: Path, job: JobFiles) -> None:
        """Print the first event of a job."""
        events = self._jobs[path] = JobEvents(self._console, job_file=path.name)
        for warning in job.warnings:
            events.warning(warning)
        events.queued(job)
        outcome = Outcome(len(job.frames), job.spec.job_id, job.plan.out.text, resumed=len(job.resumed))
        outcome.remarks = list(job.warnings)
        self._outcomes[path], self._begun_s[path] = outcome, time.monotonic()

    def frame(self, path: Path, frame: int, report: Mapping[str, Any]) -> None:
        """Print the event of a result."""
        self._outcomes[path].frames[frame] = report
        self._jobs[path].frame(frame)

    def ended(self, path: Path, end: JobEnd) -> None:
        """Print the warnings that came late, and the event of the end, which may be the only event of a job."""
        outcome = self._outcomes.pop(path, Outcome(0))
        events = self._jobs.pop(path, JobEvents(self._console, job_file=path.name))
        for warning in end.warnings:
            if warning not in outcome.remarks:
                events.warning(warning)
        outcome.failures, outcome.error, outcome.state = dict(end.failed), end.error, end.state
        outcome.remarks = list(end.warnings)
        begun_s = self._begun_s.pop(path, None)
        outcome.seconds = time.monotonic() - begun_s if begun_s is not None else 0.0
        events.ended(outcome)


def _watch(watcher: Watcher, args: argparse.Namespace, stopped: threading.Event) -> None:
    """Scan the folder repeatedly; with `--once` until no job is ready."""
    idle = 0
    while not stopped.is_set():
        # A job is ready at the second scan at the earliest, because its files must not change between two scans.
        idle = 0 if watcher.step() else idle + 1
        if args.once and idle >= 2:
            return
        stopped.wait(args.every)


def _on_signals(watcher: Watcher, stopped: threading.Event) -> None:
    def stop(*_: Any) -> None:
        stopped.set()
        watcher.stop()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)


def _end(folder: Path, console: Console) -> int:
    """Print the states of all jobs and return the exit code."""
    found = {path.name: states.load(path) for path in sorted(folder.glob("*.job"))}
    told = {name: status.state for name, status in found.items() if status is not None}
    console.result(ok_result(jobs=told))
    if states.FAILED in told.values() or states.BLOCKED in told.values():
        return exits.JOB_FAILED
    return exits.FRAMES_FAILED if states.INCOMPLETE in told.values() else exits.OK
