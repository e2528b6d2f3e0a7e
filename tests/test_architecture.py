"""docs/architecture.md lists every module of core, and no other; no import is hidden from the contracts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
LAYOUT = (
    (REPO / "docs" / "architecture.md").read_text(encoding="utf-8").split("## 3. Layout")[1].split("```")[1]
)
CORE = LAYOUT.split("core/harmovid/pixels/")[0]
NAMED = set(re.findall(r"[a-z_0-9]+\.py", CORE))
PLUGIN_FILES = sorted(
    path
    for plugin in ("plugin_nuke/harmovid_nuke", "plugin_resolve/harmovid_resolve")
    for path in (REPO / plugin).rglob("*.py")
)


def test_the_layout_names_cores_modules_and_no_others() -> None:
    """The page lists exactly the existing modules; the packages of pixels are listed as a whole."""
    paths = [path for path in (REPO / "core" / "harmovid").rglob("*.py") if "pixels" not in path.parts]
    modules = {path.name for path in paths if not path.name.startswith("__")}

    assert NAMED - {"__init__.py"} - modules == set()
    assert modules - NAMED == set()


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_plugins_import_their_own_modules_by_statements(path: Path) -> None:
    """A module of ours that is imported by its name in a string could hide a circle from the contracts."""
    hidden = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
        if any("harmovid" in ast.unparse(word) or "__name__" in ast.unparse(word) for word in node.args)
    ]
    assert hidden == []
