"""`harmovid evaluate run`: from the command line to an evaluation, its table and its page."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any, List, Tuple

from harmovid.cli import exits
from harmovid.cli.console import Console, ok_result
from harmovid.cli.console import table as text_table
from harmovid.errors import HarmoVidError, InputError, OutputError
from harmovid_training.stages.engine_frames import EngineFrames, Servers

from harmovid_evaluate import table
from harmovid_evaluate.command import ENGINE, IC_LIGHT, STAND_IN, named
from harmovid_evaluate.cubes import read_cubes
from harmovid_evaluate.engine_rows import Engine
from harmovid_evaluate.entrants import CLASSICAL, Entrant
from harmovid_evaluate.evaluation import Evaluation
from harmovid_evaluate.footage import Footage, find_footage
from harmovid_evaluate.measures import load_extras
from harmovid_evaluate.outside import Command, Results
from harmovid_evaluate.report.show import write_all
from harmovid_evaluate.study.action import study_section
from harmovid_evaluate.testsets import DEFLICKER, HARMONIZE, SETS, ClipSet, Makers

SMALLEST_LINES = 48
FEWEST_FRAMES = 3
"""Smallest values for meaningful temporal measures and LPIPS features."""

BATCH = 8
"""Frames per call of IC-Light."""


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the evaluation; return 0, or 1 where a row failed (the others are written)."""
    if args.lines < SMALLEST_LINES or args.frames < FEWEST_FRAMES:
        raise InputError(f"--lines must be at least {SMALLEST_LINES}, --frames at least {FEWEST_FRAMES}.")
    footage = _footage(args)
    extras = load_extras(args.lpips, args.clip, args.raft)
    with Servers() as servers:
        makers, others = _makers(args, servers), _others(args)
        built_in, remark = _chosen(args, servers)
        evaluation = Evaluation(
            args.out, footage, _sets(args, footage), makers, [*built_in, *others], extras,
            lines=args.lines, count=args.frames,
        )  # fmt: skip
        if remark:
            evaluation.notes.append(remark)
        try:
            _work(evaluation, console)
            report = table.summarise(evaluation)
            written = write_all(args.out, report, study_section(args.out), console.note)
        except OSError as error:
            raise OutputError(f"{args.out} cannot be written: {error}", fix="Name another --out.") from error
    _tell(report, written, console)
    code = exits.JOB_FAILED if evaluation.failures else exits.OK
    console.result({**ok_result(**report, files=written), "ok": code == exits.OK, "exit": code})
    return code


def _footage(args: argparse.Namespace) -> List[Footage]:
    found = find_footage(args.clips, args.lines, args.frames)
    known = [each.name for each in found]
    unknown = [name for name in args.only if name not in known]
    if unknown:
        raise InputError(f"there is no clip {unknown[0]!r}.", fix=f"There are: {', '.join(known)}.")
    return [each for each in found if not args.only or each.name in args.only]


def _sets(args: argparse.Namespace, footage: List[Footage]) -> List[ClipSet]:
    if args.sets:
        return [each for each in SETS if each.name in args.sets]
    return [each for each in SETS if each.name != "relit" or any(one.relit for one in footage)]


def _makers(args: argparse.Namespace, servers: Servers) -> Makers:
    cubes = read_cubes(args.luts) if args.luts else []
    if args.harmonizer == STAND_IN:
        return Makers(args.seed, args.look, cubes)
    if args.harmonizer == ENGINE:
        name = f"our engine harmonize, version {servers.info(HARMONIZE).version}"
        return Makers(args.seed, args.look, cubes, EngineFrames(HARMONIZE, servers), name)
    from harmovid_training.stages.frame_harmonizers import CommandHarmonizer
    from harmovid_training.stages.ic_light import IcLight

    if args.harmonizer == IC_LIGHT:
        if not args.ic_light:
            raise InputError("--harmonizer ic-light needs its weights.", fix="Add --ic-light FILE.")
        loaded = IcLight.from_pretrained(args.ic_light, args.ic_light_base)
        return Makers(args.seed, args.look, cubes, loaded, f"IC-Light, {args.ic_light.name}", BATCH)
    words = shlex.split(args.harmonizer)
    if not any("{out}" in word for word in words):
        raise InputError("--harmonizer is neither stand-in, engine nor ic-light, nor a command with {out}.")
    return Makers(args.seed, args.look, cubes, CommandHarmonizer(words), f"command {args.harmonizer}")


def _chosen(args: argparse.Namespace, servers: Servers) -> Tuple[List[Entrant], str]:
    """Return the built-in rows in the table's order, and a remark where our engines cannot be run."""
    built_in, remark = _built_in(servers)
    if args.method:
        known = {each.name: each for each in built_in}
        unknown = [name for name in args.method if name not in known]
        if unknown:
            raise InputError(
                f"there is no built-in method {unknown[0]!r}." + (f" {remark}" if remark else ""),
                fix=f"There are: {', '.join(known)}.",
            )
        built_in = [known[name] for name in args.method]
    return built_in, remark


def _others(args: argparse.Namespace) -> List[Entrant]:
    """Return the rows that the user brings."""
    others: List[Entrant] = [*_networks(args)]
    others += [Results(name, Path(folder)) for name, folder in named(args.results, "--results")]
    others += [Command.parse(name, words) for name, words in named(args.command, "--command")]
    return others


def _built_in(servers: Servers) -> Tuple[List[Entrant], str]:
    classical: List[Entrant] = list(CLASSICAL.values())
    try:
        infos = servers.engines()
    except HarmoVidError as error:
        return classical, f"Our engines were not run: {error}"
    ours = [Engine(info.name, servers) for info in infos if info.task in (HARMONIZE, DEFLICKER)]
    return [*classical, *ours], ""


def _networks(args: argparse.Namespace) -> List[Entrant]:
    from harmovid_evaluate.network_rows import Checkpoint, IcLightFrames, Network

    rows: List[Entrant] = []
    for name, folder in named(args.checkpoint, "--checkpoint"):
        from harmovid_training.inference.shot import Settings

        if not args.vae:
            raise InputError(
                "--checkpoint needs its VAE.", fix="Add --vae with the model's name or a folder."
            )
        sampler = args.sampler or ("one-step" if args.steps == 1 else _first_sampler(Path(folder)))
        network = Network(Path(folder), args.vae, Settings(sampler, args.steps, args.seed, args.window))
        rows += [Checkpoint(name, network, through_field) for through_field in (False, True)]
    if args.ic_light:
        rows.append(IcLightFrames(args.ic_light, args.ic_light_base))
    return rows


def _first_sampler(folder: Path) -> str:
    import json

    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("kind")
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is no checkpoint: {error}") from error
    return "flow" if kind == "wan" else "ddim"


def _work(evaluation: Evaluation, console: Console) -> None:
    """Run all units with a bar on a terminal, or a line each elsewhere."""
    from tqdm import tqdm

    quiet = console.quiet or not console.err.isatty()
    bar: Any = tqdm(total=evaluation.total(), unit="row", desc="evaluate", file=console.err, disable=quiet)
    with bar:
        for step in evaluation.run():
            bar.update()
            bar.set_postfix_str(f"{step.set}/{step.clip}: {step.method}", refresh=False)
            if quiet:
                why = f" ({step.why})" if step.why else ""
                console.note(f"{step.set}/{step.clip}: {step.method}: {step.what}{why}")


def _tell(report: table.Report, written: List[str], console: Console) -> None:
    for one_set in report["sets"]:
        console.text(f"\n{one_set['title']}, {len(one_set['clips'])} clips")
        shown = table.columns(report, one_set)
        rows = [
            [
                table.row_name(row, one_set),
                *[table.shown_value(row["mean"].get(each["key"]), each) for each in shown],
            ]
            for row in one_set["rows"]
        ]
        for line in text_table(rows, ["METHOD", *[each["key"] for each in shown]]):
            console.text("  " + line)
    for line in [*report["left_out"], *report["notes"]]:
        console.note(f"note: {line}")
    for path in written:
        console.text(path)
