"""`harmovid evaluate`: the parser of its command line, and the actions.

The core finds `run` through the entry point group `harmovid.commands`, so it does not import this package.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any, List, Sequence

from harmovid.cli.console import Console
from harmovid.cli.parser import Parser

from harmovid_evaluate.harmonize_looks import LOOKS
from harmovid_evaluate.testsets import SETS

PROGRAM = "harmovid evaluate"
STAND_IN, ENGINE, IC_LIGHT = "stand-in", "engine", "ic-light"

# Action -> the module whose `run(args, console)` does it.
_MODULES = {
    "run": "harmovid_evaluate.run_action",
    "study": "harmovid_evaluate.study.action",
    "study-summary": "harmovid_evaluate.study.action",
}


def run(words: Sequence[str], console: Console) -> int:
    """Run `harmovid evaluate WORDS` and return its exit code.

    Raises:
        HarmoVidError: the command line or what it names cannot be used.
    """
    args = build().parse_args(list(words))
    code: int = import_module(_MODULES[args.action]).run(args, console)
    return code


def build() -> Parser:
    """Return the parser."""
    parser = Parser(
        prog=PROGRAM, description="Measure harmonization and deflicker methods on clips with masks."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_run(actions)
    _add_study(actions)
    return parser


def _add_run(actions: Any) -> None:
    parser = actions.add_parser(
        "run", help="make the test sets, run the methods, measure, and write table and page"
    )
    parser.add_argument(
        "clips",
        metavar="CLIPS",
        type=Path,
        help="a folder of clips, each with frames/ and masks/, or a clips.jsonl",
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", type=Path, required=True, help="folder of the evaluation"
    )
    _sets(parser.add_argument_group("test sets"))
    _methods(parser.add_argument_group("methods"))
    _weights(parser.add_argument_group("measures that need weights"))
    add_output_flags(parser)


def _add_study(actions: Any) -> None:
    study = actions.add_parser("study", help="serve a blind preference study of a finished evaluation")
    study.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="SET",
        help="clips of this set (repeat; default all)",
    )
    study.add_argument(
        "--method", action="append", default=[], metavar="NAME",
        help="judge this row (repeat; default all but the composite as it is and the original)",
    )  # fmt: skip
    study.add_argument(
        "--clips", type=int, default=10, metavar="N", help="clips per participant (default 10)"
    )
    study.add_argument("--seed", type=int, default=0, metavar="N", help="of all orders (default 0)")
    study.add_argument("--host", default="127.0.0.1", metavar="ADDR", help="to listen at (default 127.0.0.1)")
    study.add_argument("--port", type=int, default=8765, metavar="N", help="default 8765; 0 takes a free one")
    summary = actions.add_parser(
        "study-summary", help="shares and confidence intervals of a study, also a running one"
    )
    for parser in (study, summary):
        parser.add_argument("out", metavar="OUT", type=Path, help="folder of the evaluation")
        add_output_flags(parser)


def _sets(group: Any) -> None:
    names = [each.name for each in SETS]
    group.add_argument(
        "--set", dest="sets", action="append", choices=names, default=[],
        help="make this set (repeat; default the paper's three, and relit where the index has it)",
    )  # fmt: skip
    group.add_argument("--only", action="append", default=[], metavar="CLIP", help="this clip only (repeat)")
    group.add_argument(
        "--lines", type=int, default=240, metavar="N", help="height of the frames (default 240)"
    )
    group.add_argument(
        "--frames", type=int, default=40, metavar="N", help="largest number of frames of a clip (default 40)"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    group.add_argument(
        "--look",
        choices=list(LOOKS),
        default="creative",
        help="procedural look of the set lut (default creative)",
    )
    group.add_argument(
        "--luts", type=Path, metavar="DIR", help="folder of .cube files, instead of procedural looks"
    )
    group.add_argument(
        "--harmonizer", default=STAND_IN, metavar="H",
        help="of the set harmonized, frame by frame: stand-in (default; statistics with an error of light in every "
        "frame), engine (ours), ic-light (with --ic-light), or a command with "
        "{foreground} {background} {mask} {out}, folders of EXR",
    )  # fmt: skip


def _methods(group: Any) -> None:
    group.add_argument(
        "--method", action="append", default=[], metavar="NAME",
        help="this built-in row only (repeat; default all classical ones and all engines)",
    )  # fmt: skip
    group.add_argument(
        "--checkpoint", action="append", default=[], metavar="NAME=DIR", help="a checkpoint of ours (repeat)"
    )
    group.add_argument(
        "--vae", default="", metavar="NAME|DIR", help="the checkpoints' VAE: model name or folder"
    )
    group.add_argument(
        "--sampler", default="", metavar="S", help="of checkpoints (default the schedule's first)"
    )
    group.add_argument("--steps", type=int, default=50, metavar="N", help="of the sampler (default 50)")
    group.add_argument("--window", type=int, default=81, metavar="N", help="frames of a window (default 81)")
    group.add_argument(
        "--results", action="append", default=[], metavar="NAME=DIR",
        help="results of another method, in DIR/SET/CLIP/ or DIR/SET/CLIP.mp4 (repeat)",
    )  # fmt: skip
    group.add_argument(
        "--command", action="append", default=[], metavar="NAME=WORDS",
        help="another method as a command with {composite} {plate} {mask}, or these with _png, and {out} (repeat)",
    )  # fmt: skip
    group.add_argument(
        "--ic-light", type=Path, metavar="FILE", help="iclight_sd15_fbc.safetensors: run IC-Light"
    )
    group.add_argument(
        "--ic-light-base", default="stablediffusionapi/realistic-vision-v51", metavar="NAME|DIR",
        help="Stable Diffusion 1.5, by name or folder",
    )  # fmt: skip


def _weights(group: Any) -> None:
    group.add_argument(
        "--lpips", action="append", default=[], metavar="NAME|FILE",
        help="LPIPS: alex or vgg where they are installed, or the files of both parts (repeat)",
    )  # fmt: skip
    group.add_argument(
        "--clip", default="", metavar="NAME|DIR", help="CLIP score: a CLIP model, by name or folder"
    )
    group.add_argument(
        "--raft",
        default="",
        metavar="NAME|FILE",
        help="RAFT: raft-large or raft-small of torch's hub, or a file",
    )


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every action has."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no notes")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def named(values: List[str], flag: str) -> List[List[str]]:
    """Return NAME=VALUE pairs, split.

    Raises:
        InputError: one has no name or no value.
    """
    from harmovid.errors import InputError

    pairs = [value.split("=", 1) for value in values]
    for pair, value in zip(pairs, values):
        if len(pair) != 2 or not pair[0].strip() or not pair[1].strip():
            raise InputError(f"{flag} {value!r} is not NAME=VALUE.", fix=f'Write {flag} "My method=...".')
    return [[name.strip(), text.strip()] for name, text in pairs]
