"""The names of the host API: all exist, are loaded on first use, and import no other package of ours or large
library."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import harmovid
import pytest

CORE = Path(harmovid.__file__).parent
SOURCES = sorted(CORE.rglob("*.py"))
OURS = ("server", "training", "evaluate", "export", "nuke", "resolve", "demo")


@pytest.mark.parametrize("name", harmovid.__all__)
def test_every_name_is_there(name: str) -> None:
    """Each name of the host API can be imported and has a docstring."""
    assert getattr(harmovid, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """An unknown name raises Python's own AttributeError."""
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harmovid.nothing  # noqa: B018


def test_importing_the_package_loads_none_of_its_modules() -> None:
    """`import harmovid` alone loads nothing; `dir` knows all names before they are loaded."""
    code = (
        "import sys, harmovid\n"
        "assert set(harmovid.__all__) <= set(dir(harmovid))\n"
        "loaded = [name for name in sys.modules if name.startswith('harmovid.')]\n"
        "sys.exit(str(loaded) if loaded else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(CORE).as_posix())
def test_core_names_no_package_of_ours(path: Path) -> None:
    """Core finds other packages by entry points only: it imports none, and no string in it names one of their
    modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
    imported = [
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    ] + [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]

    assert [
        name for name in (*texts, *imported) if name.startswith(tuple(f"harmovid_{room}" for room in OURS))
    ] == []
