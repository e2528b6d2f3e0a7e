"""Examples in docstrings use existing names only: modules, and what is imported from them or used through them."""

from __future__ import annotations

import ast
import builtins
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Iterator

import harmovid
import pytest

REPO = Path(__file__).resolve().parents[1]
ROOMS = ("core", "server")
SOURCES = sorted(path for room in ROOMS for path in (REPO / room).rglob("*.py"))
IMPORT = re.compile(r"^\s+from (harmovid[\w.]*) import ([\w, ]+?)(?:\s+#.*)?$", re.MULTILINE)
DOTTED = re.compile(r"`(harmovid(?:_\w+)?(?:\.\w+)+)`")


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, its classes and functions, and the texts that stand under constants."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value


def exists(dotted: str) -> bool:
    """Return whether a dotted name is a module, or something in one."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            if find_spec(".".join(parts[:end])) is None:
                continue
        except ModuleNotFoundError:
            continue
        found = import_module(".".join(parts[:end]))
        for name in parts[end:]:
            if not hasattr(found, name) and name not in getattr(found, "__dataclass_fields__", {}):
                return False
            found = getattr(found, name, None)
        return True
    return False


def named(path: Path) -> set[str]:
    """Return the dotted names of ours that a module's docstrings name, in examples and between backticks."""
    found: set[str] = set()
    for text in docstrings(path):
        found |= set(DOTTED.findall(text))
        for module, names in IMPORT.findall(text):
            found |= {f"{module}.{name.strip()}" for name in names.split(",")}
    # Groups of entry points look like modules.
    return {
        name for name in found if name not in ("harmovid.commands", "harmovid.plugins", "harmovid.engines")
    }


def called(path: Path) -> Iterator[tuple[str, str]]:
    """Yield classes and functions that example lines call, and the attribute of a class that they use, if any."""
    for text in docstrings(path):
        known = {name.strip() for _, names in IMPORT.findall(text) for name in names.split(",")}
        for line in re.findall(r"^ {0,4}(\S.*)$", text, re.MULTILINE):
            try:
                tree = ast.parse(
                    re.sub(r":( \.\.\.)?$", ": ...", line) if line.startswith(("with ", "for ")) else line
                )
            except SyntaxError:
                continue
            known |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and is_stored(node)}
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call):
                    continue
                owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
                attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if (
                    isinstance(owner, ast.Name)
                    and owner.id not in known
                    and (owner.id[0].isupper() or not attribute)
                ):
                    yield owner.id, attribute


def is_stored(node: ast.Name) -> bool:
    """Return whether a name is given a value."""
    return isinstance(node.ctx, ast.Store)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_what_examples_call_exists(path: Path) -> None:
    """Classes, functions and classmethods that an example calls are in its module, or are Python's own."""
    found = set(called(path))
    if not found:
        return
    parts = path.relative_to(REPO).with_suffix("").parts[1:]
    if path.name == "pool.py" and find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    module = import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    homes = [module, builtins, harmovid]

    for name, attribute in sorted(found):
        homes_of = [home for home in homes if hasattr(home, name)]
        assert homes_of, f"{name} is nowhere"
        assert not attribute or hasattr(getattr(homes_of[0], name), attribute), (
            f"{name}.{attribute} is not there"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPO).as_posix())
def test_what_docstrings_name_exists(path: Path) -> None:
    """Docstrings name only modules and attributes that exist, so renamed ones are renamed in the texts too."""
    assert [name for name in sorted(named(path)) if not exists(name)] == []
