"""From a job's specification back to the command line that makes the job, to run it once more.

    shlex.join(words(spec, engine))

The server does not know the paths of files, so the inputs and the folder of the results are placeholders in capitals:
PLATE, OUTPUT. With the same files the command is the same job, and makes only what is missing. Handles are left out,
because a specification names them frame by frame: by default the engine asks for as many as it needs.
"""

from __future__ import annotations

import argparse
from typing import Dict, Iterator, List, Mapping, Union

from harmovid.cli import parser
from harmovid.file_plan import EXTENSION
from harmovid.job import EngineInfo, JobSpec, OptionValue

OUTPUT = "OUTPUT"


def words(spec: JobSpec, engine: EngineInfo) -> List[str]:
    """Return the command line of a job, program name first.

    Args:
        spec: the job.
        engine: its engine, as the server describes it; options with their default values are left out.
    """
    task = engine.task if engine.task in parser.JOB_COMMANDS else parser.JOB_COMMANDS[0]
    flags = _flags(task, engine)
    required = [layer.name.upper() for layer in engine.layers if layer.required]
    result = [parser.PROGRAM, task, *required, "-o", _output(spec), "--frames", spec.frames]
    result += ["--engine", spec.engine]
    for layer in engine.layers:
        if not layer.required and layer.name in spec.layers:
            result += [flags[parser.LAYER_PREFIX + layer.name], layer.name.upper()]
    if spec.output.mode != "fg":
        result += ["--output", spec.output.mode]
    if spec.output.strength != 1.0:
        result += [flags["strength"], str(spec.output.strength)]
    result += [] if spec.output.premultiplied else ["--unpremultiplied"]
    result += ["--field"] if spec.output.field_layers else []
    for flag, chosen in _choices(spec).items():
        for layer_name, value in sorted(chosen.items()):
            result += [flag, f"{layer_name}={value}"]
    result += [] if _is_default_label(spec) else ["--label", spec.label]
    return [*result, *_options(spec, engine, flags)]


def _flags(task: str, engine: EngineInfo) -> Dict[str, str]:
    """Return the flags of a job command by the name of the argument that they set."""
    commands = next(a for a in parser.build(engine)._actions if isinstance(a, argparse._SubParsersAction))
    actions = commands.choices[task]._actions
    return {action.dest: action.option_strings[-1] for action in actions if action.option_strings}


def _is_default_label(spec: JobSpec) -> bool:
    """Return whether a label is the default one, made of the engine's and the results' names."""
    name = spec.label[len(spec.engine) + 1 :]
    return spec.label.startswith(f"{spec.engine} ") and name.endswith(EXTENSION) and "/" not in name


def _output(spec: JobSpec) -> str:
    name = spec.label[len(spec.engine) + 1 :]
    return f"{OUTPUT}/{name}" if _is_default_label(spec) else OUTPUT


def _choices(spec: JobSpec) -> Dict[str, Mapping[str, str]]:
    return {
        "--colorspace": spec.colorspace,
        "--layer": spec.exr_layers,
        "--mask-channel": spec.matte_channels,
    }


def _options(spec: JobSpec, engine: EngineInfo, flags: Mapping[str, str]) -> Iterator[str]:
    for option in engine.options:
        value = spec.options.get(option.name, option.default)
        if value != option.default:
            yield _option(flags[parser.OPTION_PREFIX + option.name], value)


def _option(flag: str, value: Union[OptionValue, None]) -> str:
    """Return one option as a word: `--no-local`, `--limit=-0.5`; a number may begin with a minus."""
    if isinstance(value, bool):
        # Of the two flags of a switch the last one is the one that turns it off.
        return flag if not value else flag.replace("--no-", "--", 1)
    return f"{flag}={value}"
