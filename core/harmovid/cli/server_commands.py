"""`harmovid engines`, `status` and `cancel`: questions to a server, answered as a table or as JSON."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any, Dict, List, Mapping

from harmovid.cli import exits
from harmovid.cli.console import Console, ok_result, table
from harmovid.cli.engine_choice import described
from harmovid.cli.parser import default_text
from harmovid.client import Client, JobStatus, connect
from harmovid.errors import InputError, JobUnknown
from harmovid.job import WEIGHTS_MB, EngineInfo, Option
from harmovid.settings import load_settings

# Length of a job id in lists: long enough to be unique, and accepted by `status` and `cancel`.
SHORT_ID = 8
FULL_ID = 32


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the command that `args.command` names."""
    config = load_settings(args.server, args.key)
    if args.command == "engines":
        _engines(described(config), config.server or "this installation", console)
        return exits.OK
    if not config.server:
        raise InputError(
            "no server is named; a private server lives only as long as its job.",
            fix="Name one with --server or HARMOVID_SERVER.",
        )
    with connect(config) as client:
        if args.command == "status":
            _status(client, args.job, console)
        else:
            _cancel(client, args.job, console)
    return exits.OK


def _engines(engines: List[EngineInfo], source: str, console: Console) -> None:
    console.result(ok_result(source=source, engines=[engine.to_dict() for engine in engines]))
    rows = [
        [engine.name + ("*" if engine.default else ""), engine.version, engine.task, engine.summary]
        for engine in engines
    ]
    for line in table(rows, ["ENGINE", "VERSION", "TASK", "WHAT IT DOES"]):
        console.text(line)
    for engine in engines:
        if engine.runtime:
            console.text(f"\n{engine.name} runs on {_runtime_text(engine.runtime)}")
        if engine.limits.get(WEIGHTS_MB):
            console.text(
                f"\n{engine.name} needs {engine.limits[WEIGHTS_MB]} MB of the device's memory for its weights, "
                "and more for a step"
            )
    for engine in engines:
        if not engine.options:
            continue
        console.text(f"\n{engine.name}")
        for line in table(
            [_option_row(option) for option in engine.options], ["  OPTION", "DEFAULT", "RANGE", ""]
        ):
            console.text(line)
    console.text(f"\n* used for its task when --engine names none; {source}")


def _runtime_text(runtime: Mapping[str, str]) -> str:
    """Return in one line what an engine runs on."""
    text = f"{runtime.get('device', '?')}: {runtime.get('runtime', '?')}, {runtime.get('precision', '?')}"
    return text + (f" ({runtime['reason']})" if runtime.get("reason") else "")


def _option_row(option: Option) -> List[str]:
    if option.kind == "choice":
        span = ", ".join(option.choices)
    elif option.kind == "bool":
        span = "on, off"
    elif option.minimum is None and option.maximum is None:
        span = option.kind
    else:
        ends = ["" if end is None else f"{end:g}" for end in (option.minimum, option.maximum)]
        span = " to ".join(ends) + (f" {option.unit}" if option.unit else "")
    return ["  --" + option.name.replace("_", "-"), default_text(option), span, option.help]


def _status(client: Client, job: str, console: Console) -> None:
    jobs = client.status(_full_id(client, job)) if job else client.status()
    console.result(ok_result(jobs=[_job_dict(status) for status in jobs]))
    rows = [_job_row(status) for status in jobs]
    for line in table(rows, ["JOB", "STATE", "DONE", "FAILED", "AGE", "ENGINE", "LABEL"]):
        console.text(line)
    for status in jobs:
        if status.progress.message:
            console.text(f"{status.progress.job_id[:SHORT_ID]}: {status.progress.message}")


def _job_dict(status: JobStatus) -> Dict[str, Any]:
    return {
        **asdict(status.progress),
        "engine": status.engine,
        "label": status.label,
        "age_s": status.age_s,
    }


def _job_row(status: JobStatus) -> List[str]:
    now = status.progress
    state = f"{now.state} #{now.queue_position}" if now.queue_position else now.state
    done = f"{now.delivered}/{now.total}"
    row = [now.job_id[:SHORT_ID], state, done, str(now.failed), _age_text(status.age_s)]
    return [*row, status.engine, status.label]


def _age_text(seconds: float) -> str:
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _cancel(client: Client, job: str, console: Console) -> None:
    progress = client.cancel(_full_id(client, job))
    console.result(ok_result(job=asdict(progress)))
    console.text(
        f"{progress.job_id[:SHORT_ID]} is {progress.state}, {progress.delivered}/{progress.total} delivered"
    )


def _full_id(client: Client, text: str) -> str:
    """Return the whole id of the job whose id begins with `text`.

    Raises:
        JobUnknown: none of this user's jobs, or several, begin so.
    """
    if len(text) == FULL_ID:
        return text
    fitting = [
        status.progress.job_id
        for status in client.status()
        if status.progress.job_id.startswith(text.lower())
    ]
    if len(fitting) != 1:
        what = "several of your jobs begin" if fitting else "none of your jobs begins"
        raise JobUnknown(f"{what} with {text}.", fix="`harmovid status` lists them.")
    return fitting[0]
