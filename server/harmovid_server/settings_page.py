"""Generates docs/settings.md from the settings.

    python -m harmovid_server.settings_page docs/settings.md       # write the page

A test compares the page with the output.
"""

from __future__ import annotations

import sys
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Dict, List, Sequence

from harmovid.settings import Settings
from harmovid.sizes import GIB, KIB, MIB, TIB
from harmovid.storage import atomic

from harmovid_server.config import Config

UNITS = {"_s": "s", "_bytes": "bytes", "_frames": "frames", "_jobs": "jobs"}
"""The unit of a number, by the end of its name."""

TOP = """# Settings

Every setting of the server and of the client. This page is made by
`python -m harmovid_server.settings_page docs/settings.md`; a test holds it equal to the program.

## The server

Flag, environment variable, file, default: the first that is set wins. The file is TOML and is named by `--config FILE`
or `HARMOVID_CONFIG`; its keys are the names of this table. Sizes take `K`, `M`, `G`, `T` (of 1024), as in `20GiB`. An
unknown key or a bad value ends the start with its name and place. What the settings do is explained in
[server.md](server.md).

| setting, key of the file | flag | environment | default | unit | meaning |
|---|---|---|---|---|---|
"""

CLIENT = """
## The client

Flag, environment variable, file, default: the first that is set wins. The file is `~/.config/harmovid/client.ini`
(`%APPDATA%\\harmovid\\client.ini` on Windows), or what `HARMOVID_CLIENT_CONFIG` names; see [cli.md](cli.md).

| setting | key of the file | flag | environment | default | meaning |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the text of docs/settings.md."""
    server = [_server_row(item) for item in fields(Config)]
    client = [_client_row(item) for item in fields(Settings)]
    return TOP + "".join(server) + CLIENT + "".join(client)


def _server_row(item: Field[Any]) -> str:
    flag = "--root NAME=/FOLDER" if item.name == "roots" else "--" + item.name.replace("_", "-")
    if item.type == "bool":
        flag += f"`, `--no-{flag[2:]}"
    default = getattr(Config(), item.name)
    shown = _shown(item.name, default)
    cells = [f"`{item.name}`", f"`{flag}`", f"`HARMOVID_{item.name.upper()}`", shown, _unit(item, default)]
    return _row([*cells, item.metadata["help"]])


def _unit(item: Field[Any], default: Any) -> str:
    if isinstance(default, bool) or not isinstance(default, (int, float)):
        return ""
    by_name = next((unit for end, unit in UNITS.items() if item.name.endswith(end)), "")
    return str(item.metadata["unit"] or by_name)


def _shown(name: str, default: Any) -> str:
    """Return a default as written in a settings file."""
    if isinstance(default, bool):
        return "no" if not default else "yes"
    if name.endswith("_bytes") and default:
        return _size(default)
    if isinstance(default, (int, float)):
        return f"{default:g}"
    return str(default) if default else ""


def _size(count: int) -> str:
    sizes: Dict[str, int] = {"TiB": TIB, "GiB": GIB, "MiB": MIB, "KiB": KIB}
    for name, size in sizes.items():
        if count % size == 0:
            return f"{count // size}{name}"
    return str(count)


def _client_row(item: Field[Any]) -> str:
    facts = item.metadata
    quoted = [f"`{facts[name]}`" if facts.get(name) else "" for name in ("key", "flag", "variable")]
    return _row([f"`{item.name}`", *quoted, facts.get("default", ""), facts["help"]])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def main(arguments: List[str]) -> None:
    """Write the page to the given file."""
    (path,) = arguments
    atomic.write_whole(str(Path(path)), page().encode("utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
