"""Nothing of ours reports to anybody: libraries that would are told not to before they are loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harmovid import telemetry

# Each switches it off when it is imported, and so before ONNX Runtime is.
SWITCHING = {
    "harmovid_server.runtimes": "server/harmovid_server/runtimes",
    "harmovid_training": "training/harmovid_training",
    "harmovid_export": "export/harmovid_export",
}
SOURCES = ("core", "server", "training", "export", "plugin_nuke", "plugin_resolve", "demo")


@pytest.mark.parametrize("package", SWITCHING)
def test_a_package_that_uses_onnx_runtime_switches_it_off(package: str) -> None:
    """In a process without any setting the variable is there once the package is imported."""
    environ = {name: value for name, value in os.environ.items() if name != telemetry.ONNX_RUNTIME}
    code = f"import os, sys, {package}; print(os.environ['{telemetry.ONNX_RUNTIME}'], 'onnxruntime' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, timeout=300
    )
    assert done.stdout.split() == ["1", "False"], done.stderr


def test_nothing_else_imports_onnx_runtime(repo: Path) -> None:
    """Every import of it stands in one of those packages."""
    found = [
        str(path.relative_to(repo))
        for source in SOURCES
        for path in (repo / source).rglob("*.py")
        if re.search(r"^\s*(?:import|from) onnxruntime\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert found
    assert [
        path for path in found if not path.startswith(tuple(f"{one}/" for one in SWITCHING.values()))
    ] == []


def test_a_choice_of_the_users_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wants the reports sets the variable."""
    monkeypatch.setenv(telemetry.ONNX_RUNTIME, "0")
    telemetry.switch_off()
    assert os.environ[telemetry.ONNX_RUNTIME] == "0"
