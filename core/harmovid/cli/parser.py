"""The grammar of `harmovid`: every command and flag. docs/cli.md is held equal to it by a test.

Engine options are not written here: they come from the engine's own description (`harmovid.job.EngineInfo`)
and are added as flags to the job commands. So a job's command line is read in two stages: `early` reads just
enough to know which server to ask, `build(engine)` then reads everything.
"""

from __future__ import annotations

import argparse
from typing import Any, List, NoReturn, Optional, Sequence

from harmovid import __version__
from harmovid.cli import exits
from harmovid.errors import InputError
from harmovid.job import EngineInfo, Option

PROGRAM = "harmovid"
JOB_COMMANDS = ("deflicker", "harmonize")
# The job's image inputs by command, in the order of the command line; the rest of its inputs are mattes.
IMAGE_LAYERS = {"deflicker": ("plate",), "harmonize": ("fg", "bg")}
MATTE_LAYERS = {"deflicker": ("mask", "measure_mask"), "harmonize": ("matte", "measure_mask")}
# Where an engine's option keeps its value in the namespace, apart from the command's own.
OPTION_PREFIX = "engine_option_"

EPILOG = "exit codes:\n" + "\n".join(f"  {code:<4} {text}" for code, text in exits.MEANINGS.items())


class Parser(argparse.ArgumentParser):
    """A parser that complains with `InputError`, so that `--json` and exit codes hold for it too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Abbreviated flags would change their meaning when an engine brings a new option.
        kwargs["allow_abbrev"] = False
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise the complaint instead of printing the usage and leaving."""
        raise InputError(f"{message}.", fix=f"`{self.prog} --help` shows how it is used.")


def early(words: Sequence[str]) -> argparse.Namespace:
    """Read what decides whom to ask for engines: `server`, `key`, `engine`, `help`; skip everything else.

    Raises:
        InputError: if one of these flags stands without its value.
    """
    parser = Parser(prog=PROGRAM, add_help=False)
    _connection(parser)
    parser.add_argument("--engine")
    parser.add_argument("-h", "--help", action="store_true")
    return parser.parse_known_args(list(words))[0]


def build(engine: Optional[EngineInfo] = None, remark: str = "") -> Parser:
    """Return the whole grammar.

    Args:
        engine: whose options become flags of the job commands; None leaves them out.
        remark: last words of a job command's help: where the engine options come from, or why none.
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
    # What follows `serve` is read by the server itself, so that there is one list of its flags.
    commands.add_parser("serve", help="run a server", add_help=False)
    _add_server_commands(commands)
    _add_keys(commands)
    _add_local_commands(commands)
    # Likewise: the training room reads what follows (`harmovid.cli.plugin_commands`).
    commands.add_parser(
        "evaluate", help="measure methods on clips with masks; preference study", add_help=False
    )
    return parser


def _add_jobs(commands: Any, engine: Optional[EngineInfo], remark: str, dry: bool = False) -> None:
    deflicker = commands.add_parser(
        "deflicker", help="remove flicker from a plate", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    deflicker.add_argument(
        "plate", metavar="PLATE", help="frames: plate.####.exr, plate.%%04d.exr, or a folder"
    )
    _output(deflicker)
    deflicker.add_argument("--mask", metavar="M", help="frames of a matte: correct only where it is white")
    deflicker.add_argument(
        "--measure-mask", metavar="M", help="frames of a matte: measure only where it is white"
    )
    deflicker.add_argument(
        "--amount", dest="strength", type=float, default=1.0, metavar="A",
        help="how much of the flicker to remove: 0 nothing, 1 all that was found (default 1, up to 2)",
    )  # fmt: skip
    if not dry:
        deflicker.add_argument(
            "--diagnostics",
            metavar="DIR",
            help="write curves and previews to look at (index.html) and as data",
        )
    harmonize = commands.add_parser(
        "harmonize",
        help="give a foreground the light of a background",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    harmonize.add_argument("fg", metavar="FG", help="frames of the foreground")
    harmonize.add_argument("bg", metavar="BG", help="frames of the background")
    _output(harmonize)
    harmonize.add_argument(
        "--matte", metavar="M", help="frames of the foreground's matte (default FG's alpha)"
    )
    harmonize.add_argument(
        "--measure-mask",
        metavar="M",
        help="frames of a matte: match the part of the background where it is white",
    )
    harmonize.add_argument(
        "--output", dest="mode", choices=("fg", "comp"), default="fg",
        help="fg: the relit foreground (default); comp: that over the background",
    )  # fmt: skip
    harmonize.add_argument(
        "--strength", type=float, default=1.0, metavar="S",
        help="how much of the relighting to apply: 0 nothing, 1 the engine's answer (default 1, up to 2)",
    )  # fmt: skip
    for job in (deflicker, harmonize):
        _job_flags(job, dry)
        if engine is not None and engine.task in (job.prog.split()[-1], "any"):
            _add_options(job, engine)
        job.epilog = remark


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
    parser.add_argument("--engine", metavar="E", help="engine by name (default the server's for this task)")
    parser.add_argument(
        "--colorspace", action="append", default=[], metavar="[LAYER=]NAME",
        help="OpenColorIO space of all images or of one input (default scene-linear as the file says)",
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
        parser.add_argument(
            "--report", metavar="FILE.json", help="write everything that is known of every frame"
        )
        parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no notes")
    _talk(parser)


def _connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", metavar="ADDR", help="server address; empty text for a private one (the default)"
    )
    parser.add_argument("--key", metavar="FILE", help="key file to show to the server")


def _talk(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--debug", action="store_true", help="show where in the program an error arose")


def _add_server_commands(commands: Any) -> None:
    engines = commands.add_parser("engines", help="list the engines and their options")
    status = commands.add_parser("status", help="show a job, or all of yours")
    status.add_argument("job", metavar="JOB", nargs="?", help="job id (or its beginning)")
    cancel = commands.add_parser("cancel", help="stop a job")
    cancel.add_argument("job", metavar="JOB", help="job id (or its beginning)")
    for parser in (engines, status, cancel):
        _connection(parser)
        _talk(parser)


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser("keys", help="make, list and authorize keys")
    actions = keys.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make a key pair")
    new.add_argument("name", metavar="NAME", help="whose or what it is for: anna, render01")
    show = actions.add_parser("show", help="print a key's public half")
    show.add_argument("name", metavar="NAME")
    listing = actions.add_parser("list", help="list key pairs and whom the server lets in")
    authorize = actions.add_parser("authorize", help="let a client's public key in")
    authorize.add_argument("file", metavar="FILE", help="the client's public key file")
    remove = actions.add_parser("remove", help="shut a client out")
    remove.add_argument("name", metavar="NAME")
    trust = actions.add_parser("trust", help="tell a key pair which server it is for")
    trust.add_argument("name", metavar="NAME", help="the client's pair")
    trust.add_argument("file", metavar="FILE", help="the server's public key file")
    for parser in (new, show, listing, trust, authorize, remove):
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
    doctor = commands.add_parser("doctor", help="check the installation and say how to mend it")
    _connection(doctor)
    _talk(doctor)


def _add_options(parser: argparse.ArgumentParser, engine: EngineInfo) -> None:
    """Add one flag per option of `engine`; a name the command uses itself gets the prefix `--engine-`."""
    if not engine.options:
        return
    group = parser.add_argument_group(f"options of the engine {engine.name} {engine.version}", engine.summary)
    taken = parser._option_string_actions
    for option in engine.options:
        flag = "--" + option.name.replace("_", "-")
        if flag in taken:
            flag = "--engine-" + flag[2:]
        _add_option(group, flag, option)


def _add_option(group: Any, flag: str, option: Option) -> None:
    # No argparse default: an option that is not given is not sent, and the engine's own default holds.
    shared = {"dest": OPTION_PREFIX + option.name, "default": None, "help": _option_help(option)}
    if option.kind == "bool":
        group.add_argument(flag, action=_OnOff, **shared)
    elif option.kind == "choice":
        group.add_argument(flag, choices=option.choices, **shared)
    else:
        kinds = {"float": float, "int": int, "frame": int}
        group.add_argument(flag, type=kinds.get(option.kind, str), metavar=option.kind.upper(), **shared)


class _OnOff(argparse.Action):
    """`--name` and `--no-name`, without argparse's own remark on the default in the help text."""

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
        """Store which of the two was written."""
        setattr(namespace, self.dest, not (option_string or "").startswith("--no-"))


def _option_help(option: Option) -> str:
    parts: List[str] = []
    if option.minimum is not None or option.maximum is not None:
        parts.append(f"{_bound(option.minimum)} to {_bound(option.maximum)}")
    parts.append(f"default {default_text(option)}")
    unit = f" {option.unit}" if option.unit else ""
    # argparse expands "%" in help texts.
    said = option.help.rstrip(".")
    return f"{said} ({', '.join(parts)}{unit})".replace("%", "%%")


def default_text(option: Option) -> str:
    """Return an option's default as a person writes it."""
    if option.kind == "bool":
        return "on" if option.default else "off"
    return "none" if option.default is None else str(option.default)


def _bound(value: Optional[float]) -> str:
    return "any" if value is None else f"{value:g}"


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the engine options that were given on the command line, by the engine's own names."""
    return {
        name[len(OPTION_PREFIX):]: value
        for name, value in vars(args).items()
        if name.startswith(OPTION_PREFIX) and value is not None
    }  # fmt: skip
