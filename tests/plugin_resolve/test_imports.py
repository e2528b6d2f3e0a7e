"""What runs in Resolve's own Python imports the standard library alone, and is Python 3.9."""

from __future__ import annotations

import ast
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

    strangers = {
        name for name in names if name.split(".")[0] not in {*sys.stdlib_module_names, "harmovid_resolve"}
    }
    assert strangers == set()
    assert not {f"harmovid_resolve.{Path(name).stem}" for name in OWN_PYTHON} & used
