"""From a job's command line to the arguments of `JobFiles.prepare`, for both the run and `check`."""

from __future__ import annotations

import argparse
import os
from typing import Any, Container, Dict, List, Mapping, Optional, Sequence

from harmovid.cli.parser import LAYER_PREFIX, OPTION_PREFIX
from harmovid.errors import InputError
from harmovid.file_plan import FilePlan
from harmovid.job import IMAGE, MATTE, PANORAMA, VECTORS, EngineInfo
from harmovid.job_files import JobFiles
from harmovid.settings import Settings


def prepare(args: argparse.Namespace, engine: EngineInfo, config: Settings) -> JobFiles:
    """Return the job of a command line.

    Raises:
        InputError, OptionError, OutputError: see `JobFiles.prepare`.
    """
    return JobFiles.prepare(
        engine,
        layers_of(args),
        args.out,
        frames=args.frames,
        options=options_of(args, engine),
        output=getattr(args, "mode", "fg"),
        strength=args.strength,
        field=args.field,
        colorspace=colorspace_of(args, engine),
        premultiplied=args.premultiplied,
        overwrite=args.overwrite,
        label=args.label,
        roots=config.roots if config.server else (),
        exr_layers=exr_layers_of(args, engine),
        matte_channels=matte_channels_of(args, engine),
        handles=args.handles,
    )


def refuse_empty(args: argparse.Namespace) -> None:
    """Raise `InputError` for a flag or an input that is given without a value, as by a variable that is not set."""
    fix = "Give it a value, or leave it out. If a variable stands there, it is not set."
    for name in ("out", "frames", "engine", "report", "diagnostics"):
        if getattr(args, name, None) == "":
            raise InputError(f"--{name} is empty.", fix=fix)
    for layer, text in layers_of(args).items():
        if not text:
            raise InputError(f"the input {layer} is empty.", fix=fix)


def map_remark(args: argparse.Namespace, config: Settings, plan: FilePlan) -> List[str]:
    """Return a sentence if `--map` is given but changes nothing."""
    if args.map and not config.server:
        return ["--map is not used: a private server reads no shared storage."]
    if args.map and not plan.shared:
        return ["--map is not used: no input can be read from there, and all are sent."]
    return []


def ocio_remark(config: Settings, spaces: Mapping[str, str]) -> List[str]:
    """Return a sentence if this machine's `$OCIO` is set but not used."""
    if config.server and spaces and os.environ.get("OCIO"):
        return [
            "$OCIO of this machine is not used: colour spaces are looked up in the server's configuration."
        ]
    return []


def options_of(args: argparse.Namespace, engine: Optional[EngineInfo] = None) -> Dict[str, Any]:
    """Return the engine options of a command line by the engine's own names: the preset's, under those given."""
    preset = getattr(args, "preset", None)
    named = engine.preset(preset).options if engine is not None and preset else {}
    return {**named, **_prefixed(args, OPTION_PREFIX)}


def layers_of(args: argparse.Namespace) -> Dict[str, str]:
    """Return the inputs of a command line by the engine's own names."""
    return _prefixed(args, LAYER_PREFIX)


def colorspace_of(args: argparse.Namespace, engine: EngineInfo) -> Dict[str, str]:
    """Return the colour space of each image that is given one; `NAME` alone means all images that are given.

    Raises:
        InputError: a text that cannot be read, or a matte.
    """
    mattes = engine.layers_of(MATTE)
    for layer in (text.partition("=")[0] for text in args.colorspace if "=" in text):
        if layer in mattes:
            raise InputError(
                f"{layer} is a matte and has no colour space.", fix="Leave it out of --colorspace."
            )
    return _by_input("--colorspace", args.colorspace, engine.layers_of(IMAGE), layers_of(args))


def exr_layers_of(args: argparse.Namespace, engine: EngineInfo) -> Dict[str, str]:
    """Return the layer of each input that one is chosen of; `LAYER` alone means all images that are given.

    A panorama's or normals' layer is chosen by `INPUT=LAYER` alone.

    Raises:
        InputError: a text that cannot be read, or a matte.
    """
    others = (*engine.layers_of(PANORAMA), *engine.layers_of(VECTORS))
    return _by_input("--layer", args.layer, engine.layers_of(IMAGE), layers_of(args), others)


def matte_channels_of(args: argparse.Namespace, engine: EngineInfo) -> Dict[str, str]:
    """Return the channel of each matte that one is chosen of; `CHANNEL` alone means all mattes that are given.

    Raises:
        InputError: a text that cannot be read, an input that is no matte, or no matte at all.
    """
    given, mattes = layers_of(args), engine.layers_of(MATTE)
    if args.mask_channel and not any(matte in given for matte in mattes):
        raise InputError("--mask-channel is given, but no matte.", fix="Give the matte as well.")
    return _by_input("--mask-channel", args.mask_channel, mattes, given)


def _by_input(
    flag: str, texts: Sequence[str], inputs: Sequence[str], given: Container[str], others: Sequence[str] = ()
) -> Dict[str, str]:
    """Return the values of a flag that is written `VALUE`, for all `inputs` that are given, or `INPUT=VALUE`, also for
    `others`.

    Raises:
        InputError: a text that cannot be read.
    """
    everywhere: Dict[str, str] = {}
    single: Dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and name in (*inputs, *others) and value:
            single[name] = value
        elif text and not equals:
            everywhere.update((each, text) for each in inputs if each in given)
        else:
            what = {"--colorspace": "NAME", "--layer": "LAYER"}.get(flag, "CHANNEL")
            raise InputError(
                f"{flag} {text!r} cannot be read.",
                fix=f"Write {what} or " + " or ".join(f"{each}={what}" for each in (*inputs, *others)) + ".",
            )
    return {**everywhere, **single}


def _prefixed(args: argparse.Namespace, prefix: str) -> Dict[str, Any]:
    return {
        name[len(prefix):]: value
        for name, value in vars(args).items()
        if name.startswith(prefix) and value is not None
    }  # fmt: skip
