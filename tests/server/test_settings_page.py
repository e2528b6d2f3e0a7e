"""docs/settings.md agrees with the program's settings."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from harmovid.settings import Settings
from harmovid_server.config import Config, load, parser
from harmovid_server.settings_page import main, page

ROW = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)


def test_the_page_is_current(repo: Path) -> None:
    """The committed page is the one that the command makes now."""
    committed = (repo / "docs" / "settings.md").read_text(encoding="utf-8")

    assert committed == page(), "run: python -m harmovid_server.settings_page docs/settings.md"


def test_the_page_has_every_setting_and_what_it_says_holds() -> None:
    """One row per setting of server and client; the program accepts each default and flag that the page shows."""
    rows = ROW.findall(page())
    assert [name for name, _ in rows] == [item.name for item in (*fields(Config), *fields(Settings))]
    server = {name: text.split(" | ") for name, text in rows[: len(fields(Config))]}
    flags = {flag for action in parser()._actions for flag in action.option_strings}
    for name, (flag, variable, default, unit, meaning) in server.items():
        assert flag.strip("`").split("`")[0].split(" ")[0] in flags
        assert variable == f"`HARMOVID_{name.upper()}`"
        if default and name != "roots":
            assert getattr(load([], {variable.strip("`"): default}), name) == getattr(Config(), name), name
        kind = getattr(Config(), name)
        is_number = isinstance(kind, (int, float)) and not isinstance(kind, bool)
        assert bool(unit) == (is_number and not name.endswith("port")), name
        assert meaning.endswith("."), name


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    """The command on the page makes it."""
    main([str(tmp_path / "settings.md")])
    command = [sys.executable, "-m", "harmovid_server.settings_page", str(tmp_path / "again.md")]
    subprocess.run(command, check=True, timeout=300)

    assert (tmp_path / "settings.md").read_text() == (tmp_path / "again.md").read_text() == page()
