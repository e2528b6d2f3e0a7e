"""`harmovid presets [ENGINE]`: the named option sets of engines, from the engines' own descriptions."""

from __future__ import annotations

import argparse
from typing import Any, Dict, List

from harmovid.cli import exits
from harmovid.cli.console import Console, ok_result, table
from harmovid.cli.engine_choice import described
from harmovid.engines import choose
from harmovid.job import EngineInfo, OptionValue, Preset
from harmovid.settings import load_settings


def run(args: argparse.Namespace, console: Console) -> int:
    """List the presets of one engine, or of all.

    Raises:
        EngineUnknown: neither an engine nor a task has that name.
        WireError: the server cannot be reached.
    """
    settings = load_settings(args.server, args.key)
    engines = described(settings)
    if args.engine:
        engines = [choose(engines, args.engine)]
    console.result(ok_result(engines={engine.name: _plain(engine) for engine in engines}))
    rows = [_row(engine, preset) for engine in engines for preset in engine.presets]
    for line in table(rows, ["ENGINE", "PRESET", "SETS", "FOR"]) if rows else []:
        console.text(line)
    without = [engine.name for engine in engines if not engine.presets]
    if without:
        console.text(f"{'' if not rows else chr(10)}no presets: {', '.join(without)}")
    return exits.OK


def _plain(engine: EngineInfo) -> List[Dict[str, Any]]:
    return [
        {"name": one.name, "label": one.label, "help": one.help, "options": dict(one.options)}
        for one in engine.presets
    ]


def _row(engine: EngineInfo, preset: Preset) -> List[str]:
    sets = " ".join(_flag(name, value) for name, value in preset.options.items())
    return [engine.name, preset.name, sets or "(the defaults)", preset.help]


def _flag(name: str, value: OptionValue) -> str:
    """Return an option value as written on a command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"
