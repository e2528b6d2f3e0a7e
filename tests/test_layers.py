"""Core runs inside hosts: it loads without any array or image library, and compiles for Python 3.9."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
ROOT_MODULES = sorted(
    "harmovid" if path.stem == "__init__" else f"harmovid.{path.stem}"
    for path in (REPO / "core" / "harmovid").glob("*.py")
)
CORE_FILES = sorted(path for path in (REPO / "core" / "harmovid").rglob("*.py") if "pixels" not in path.parts)
BLOCKED = ("numpy", "OpenImageIO", "OpenEXR", "cv2", "numba", "torch", "onnxruntime", "tqdm", "scipy")


@pytest.mark.parametrize("module", ROOT_MODULES)
def test_core_root_imports_without_any_array_library(module: str) -> None:
    """Every module of core's root imports in a process where numpy, torch and the rest cannot be imported."""
    code = (
        "import sys, importlib\n"
        f"blocked = {BLOCKED!r}\n"
        "for name in blocked: sys.modules[name] = None\n"
        f"importlib.import_module({module!r})\n"
        "loaded = [n for n in blocked if sys.modules.get(n) is not None]\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: p.relative_to(REPO).as_posix())
def test_core_parses_as_python_3_9(path: Path) -> None:
    """Core's sources (pixels apart) parse with the grammar of Python 3.9, the oldest host's."""
    ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 9))


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: p.relative_to(REPO).as_posix())
def test_core_postpones_annotations(path: Path) -> None:
    """Core's sources postpone annotations, so that newer type syntax is never evaluated in a Python 3.9 host."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    has_code = any(not isinstance(node, (ast.Expr, ast.Assign)) for node in tree.body)
    postponed = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
        for node in tree.body
    )

    assert postponed or not has_code
