"""From a job's command line to the arguments of `JobFiles.prepare`; the run and `check` both go through here."""

from __future__ import annotations

import argparse
import os
from typing import List, Mapping

from harmovid.cli import parser
from harmovid.job import EngineInfo
from harmovid.job_files import JobFiles
from harmovid.settings import Settings


def prepare(args: argparse.Namespace, engine: EngineInfo, config: Settings) -> JobFiles:
    """Return the job of a command line.

    Raises:
        InputError, OptionError, OutputError: see `JobFiles.prepare`.
    """
    return JobFiles.prepare(
        engine,
        parser.layers_of(args),
        args.out,
        frames=args.frames,
        options=parser.options_of(args, engine),
        output=getattr(args, "mode", "fg"),
        strength=args.strength,
        field=args.field,
        colorspace=parser.colorspace_of(args, engine),
        premultiplied=args.premultiplied,
        overwrite=args.overwrite,
        label=args.label,
        roots=config.roots if config.server else (),
        exr_layers=parser.exr_layers_of(args, engine),
        matte_channels=parser.matte_channels_of(args, engine),
        handles=args.handles,
    )


def ocio_remark(config: Settings, spaces: Mapping[str, str]) -> List[str]:
    """Return a sentence where this machine's `$OCIO` would be expected to count, and does not."""
    if config.server and spaces and os.environ.get("OCIO"):
        return [
            "$OCIO of this machine is not used: colour spaces are looked up in the server's configuration."
        ]
    return []
