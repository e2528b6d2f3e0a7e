"""`harmovid deflicker` and `harmonize`: from the command line to frames on disk; after `check`, only look.

The command line is read in two stages: first whom to ask, then all of it, with the engine's options as flags.
An interrupted job is resumed by the same command line: the journal beside the results knows what is written.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Sequence

from harmovid import connect, settings
from harmovid.cli import diagnostics, parser, progress
from harmovid.cli.cancel import CancelOnInterrupt
from harmovid.cli.console import Console, describe
from harmovid.cli.inputs import Plan, journals_in, make_plan
from harmovid.cli.report import Outcome
from harmovid.connect import Choice
from harmovid.errors import EngineUnknown, HarmoVidError, OutputError
from harmovid.frames import FrameRange
from harmovid.job import DONE, FINAL_STATES, JobSpec, Progress, new_job_id
from harmovid.settings import Settings
from harmovid.storage.files import DirectorySink, DirectorySource
from harmovid.storage.journal import Journal, job_digest


def run(words: Sequence[str], task: str, dry: bool, console: Console) -> int:
    """Run or check one job command.

    Args:
        words: the whole command line after the program's name.
        task: "deflicker" or "harmonize".
        dry: it stands behind `check`.
        console: where text goes.
    """
    first = parser.early(words)
    config = settings.load(first.server, first.key)
    choice = connect.ask_engine(config, task, first.engine)
    grammar = parser.build(choice.engine, _remark(choice))
    if choice.engine is None and dry and not first.help:
        # Nobody says which options the engine has; the rest of the line can be checked all the same.
        args = grammar.parse_known_args(list(words))[0]
    else:
        if choice.problem is not None and not first.help:
            raise choice.problem
        args = grammar.parse_args(list(words))
    config = settings.load(args.server, args.key, args.map)
    if dry:
        from harmovid.cli import check

        return check.run(args, task, config, choice, console)
    plan = make_plan(args, task, config.roots if config.server else ())
    spec = make_spec(plan, choice, args)
    folder = getattr(args, "diagnostics", None)  # only deflicker has it
    if folder:
        diagnostics.prepare(folder)
    outcome = run_job(plan, spec, args.overwrite, config, console)
    written = diagnostics.write(folder, plan, outcome) if folder else []
    return _tell(outcome, args, written, console)


def make_spec(plan: Plan, choice: Choice, args: argparse.Namespace) -> JobSpec:
    """Return the job's specification, engine options and inputs checked; its id is not the final one yet.

    Raises:
        OptionError, InputError: an option or an input that the engine does not take.
    """
    engine = choice.engine
    if engine is None:
        raise choice.problem or EngineUnknown("no engine is chosen.")
    engine.check_layers(tuple(plan.layers))
    return JobSpec(
        job_id=new_job_id(),
        engine=engine.name,
        frames=str(plan.frames),
        layers=tuple(plan.layers),
        options=engine.check_options(parser.options_of(args)),
        colorspace=plan.colorspace,
        output=plan.output,
        shared=plan.shared,
        label=plan.label,
    )


def run_job(plan: Plan, spec: JobSpec, overwrite: bool, config: Settings, console: Console) -> Outcome:
    """Run the job to its end and return what became of it; a job that fails is an outcome, too.

    Raises:
        OutputError: the results are there already, or cannot be written.
    """
    source = DirectorySource(plan.layers)
    with _journal(plan, spec, source, overwrite) as journal:
        sink = DirectorySink(plan.out, plan.frames, source, journal)
        outcome = Outcome(total=len(plan.frames), job_id=journal.job_id, out=plan.out.text)
        outcome.resumed = len(journal.begin(journal.job_id))
        view = progress.view(console, plan.label)
        with contextlib.closing(view), CancelOnInterrupt(console.quiet) as cancelled:
            begun_s = time.monotonic()
            try:
                with connect.job_client(config) as client:
                    result = client.run(
                        replace(spec, job_id=journal.job_id),
                        source,
                        sink,
                        on_progress=partial(_show, outcome, view),
                        on_result=outcome.frames.__setitem__,
                        cancel_event=cancelled,
                    )
                outcome.job_id, outcome.resumed = result.job_id, result.resumed
                # The start of a private server is no part of the pace that is told.
                outcome.failures, outcome.seconds = result.failed, result.elapsed_s
            except HarmoVidError as error:
                outcome.error, outcome.seconds = error, time.monotonic() - begun_s
        if outcome.state in FINAL_STATES and not outcome.frames and not outcome.resumed:
            journal.finish(DONE)  # nothing to resume, here or there: it must not stay behind
    return outcome


def _show(outcome: Outcome, view: progress.View, now: Progress) -> None:
    outcome.state = now.state
    view.update(now)


def _journal(plan: Plan, spec: JobSpec, source: DirectorySource, overwrite: bool) -> Journal:
    """Open the job's journal; refuse results of other jobs in its place, unless they may be replaced.

    Raises:
        OutputError: such results are there, or another run of the same job is at work.
    """
    before = set(journals_in(plan.out.folder))
    digest = job_digest(spec, source, plan.frames, plan.out.text)
    journal = Journal.open(plan.out.folder, digest, plan.out.path)
    resumes = os.path.basename(journal.path) in before
    written = journal.begin(journal.job_id)
    foreign = FrameRange(
        frame for frame in plan.out.existing() if frame in plan.frames and frame not in written
    )
    # A run that was killed may have put one result in its place without having noted it any more.
    if len(foreign) > (1 if resumes else 0) and not overwrite:
        if resumes:
            journal.close()
        else:
            journal.finish(DONE)  # it was made just now: it must not stay behind
        raise OutputError(
            f"{len(foreign)} results are there already: frames {foreign} of {plan.out.text}.",
            fix="Add --overwrite to replace them, or write to another folder.",
        )
    return journal


def _tell(outcome: Outcome, args: argparse.Namespace, diagnosed: Sequence[str], console: Console) -> int:
    """Print the summary or the JSON answer, write the report, and return the exit code.

    Args:
        diagnosed: names of the files in the diagnostics' folder.
    """
    if args.report:
        outcome.save(Path(args.report))
    if outcome.error is None or outcome.frames or outcome.resumed:
        for line in outcome.summary():
            console.note(line)
    if diagnosed:
        console.note(f"diagnostics: {os.path.join(args.diagnostics, 'index.html')}")
    if outcome.error is not None and not console.machine:
        print(describe(outcome.error), file=console.err, flush=True)
    console.result({**outcome.to_dict(), **({"diagnostics": list(diagnosed)} if diagnosed else {})})
    return outcome.exit_code


def _remark(choice: Choice) -> str:
    """Return the last words of the help: where the engine's options come from, or why there are none."""
    if choice.engine is None:
        return f"The engine's options are not listed: {choice.problem}"
    others = f"; other engines: {', '.join(choice.others)} (--engine NAME --help)" if choice.others else ""
    return f"Engine {choice.engine.name} {choice.engine.version}, {choice.source}{others}."
