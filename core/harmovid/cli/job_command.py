"""`harmovid deflicker` and `harmonize`: from the command line to frames on disk; with `check`, only checks.

The command line is read in two stages: first which server to ask, then all of it, with the engine's inputs and
options. It becomes the arguments of `JobFiles.prepare`; the job's outcome becomes text, JSON and an exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from pathlib import Path
from typing import Any, Mapping, Sequence

from harmovid.cli import diagnostics, parser, progress
from harmovid.cli.arguments import map_remark, ocio_remark, prepare, refuse_empty
from harmovid.cli.cancel import CancelOnInterrupt
from harmovid.cli.console import Console, describe
from harmovid.cli.engine_choice import Choice, ask_engine, stand_in
from harmovid.cli.events import JobEvents
from harmovid.cli.report import Outcome, check_place
from harmovid.client import connect
from harmovid.errors import HarmoVidError
from harmovid.job_files import JobFiles
from harmovid.settings import Settings, load_settings

# How long the main thread waits at a time; Ctrl-C is handled between two waits.
WAIT_S = 0.2


def run(words: Sequence[str], task: str, dry: bool, console: Console) -> int:
    """Run or check one job command.

    Args:
        words: the command line after the program's name.
        task: "deflicker" or "harmonize".
        dry: whether this is `check`.
        console: for the output.
    """
    first = parser.early(words)
    choice = ask_engine(load_settings(first.server, first.key), task, first.engine)
    if choice.problem is not None and not (dry or first.help):
        raise choice.problem
    # Without a description of the engine the rest of the command line can still be checked.
    engine = choice.engine or (stand_in(task) if dry else None)
    grammar = parser.build(engine, _remark(choice))
    tolerant = choice.engine is None and not first.help
    args = grammar.parse_known_args(list(words))[0] if tolerant else grammar.parse_args(list(words))
    refuse_empty(args)
    config = load_settings(args.server, args.key, args.map)
    if dry:
        from harmovid.cli import check

        return check.run(args, engine, config, choice, console)
    if engine is None:
        raise HarmoVidError("no engine is chosen.")
    return _run(prepare(args, engine, config), args, config, console)


def _run(job: JobFiles, args: argparse.Namespace, config: Settings, console: Console) -> int:
    folder = getattr(args, "diagnostics", None)  # only deflicker has this flag
    if folder:
        diagnostics.prepare(folder)
    if args.report:
        check_place(Path(args.report))
    remarks = [
        *job.warnings,
        *ocio_remark(config, job.spec.colorspace),
        *map_remark(args, config, job.plan),
    ]
    events = JobEvents(console)
    for remark in remarks:
        console.warn(f"warning: {remark}")
        events.warning(remark)
    for words in (*job.plan.folder_words(), *job.plan.context_words()):
        console.note(words)
    outcome = run_job(job, config, console, events)
    later = [warning for warning in job.warnings if warning not in remarks]
    for remark in later:
        console.warn(f"warning: {remark}")
        events.warning(remark)
    outcome.remarks = remarks + later
    written = diagnostics.write(folder, job, outcome) if folder else []
    return _tell(outcome, args, written, console, events)


def run_job(job: JobFiles, config: Settings, console: Console, events: JobEvents) -> Outcome:
    """Run the job to its end and return the outcome, also if it fails.

    Args:
        job: the prepared job.
        config: the settings, with the server.
        console: shows the progress.
        events: called for each result.

    Raises:
        OutputError: the results exist already, or cannot be written.
    """
    outcome = Outcome(total=len(job.frames), out=job.plan.out.text)
    view = progress.view(console, job.spec.label)
    begun_s = time.monotonic()

    def arrived(frame: int, report: Mapping[str, Any]) -> None:
        outcome.frames[frame] = report
        events.frame(frame)

    with contextlib.closing(view), connect(config) as client:
        events.queued(job)
        handle = client.start(job, on_progress=view.update, on_result=arrived, on_failed=events.frame_failed)
        outcome.job_id, outcome.resumed = job.spec.job_id, len(job.resumed)
        with CancelOnInterrupt(console.quiet) as cancelled:
            while not handle.wait(WAIT_S):
                if cancelled.is_set():
                    handle.cancel()
        outcome.state = handle.progress.state
        try:
            result = handle.result()
        except HarmoVidError as error:
            outcome.error, outcome.seconds = error, time.monotonic() - begun_s
        else:
            outcome.job_id, outcome.resumed = result.job_id, result.resumed
            # The start of a private server does not count for the speed.
            outcome.failures, outcome.seconds = result.failed, result.elapsed_s
    return outcome


def _tell(
    outcome: Outcome, args: argparse.Namespace, diagnosed: Sequence[str], console: Console, events: JobEvents
) -> int:
    """Print the summary, the JSON answer or the last events, write the report, and return the exit code.

    Args:
        diagnosed: names of the files in the diagnostics' folder.
    """
    if args.report:
        outcome.save(Path(args.report))
    if outcome.error is None or outcome.frames or outcome.resumed:
        written, *rest = outcome.summary()
        console.note(written)
        for line in rest:
            console.warn(line)
    if diagnosed:
        console.note(f"diagnostics: {os.path.join(args.diagnostics, 'index.html')}")
    if outcome.error is not None and not console.machine and not console.events:
        print(describe(outcome.error), file=console.err, flush=True)
    console.result({**outcome.to_dict(), **({"diagnostics": list(diagnosed)} if diagnosed else {})})
    events.ended(outcome)
    return outcome.exit_code


def _remark(choice: Choice) -> str:
    """Return the end of the help text: where the engine's options come from, or why there are none."""
    if choice.engine is None:
        return f"The engine's options are not listed: {choice.problem}"
    others = f"; other engines: {', '.join(choice.others)} (--engine NAME --help)" if choice.others else ""
    return f"Engine {choice.engine.name} {choice.engine.version}, {choice.source}{others}."
