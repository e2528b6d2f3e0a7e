"""`harmovid check deflicker ...` and `check harmonize ...`: what it would do, without doing it.

Files are looked at, the server is asked for its engines, nothing is sent as a job and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

from harmovid.cli import exits
from harmovid.cli.arguments import (
    colorspace_of,
    exr_layers_of,
    layers_of,
    map_remark,
    matte_channels_of,
    ocio_remark,
    options_of,
    prepare,
)
from harmovid.cli.check_files import LayerFacts, examine, has_pixel_libraries, header_lines
from harmovid.cli.console import Console, human_bytes
from harmovid.cli.engine_choice import Choice
from harmovid.context import Context
from harmovid.errors import HarmoVidError, OutputError
from harmovid.file_plan import FilePlan
from harmovid.frames import FrameRange
from harmovid.job import FOREGROUND_MATTE, MATTE, PANORAMA, PROXY, TARGET, VECTORS, EngineInfo, OutputSpec
from harmovid.settings import Settings
from harmovid.storage.journal import has_journals

# Field layers are three float32 channels; ZIP keeps about this share of such smooth data (no more than all).
FIELD_BYTES_PER_PIXEL = 12
# Problems of one layer that are printed; the JSON has all.
LISTED_PROBLEMS = 10


@dataclass
class Findings:
    """Everything the check has found.

    `problems` are those that belong to no layer; `waits_for_journal` says that there are results which may be this
    job's.
    """

    plan: Optional[FilePlan] = None
    layers: List[LayerFacts] = field(default_factory=list)
    problems: List[HarmoVidError] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    needed_bytes: int = 0
    free_bytes: int = 0
    waits_for_journal: bool = False

    def all_problems(self) -> List[HarmoVidError]:
        """Return the layers' problems and the others."""
        return [*(problem for facts in self.layers for problem in facts.problems), *self.problems]


def run(
    args: argparse.Namespace,
    engine: Optional[EngineInfo],
    settings: Settings,
    choice: Choice,
    console: Console,
) -> int:
    """Check a job's command line and print what was found; exit 1 if there is any problem.

    Args:
        args: the parsed command line.
        engine: the engine that the line was read by: the one that would be used, or this installation's in its place.
        settings: the client's settings in force.
        choice: the engine that would be used, or why there is none.
        console: where the answer goes.
    """
    found = Findings(problems=[choice.problem] if choice.problem else [])
    if engine is not None:
        _plan(found, args, engine, settings)
    if found.plan is not None and engine is not None:
        _files(found, found.plan, engine, args, settings)
        _colour(found, found.plan, settings)
        _output(found, found.plan, args)
        _own_picture(found, engine, args)
        _options(found, engine, args)
        _prepared(found, engine, args, settings, known=choice.engine is not None)
    code = exits.JOB_FAILED if found.all_problems() else exits.OK
    _print(found, choice, console)
    console.result(_answer(found, choice, code))
    return code


def _plan(found: Findings, args: argparse.Namespace, engine: EngineInfo, settings: Settings) -> None:
    try:
        options = options_of(args, engine)
        handles = engine.handles_for(options) if args.handles is None else args.handles
        found.notes += [
            f"{name}: the first result comes after {reach['lookahead_frames']} frames "
            f"instead of {engine.lookahead_frames}"
            for name, reach in engine.reach_with.items()
            if options.get(name) and name != engine.waits_for
        ]
        found.plan = FilePlan.make(
            engine.layers,
            layers_of(args),
            args.out,
            args.frames,
            colorspace_of(args, engine),
            settings.roots if settings.server else (),
            exr_layers_of(args, engine),
            matte_channels_of(args, engine),
            Context(handles, engine.handle_step),
        ).shown_too(engine.frame_apart(options))
        OutputSpec(getattr(args, "mode", TARGET), args.strength, args.field)
    except HarmoVidError as error:
        found.problems.append(error)


def _files(
    found: Findings, plan: FilePlan, engine: EngineInfo, args: argparse.Namespace, settings: Settings
) -> None:
    for layer in plan.shared:
        found.notes.append(f"{layer} is read by the server itself from {plan.shared[layer]}")
    found.notes += [*map_remark(args, settings, plan), *plan.folder_words(), *plan.context_words()]
    rules = _rules(plan, engine, args) if has_pixel_libraries() else None
    found.layers += examine(plan, rules)
    found.notes += [f"{facts.layer}: {remark}" for facts in found.layers for remark in facts.remarks]
    if rules is None:
        found.notes.append(
            "windows, channels and colour are not checked: harmovid[pixels] is not installed here"
        )


def _rules(plan: FilePlan, engine: EngineInfo, args: argparse.Namespace) -> Any:
    """Return the rules by which the server will judge the job's files."""
    from harmovid.pixels.inputs import FrameRules

    return FrameRules(
        target=engine.target,
        wants_matte=any(layer.name == FOREGROUND_MATTE for layer in engine.layers),
        mattes=engine.layers_of(MATTE),
        panoramas=engine.layers_of(PANORAMA),
        vectors=engine.layers_of(VECTORS),
        premultiplied=args.premultiplied,
        comp=getattr(args, "mode", TARGET) != TARGET,
        exr_layers=plan.exr_layers,
        matte_channels=plan.matte_channels,
        colorspace=plan.colorspace,
    )


def _colour(found: Findings, plan: FilePlan, settings: Settings) -> None:
    """Look the named colour spaces up here; another server may have another configuration."""
    found.notes += ocio_remark(settings, plan.colorspace)
    if not has_pixel_libraries():
        return
    from harmovid.pixels.colour.spaces import space_of

    for layer, name in plan.colorspace.items():
        try:
            space_of(name)
        except HarmoVidError as error:
            error.layer = layer
            if settings.server:
                found.notes.append(f"here: {error}; the server's own configuration decides")
            else:
                found.problems.append(error)


def _output(found: Findings, plan: FilePlan, args: argparse.Namespace) -> None:
    folder = Path(plan.out.folder or ".")
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        found.problems.append(OutputError(f"{folder} is not writable.", fix="Choose another output folder."))
    _existing(found, plan, args.overwrite)
    found.needed_bytes = _needed_bytes(found, plan, args.field)
    found.free_bytes = shutil.disk_usage(folder).free
    if found.free_bytes < found.needed_bytes:
        found.problems.append(
            OutputError(
                f"{folder} has {human_bytes(found.free_bytes)} free, about {human_bytes(found.needed_bytes)} "
                "are needed.",
                fix="Free some space, or write to another disk.",
            )
        )


def _own_picture(found: Findings, engine: EngineInfo, args: argparse.Namespace) -> None:
    """Say what the output proxy is; nothing for other outputs."""
    if getattr(args, "mode", TARGET) != PROXY:
        return
    where = "over the background, by the matte" if engine.composites else "in place of the plate, by the mask"
    found.notes.append(
        f"output proxy: the result is the network's own picture of {engine.picture_lines} lines, enlarged to the "
        f"plate's format, {where}; it keeps no grain and no fine detail of the {engine.target}"
    )


def _existing(found: Findings, plan: FilePlan, overwrite: bool) -> None:
    """Report existing results; they can belong to this job only if there is a journal in their folder."""
    existing = plan.existing()
    if not existing or overwrite:
        return
    found.waits_for_journal = has_journals(plan.out.folder)
    if not found.waits_for_journal:
        said = f"{len(existing)} results are there already, frames {existing}."
        found.problems.append(OutputError(said, fix="Add --overwrite, or write to another folder."))


def _needed_bytes(found: Findings, plan: FilePlan, field_layers: bool) -> int:
    """Return the results' size as estimated from the target's files (and the field's raw size)."""
    target = found.layers[0]
    if not target.found:
        return 0
    per_frame = target.size_bytes / (1 if target.pattern.is_single else len(target.found))
    if field_layers and target.header:
        x0, y0, x1, y1 = target.header["data_window"]
        per_frame += (x1 - x0) * (y1 - y0) * FIELD_BYTES_PER_PIXEL
    return int(per_frame * len(plan.frames))


def _options(found: Findings, engine: EngineInfo, args: argparse.Namespace) -> None:
    try:
        options = engine.check_options(options_of(args, engine))
        if found.plan is not None:
            engine.check_frames(options, found.plan.seen, found.plan.sequence())
    except HarmoVidError as error:
        found.problems.append(error)


def _prepared(
    found: Findings, engine: EngineInfo, args: argparse.Namespace, settings: Settings, known: bool
) -> None:
    """Prepare the job as the run would: what it refuses and nothing above has found is a problem, too.

    Args:
        found: takes it.
        engine: whose job it is.
        args: the parsed command line.
        settings: the client's settings in force.
        known: whether this is the engine that would be used; with another one the job's journal has another name.
    """
    try:
        job = prepare(args, engine, settings)
    except OutputError as error:
        if found.waits_for_journal and not known:
            found.notes.append(f"{error.message} If an interrupted run of this job wrote them, it continues.")
        elif not any(isinstance(p, OutputError) for p in found.problems):
            found.problems.append(error)
    except HarmoVidError as error:
        if not found.problems:
            found.problems.append(error)
    else:
        found.notes += job.warnings
        there = job.recorded()
        if there:
            rest = set(job.frames).difference(there)
            left = f"frames {FrameRange(rest)} are left to make" if rest else "nothing is left to make"
            found.notes.append(
                f"{len(there)} results of an interrupted run of this job are there, frames {there}; {left}. "
                "Results whose inputs have changed are made again; the others stay, and the run names those that may "
                "not fit any more"
            )


def _print(found: Findings, choice: Choice, console: Console) -> None:
    for facts in found.layers:
        single = (
            ", one file for all frames" if facts.pattern.is_single else f", frames {facts.found or 'none'}"
        )
        console.text(f"{facts.layer:<12} {facts.pattern.text}{single}, {human_bytes(facts.size_bytes)}")
        for line in header_lines(facts.header):
            console.text(f"{'':<12} {line}")
        for problem in facts.problems[:LISTED_PROBLEMS]:
            console.text(f"{'':<12} PROBLEM {problem}")
        if len(facts.problems) > LISTED_PROBLEMS:
            console.text(f"{'':<12} ... and {len(facts.problems) - LISTED_PROBLEMS} more")
    if found.plan is not None:
        console.text(
            f"{'output':<12} {found.plan.out.text}, {len(found.plan.frames)} frames, about "
            f"{human_bytes(found.needed_bytes)}, {human_bytes(found.free_bytes)} free"
        )
    if choice.engine is not None:
        console.text(f"{'engine':<12} {choice.engine.name} {choice.engine.version}, {choice.source}")
    for note in found.notes:
        console.text(f"{'note':<12} {note}")
    for other in found.problems:
        console.text(f"{'PROBLEM':<12} {other}")
    count = len(found.all_problems())
    if count:
        console.text(f"\n{count} problem{'s' if count > 1 else ''}")
    else:
        console.text("\nready: no problem was found")


def _answer(found: Findings, choice: Choice, code: int) -> Dict[str, Any]:
    plan = found.plan
    return {
        "ok": code == exits.OK,
        "exit": code,
        "frames": str(plan.frames) if plan else "",
        "layers": {facts.layer: facts.to_dict() for facts in found.layers},
        "shared": plan.shared if plan else {},
        "out": plan.out.text if plan else "",
        "needed_bytes": found.needed_bytes,
        "free_bytes": found.free_bytes,
        "engine": choice.engine.name if choice.engine else None,
        "engine_source": choice.source,
        "notes": found.notes,
        "problems": [problem.to_wire() for problem in found.all_problems()],
    }
