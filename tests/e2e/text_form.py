"""A panel as plain text, made from `harmovid engines --json` and nothing else; filled in, it runs the job.

    python text_form.py ENGINE < engines.json                    # prints the empty form
    python text_form.py ENGINE --filled FORM.txt < engines.json  # runs what the form says, prints the results' pattern

It stands for a host's panel: it handles kinds of layers and options, but has no name of an engine, layer or option.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from harmovid import EngineInfo, JobFiles, connect, load_settings
from harmovid.job import Option

READ = {
    "float": float,
    "int": int,
    "frame": int,
    "bool": lambda text: {"yes": True, "no": False}[text],
    "choice": str,
    "str": str,
}


def form(engine: EngineInfo) -> list[str]:
    """Return the lines of an engine's empty form: a heading per group, a line per input and option."""
    lines = [f"# {engine.name}: {engine.summary}", "[Inputs]"]
    for layer in engine.layers:
        needed = "required" if layer.required else "optional"
        lines.append(f"{layer.label} = ({needed} {layer.kind}) {layer.help}")
    lines.append("Results = (required) Where the frames go.")
    group = None
    for option in engine.options:
        if option.group != group:
            group = option.group
            lines.append(f"[{group}]")
        lines.append(f"{option.label} = {_shown(option)}")
    return lines


def _shown(option: Option) -> str:
    """Return an option's default, its unit and what it may be."""
    value = ("yes" if option.default else "no") if option.kind == "bool" else option.default
    value = "none" if value is None else value
    bounds = [end for end in (option.minimum, option.maximum) if end is not None]
    span = " | ".join(option.choices) or " to ".join(f"{end:g}" for end in bounds)
    told = ", ".join(part for part in (option.unit, span) if part)
    return f"{value} ({told}) {option.help}" if told else f"{value} {option.help}"


def read_form(engine: EngineInfo, text: str) -> tuple[dict[str, str], dict[str, Any], str]:
    """Return inputs, options and results of a filled form: lines `Label = value`; others keep their defaults."""
    filled = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    inputs = {layer.name: filled[layer.label] for layer in engine.layers if layer.label in filled}
    options = {
        option.name: None if filled[option.label] == "none" else READ[option.kind](filled[option.label])
        for option in engine.options
        if option.label in filled
    }
    return inputs, options, filled["Results"]


def main(words: list[str]) -> int:
    """See the module."""
    described = {entry["name"]: EngineInfo.from_dict(entry) for entry in json.load(sys.stdin)["engines"]}
    engine = described[words[0]]
    if len(words) == 1:
        sys.stdout.write("\n".join(form(engine)) + "\n")
        return 0
    inputs, options, out = read_form(engine, Path(words[2]).read_text("utf-8"))
    with connect(load_settings()) as client:
        job = JobFiles.prepare(engine, inputs, out, options=options)
        client.start(job).result()
    sys.stdout.write(job.plan.out.text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
