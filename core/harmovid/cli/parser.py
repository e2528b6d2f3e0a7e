"""The argument parser of `harmovid`: every command and flag. A test compares docs/cli.md with it.

An engine's inputs, options and presets are not defined here: they come from its description
(`harmovid.job.EngineInfo`) and are added to the job commands. So a job's command line is parsed in two stages: `early`
reads only which server to ask, then `build(engine)` parses everything.
"""

from __future__ import annotations

import argparse
import difflib
import re
from typing import Any, List, NoReturn, Optional, Sequence

from harmovid import __version__
from harmovid.cli import exits, host_plugins, plugin_commands
from harmovid.engines import ANY_TASK
from harmovid.errors import InputError
from harmovid.help_text import HelpParser
from harmovid.job import COMP, MATTE, PROXY, TARGET, EngineInfo, Option
from harmovid.key_limits import FORMS

PROGRAM = "harmovid"
JOB_COMMANDS = ("deflicker", "harmonize")
# Prefixes that separate an engine's inputs and options in the namespace from the command's own.
LAYER_PREFIX, OPTION_PREFIX = "engine_layer_", "engine_option_"
BENCHMARK_SIZES = ("540p", "1080p", "4K")
FRAMES_HELP = "Frames are written plate.####.exr, plate.%04d.exr, one file for all frames, or a folder."

EPILOG = "exit codes:\n" + "\n".join(f"  {code:<4} {text}" for code, text in exits.MEANINGS.items())


class Parser(HelpParser):
    """A parser that raises `InputError`, so that `--json` and exit codes apply to its errors too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Abbreviated flags would change their meaning if an engine adds an option.
        kwargs["allow_abbrev"] = False
        super().__init__(*args, **kwargs)
        # Frames may be below 0: -5--1 and -5:+0.2 are values, no flags. argparse knows single numbers only.
        self._negative_number_matcher = re.compile(r"-[0-9][-+0-9.,:x]*$")

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing the usage and exiting."""
        unknown = message.partition("unrecognized arguments: ")[2].split("=")[0].split()
        near = difflib.get_close_matches(unknown[0], self.flags(), 1) if unknown else []
        hint = ""
        if near:  # the flag itself, where another command has it
            taken = near[0] == unknown[0]
            hint = f"Other commands take {near[0]}. " if taken else f"Did you mean {near[0]}? "
        raise InputError(f"{message}.", fix=f"{hint}`{self.prog} --help` shows how it is used.")

    def flags(self) -> List[str]:
        """Return the flags of this parser and of its commands."""
        found: List[str] = []
        for action in self._actions:
            found += action.option_strings
            if isinstance(action, argparse._SubParsersAction):
                found += [flag for parser in action.choices.values() for flag in parser.flags()]
        return found


def early(words: Sequence[str]) -> argparse.Namespace:
    """Read the flags that decide which server to ask: `server`, `key`, `engine`, `help`; skip everything else.

    Raises:
        InputError: one of these flags has no value.
    """
    parser = Parser(prog=PROGRAM, add_help=False)
    _connection(parser)
    parser.add_argument("--engine")
    parser.add_argument("-h", "--help", action="store_true")
    return parser.parse_known_args(list(words))[0]


def build(engine: Optional[EngineInfo] = None, remark: str = "") -> Parser:
    """Return the complete parser.

    Args:
        engine: its options become flags of the job commands; None for no options.
        remark: end of a job command's help: where the engine options come from, or why there are none.
    """
    parser = Parser(
        prog=PROGRAM,
        description="Video harmonization and deflicker in scene-linear float EXR.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_jobs(commands, engine, remark)
    check = commands.add_parser("check", help="try a deflicker or harmonize command line; computes nothing")
    _add_jobs(check.add_subparsers(dest="task", metavar="COMMAND", required=True), engine, remark, dry=True)
    _add_server_commands(commands)
    _add_keys(commands)
    _add_local_commands(commands)
    plugin = commands.add_parser("plugin", help="install or remove the plugin of a host application")
    plugin.add_argument("action", metavar="ACTION", choices=host_plugins.ACTIONS, help="install or uninstall")
    plugin.add_argument("host", metavar="HOST", help="nuke, resolve")
    plugin.add_argument(
        "words", metavar="WORDS", nargs=argparse.REMAINDER, help="read by the plugin's installer"
    )
    _talk(plugin)
    # The command itself parses what follows.
    for name, (_, what) in plugin_commands.KNOWN.items():
        commands.add_parser(name, help=what, add_help=False)
    return parser


def _add_jobs(commands: Any, engine: Optional[EngineInfo], remark: str, dry: bool = False) -> None:
    helps = {
        "deflicker": "remove flicker from a plate",
        "harmonize": "give a foreground the light of a background",
    }
    for task in JOB_COMMANDS:
        job = commands.add_parser(
            task, help=helps[task], description=FRAMES_HELP, epilog=remark,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        fits = engine is not None and engine.task in (task, ANY_TASK)
        if engine is not None and fits:
            _add_required_layers(job, engine)
        _output(job)
        _add_strength(job, task)
        if task == "deflicker" and not dry:
            job.add_argument(
                "--diagnostics",
                metavar="DIR",
                help="write curves and previews to look at (index.html) and as data",
            )
        _job_flags(job, dry)
        if engine is not None and fits:
            _add_engine(job, engine)


def _add_strength(job: argparse.ArgumentParser, task: str) -> None:
    flag, what = {
        "deflicker": ("--amount", "how much of the flicker to remove: 0 nothing, 1 all that was found"),
        "harmonize": ("--strength", "how much of the relighting to apply: 0 nothing, 1 the engine's answer"),
    }[task]
    job.add_argument(
        flag,
        dest="strength",
        type=float,
        default=1.0,
        metavar=flag[2].upper(),
        help=f"{what} (default 1, up to 2)",
    )


def _add_required_layers(job: argparse.ArgumentParser, engine: EngineInfo) -> None:
    """Add the engine's required inputs as arguments, the target first."""
    for layer in engine.layers:
        if layer.required:
            job.add_argument(
                LAYER_PREFIX + layer.name, metavar=layer.name.upper(), help=_sentence(layer.help)
            )


def _add_engine(job: argparse.ArgumentParser, engine: EngineInfo) -> None:
    """Add the engine's other inputs, its presets and options, and `--output` if it gives more than one form."""
    for layer in engine.layers:
        if not layer.required:
            job.add_argument(
                _free_flag(job, layer.name), dest=LAYER_PREFIX + layer.name, metavar="M",
                help=f"frames of a matte: {_sentence(layer.help)}" if layer.kind == MATTE else _sentence(layer.help),
            )  # fmt: skip
    if len(engine.output_modes) > 1:
        said = {
            TARGET: f"the {'relit foreground' if engine.composites else 'corrected clip'} (default)",
            COMP: "that over the background",
            PROXY: "the network's own small picture, enlarged",
        }
        job.add_argument(
            "--output", dest="mode", choices=engine.output_modes, default=TARGET,
            help="; ".join(f"{mode}: {said[mode]}" for mode in engine.output_modes),
        )  # fmt: skip
    if engine.presets:
        names = [preset.name for preset in engine.presets]
        told = "; ".join(f"{preset.name}: {_sentence(preset.help)}" for preset in engine.presets)
        job.add_argument(
            "--preset",
            choices=names,
            metavar="P",
            help=f"a named set of option values; options that are given override it. {told}",
        )
    _add_options(job, engine)


def _free_flag(job: argparse.ArgumentParser, name: str) -> str:
    """Return the flag of an engine's input or option, with a prefix if the command itself has that flag."""
    flag = "--" + name.replace("_", "-")
    return f"--engine-{flag[2:]}" if flag in job._option_string_actions else flag


def _sentence(text: str) -> str:
    """Return a help text for argparse: without a full stop, and with "%" doubled."""
    return text.rstrip(".").replace("%", "%%")


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help="result frames: a pattern, or a folder (keeps the input's name)",
    )


def _job_flags(parser: argparse.ArgumentParser, dry: bool) -> None:
    parser.add_argument(
        "--frames", metavar="R", help="1001-1100, 1001-1100x2, 1,5,9-12 (default all that are found)"
    )
    parser.add_argument(
        "--handles", type=int, default=None, metavar="N",
        help="frames to either side that the engine sees too, so that a part of a shot fits the rest "
        "(default as many as the engine asks for; 0 for none)",
    )  # fmt: skip
    parser.add_argument("--engine", metavar="E", help="engine by name (default the server's for this task)")
    parser.add_argument(
        "--colorspace", action="append", default=[], metavar="[INPUT=]NAME",
        help="OpenColorIO space of all images or of one input (default scene-linear as the file says)",
    )  # fmt: skip
    parser.add_argument(
        "--layer", action="append", default=[], metavar="[INPUT=]LAYER",
        help="layer, part or view that is the picture, of all images or of one input (default the beauty)",
    )  # fmt: skip
    parser.add_argument(
        "--mask-channel", action="append", default=[], metavar="[INPUT=]CHANNEL",
        help="channel that is the matte, of all mattes or of one input (default by name and content)",
    )  # fmt: skip
    alpha = parser.add_mutually_exclusive_group()
    alpha.add_argument(
        "--premultiplied", dest="premultiplied", action="store_true", default=True,
        help="colours are multiplied by alpha (default)",
    )  # fmt: skip
    alpha.add_argument(
        "--unpremultiplied",
        dest="premultiplied",
        action="store_false",
        help="colours are not multiplied by alpha",
    )
    parser.add_argument(
        "--field", action="store_true", help="add the lighting field as channels harmovid.R/G/B, in stops"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are already there")
    parser.add_argument(
        "--map", action="append", default=[], metavar="LOCALPREFIX=ROOT",
        help="inputs under this folder are read by the server from its own root of that name",
    )  # fmt: skip
    parser.add_argument(
        "--label", default="", metavar="TEXT", help="name of the job in lists (default the output's name)"
    )
    _connection(parser)
    if not dry:
        parser.add_argument("--report", metavar="FILE.json", help="write the report of every frame")
        parser.add_argument(
            "-q",
            "--quiet",
            action="store_true",
            help="no progress, no notes; warnings and failed frames are told",
        )
    _talk(parser, events=not dry)


def _connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", metavar="ADDR", help="server address; empty text for a private one (the default)"
    )
    parser.add_argument("--key", metavar="FILE", help="key file to show to the server")


def _talk(parser: argparse.ArgumentParser, events: bool = False) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object on stdout")
    if events:
        form.add_argument("--events", action="store_true", help="a line of JSON on stdout for each event")
    parser.add_argument("--debug", action="store_true", help="show where in the program an error arose")


def _add_server_commands(commands: Any) -> None:
    engines = commands.add_parser("engines", help="list the engines and their options")
    presets = commands.add_parser("presets", help="list the presets of the engines")
    presets.add_argument("engine", metavar="ENGINE", nargs="?", help="an engine or a task (default all)")
    benchmark = commands.add_parser(
        "benchmark", help="measure the speed of this machine, per engine and size"
    )
    benchmark.add_argument(
        "--engine", action="append", default=[], metavar="E", help="an engine (default all; may be repeated)"
    )
    benchmark.add_argument(
        "--size", action="append", default=[], choices=BENCHMARK_SIZES, metavar="S",
        help=f"{', '.join(BENCHMARK_SIZES)} (default 540p and 1080p; may be repeated)",
    )  # fmt: skip
    benchmark.add_argument(
        "--frames", type=int, metavar="N",
        help="frames of a job that is timed (default 16, and those that the engine looks ahead)",
    )  # fmt: skip
    benchmark.add_argument("-q", "--quiet", action="store_true", help="no notes of what is being measured")
    status = commands.add_parser("status", help="show a job, or all of yours")
    status.add_argument("job", metavar="JOB", nargs="?", help="job id (or its beginning)")
    cancel = commands.add_parser("cancel", help="stop a job")
    cancel.add_argument("job", metavar="JOB", help="job id (or its beginning)")
    for parser in (engines, presets, benchmark, status, cancel):
        _connection(parser)
        _talk(parser)


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser("keys", help="make, list and authorize keys")
    actions = keys.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a key pair")
    new.add_argument("name", metavar="NAME", help="whose or what it is for: anna, render01")
    show = actions.add_parser("show", help="print a key's public half")
    show.add_argument("name", metavar="NAME")
    listing = actions.add_parser("list", help="list key pairs, and the clients that the server admits")
    authorize = actions.add_parser("authorize", help="admit a client by its public key")
    authorize.add_argument("file", metavar="FILE", help="the client's public key file")
    authorize.add_argument(
        "--admin", action="store_true", help="it may see, cancel and retry the jobs of all users"
    )
    limit = actions.add_parser("limit", help="limit what a client may have on the server at once")
    limit.add_argument("name", metavar="NAME")
    limit.add_argument(
        "limits",
        metavar="LIMIT",
        nargs="*",
        help=f"{FORMS}; 0 is no limit; none: those of the server's settings",
    )
    remove = actions.add_parser("remove", help="remove a client from the list")
    remove.add_argument("name", metavar="NAME")
    trust = actions.add_parser("trust", help="tell a key pair which server it is for")
    trust.add_argument("name", metavar="NAME", help="the client's pair")
    trust.add_argument("file", metavar="FILE", help="the server's public key file")
    for parser in (new, show, listing, trust, authorize, limit, remove):
        parser.add_argument(
            "--folder", metavar="DIR", help="the folder of keys (default the user's or the server's)"
        )
        _talk(parser)


def _add_local_commands(commands: Any) -> None:
    grade = commands.add_parser(
        "grade", help="export the global part of a delivered lighting field as CDL, LUT or Nuke node"
    )
    grade.add_argument("results", metavar="RESULT.exr", nargs="+", help="results made with --field")
    grade.add_argument(
        "-o",
        "--out",
        required=True,
        metavar="OUT",
        help=".cdl or .ccc (grades), .cube (3D LUT), .nk (Nuke Grade)",
    )
    grade.add_argument(
        "--colorspace", default="", metavar="NAME", help="the plate's OpenColorIO space, if the job named one"
    )
    grade.add_argument("--overwrite", action="store_true", help="replace a file that is already there")
    _talk(grade)
    watch = commands.add_parser("watch", help="run the job files that are dropped into a folder")
    watch.add_argument("folder", metavar="FOLDER", help="where job files are dropped, like shot010.job")
    watch.add_argument(
        "--every", type=float, default=2.0, metavar="S", help="seconds between two looks (default 2)"
    )
    watch.add_argument("--once", action="store_true", help="run what is there, then end")
    watch.add_argument(
        "--map", action="append", default=[], metavar="LOCALPREFIX=ROOT",
        help="inputs under this folder are read by the server from its own root of that name",
    )  # fmt: skip
    _connection(watch)
    _talk(watch, events=True)
    doctor = commands.add_parser("doctor", help="check the installation and say how to fix it")
    _connection(doctor)
    _talk(doctor)


def _add_options(parser: argparse.ArgumentParser, engine: EngineInfo) -> None:
    """Add one flag per option of `engine`; a name the command uses itself gets the prefix `--engine-`."""
    if not engine.options:
        return
    group = parser.add_argument_group(f"options of the engine {engine.name} {engine.version}", engine.summary)
    for option in engine.options:
        _add_option(group, _free_flag(parser, option.name), option)


def _add_option(group: Any, flag: str, option: Option) -> None:
    # No argparse default: an option that is not given is not sent, so the engine's own default applies.
    shared = {"dest": OPTION_PREFIX + option.name, "default": None, "help": _option_help(option)}
    if option.kind == "bool":
        group.add_argument(flag, action=_OnOff, **shared)
    elif option.kind == "choice":
        group.add_argument(flag, choices=option.choices, **shared)
    else:
        kinds = {"float": float, "int": int, "frame": int}
        group.add_argument(flag, type=kinds.get(option.kind, str), metavar=option.kind.upper(), **shared)


class _OnOff(argparse.Action):
    """`--name` and `--no-name`, without argparse's text about the default in the help."""

    def __init__(self, option_strings: Sequence[str], dest: str, default: Any = None, help: str = "") -> None:
        both = [*option_strings, *("--no-" + flag[2:] for flag in option_strings)]
        super().__init__(both, dest, nargs=0, default=default, help=help)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        """Store which of the two was given."""
        setattr(namespace, self.dest, not (option_string or "").startswith("--no-"))


def _option_help(option: Option) -> str:
    parts: List[str] = []
    if option.minimum is not None or option.maximum is not None:
        parts.append(f"{_bound(option.minimum)} to {_bound(option.maximum)}")
    parts.append(f"default {default_text(option)}")
    unit = f" {option.unit}" if option.unit and option.default not in (None, "") else ""
    return f"{_sentence(option.help)} ({', '.join(parts)}{unit})".replace("%%", "%").replace("%", "%%")


def default_text(option: Option) -> str:
    """Return an option's default as text; "none" if it is None or empty."""
    if option.kind == "bool":
        return "on" if option.default else "off"
    return "none" if option.default in (None, "") else str(option.default)


def _bound(value: Optional[float]) -> str:
    return "any" if value is None else f"{value:g}"
