"""What runs in Resolve's own Python imports the standard library alone, and is Python 3.9."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "plugin_resolve" / "harmovid_resolve"
OWN_PYTHON = (
    "serve_client.py",
    "serve_run.py",
    "serve_pixels.py",
    "window.py",
    "install.py",
    "doctor.py",
    "places.py",
    "HarmoVid.py",
)
"""Modules that run in the client's environment, and never in Resolve."""

IN_RESOLVE = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in OWN_PYTHON)


@pytest.mark.parametrize("path", IN_RESOLVE, ids=lambda path: path.name)
def test_only_the_standard_library(path: Path) -> None:
    """Every import is the standard library's or the package's own, and none of a module for the other Python."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names |= {node.module or "" for node in froms}
    used = {f"{node.module}.{alias.name}" for node in froms for alias in node.names} | names

    foreign = {
        name for name in names if name.split(".")[0] not in {*sys.stdlib_module_names, "harmovid_resolve"}
    }
    assert foreign == set()
    assert not {f"harmovid_resolve.{Path(name).stem}" for name in OWN_PYTHON} & used


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.12", "3.13", "3.14"])
def test_it_runs_in_a_bare_python(version: str) -> None:
    """Real interpreters without any package import every module and get to the sentence that no Resolve answers."""
    names = [path.stem for path in IN_RESOLVE if path.stem != "__init__"]
    code = (
        f"import sys, importlib; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        f"for name in {names!r}: importlib.import_module('harmovid_resolve.' + name)\n"
        "from harmovid_resolve import start; start.run({}, {'python': '/x'})\n"
        "print(sys.version_info[:2])"
    )
    try:
        words = [f"python{version}", "-S", "-E", "-c", code]
        # pyenv's shims need to be told which of their versions is meant.
        environ = {**os.environ, "PYENV_VERSION": version}
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environ)
    except OSError:
        pytest.skip(f"there is no Python {version} here")
    if "pyenv" in done.stderr and done.returncode:
        pytest.skip(f"there is no Python {version} here")

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("HarmoVid: no DaVinci Resolve answers")
    assert str(tuple(map(int, version.split(".")))) in done.stdout
