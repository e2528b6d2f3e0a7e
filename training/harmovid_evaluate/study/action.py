"""`harmovid evaluate study` and `study-summary`: films for the browser, the server, and the results."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path
from typing import Dict, List, Tuple

from harmovid.cli import exits
from harmovid.cli.console import Console, ok_result
from harmovid.cli.console import table as text_table
from harmovid.errors import InputError, OutputError
from harmovid_training.files import save_json, save_text

from harmovid_evaluate import cases
from harmovid_evaluate.cases import fingerprint, slug
from harmovid_evaluate.entrants import AS_IS
from harmovid_evaluate.report import films
from harmovid_evaluate.report.show import result_folder
from harmovid_evaluate.study import summary
from harmovid_evaluate.study.plan import QUESTIONS, Study, make_study
from harmovid_evaluate.study.server import BEFORE, LOOPBACK, StudyServer
from harmovid_evaluate.study.store import Store, read_study
from harmovid_evaluate.table import Report

DATABASE = Path("study") / "study.sqlite"


def run(args: argparse.Namespace, console: Console) -> int:
    """Serve the study until Ctrl-C, or print its summary."""
    if args.action == "study-summary":
        return _summary(args.out, console)
    study = make_study(read_report(args.out), args.sets, args.method, args.seed, args.clips)
    store = Store(args.out / DATABASE, study)
    made = make_films(args.out, study, console)
    try:
        server = StudyServer((args.host, args.port), study, store, made, tell=console.note)
    except OSError as error:
        raise OutputError(
            f"{args.host}:{args.port} cannot be served: {error.strerror}.", fix="Name another --port."
        ) from error
    with server:
        _serve(server, args.host, console)
    return _summary(args.out, console) if console.machine else exits.OK


def _serve(server: StudyServer, host: str, console: Console) -> None:
    address = f"http://{f'[{host}]' if ':' in host else host}:{server.server_address[1]}/"
    console.note(
        f"the study is at {address} ({len(server.study.samples)} clips); Ctrl-C stops it, nothing is lost"
    )
    if host not in LOOPBACK:
        console.note("warning: everybody in this network can take part; the connection is not encrypted")
    console.text(address)
    console.out.flush()
    # A supervisor's SIGTERM ends it as Ctrl-C does; a shell that puts it into the background leaves SIGINT ignored.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        console.note("stopped")


def read_report(out: Path) -> Report:
    """Return the results of a finished evaluation.

    Raises:
        InputError: there are none.
    """
    try:
        report: Report = json.loads((out / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{out} holds no finished evaluation.", fix="`harmovid evaluate run` makes one."
        ) from error
    return report


def make_films(out: Path, study: Study, console: Console) -> Dict[Tuple[str, str], Path]:
    """Return a film per sample and method, and of the input; those of the same results are kept."""
    from tqdm import tqdm

    made: Dict[Tuple[str, str], Path] = {}
    wanted = [(sample, name) for sample in study.samples for name in (BEFORE, *sample.methods)]
    quiet = console.quiet or not console.err.isatty()
    for sample, name in tqdm(wanted, desc="films", unit="film", file=console.err, disable=quiet):
        folder = result_folder(out, sample.set, sample.clip, AS_IS if name == BEFORE else name)
        if name == BEFORE:
            folder = out / "inputs" / slug(sample.set) / slug(sample.clip) / "composite"
        made[sample.key, name] = _film(out, folder, f"{sample.key} {name}")
    return made


def _film(out: Path, folder: Path, name: str) -> Path:
    frames = sorted(folder.glob("*.exr"))
    if not frames:
        raise InputError(f"{folder} holds no frames any more.", fix="Run the evaluation again.")
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in frames]
    path = out / "study" / "films" / f"{fingerprint(films.COLOUR, name, stamps)}.mp4"
    if not path.is_file():
        films.encode(path, films.even(films.pictures(cases.load_frames(folder))))
    return path


def summary_of(out: Path) -> summary.Summary:
    """Return the summary of an evaluation's study; see `summary.summarise`."""
    return summary.summarise(read_study(out / DATABASE))


def study_section(out: Path) -> str:
    """Return the study's section of the page, or nothing if nobody has answered."""
    if not (out / DATABASE).is_file():
        return ""
    found = summary_of(out)
    return summary.section(found) if found["judgements"] else ""


def _summary(out: Path, console: Console) -> int:
    found = summary_of(out)
    save_json(out / "study" / "summary.json", found)
    save_text(out / "study" / "summary.md", summary.markdown(found))
    rows: List[List[str]] = []
    for row in found["rows"]:
        rows.append(
            [
                row["method"],
                *[f"{summary.cell(row[key])} W{summary.wilson_text(row[key])}" for key, _, _ in QUESTIONS],
            ]
        )
    console.text(summary.head(found))
    for line in text_table(rows, ["METHOD", *[title.upper() for _, title, _ in QUESTIONS]]):
        console.text(line)
    console.text("W: Wilson's interval, which takes every judgement as independent")
    console.result(ok_result(**found))
    return exits.OK
