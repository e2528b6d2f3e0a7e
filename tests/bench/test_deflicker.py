"""`bench/deflicker.py` runs for a newcomer: no footage, a few seconds, one JSON line that says what the table says."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(repo: Path, *words: str) -> tuple[list[str], dict[str, Any]]:
    """Run the bench; return its lines and its JSON."""
    command = [sys.executable, str(repo / "bench" / "deflicker.py"), *words]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return lines, json.loads(lines[-1])


def test_quick_runs_everything_on_numbers(repo: Path) -> None:
    """--quick needs no footage: every method has a number, the engine beats doing nothing, and a steady clip stays."""
    tests = ("exposure", "curves-fg", "steady", "speed")
    lines, found = run(repo, "--quick", "--tests", *tests)

    assert [row["test"] for row in found["rows"]] == ["exposure", "curves-fg"]
    for row in found["rows"]:
        numbers = {name: scores["psnr_g"] for name, scores in row["scores"].items()}
        assert all(math.isfinite(number) for number in numbers.values())
        assert numbers["HarmoVid"] > numbers["no-op"] + 3
        assert any(row["test"] in line and f"{numbers['HarmoVid']:.2f}" in line for line in lines)
    steady = next(row for row in found["others"] if row["test"] == "steady")
    assert steady["numbers"]["HarmoVid"] == {"stops": 0.0, "identical": 1.0}
    assert found["speed"]["ours_ms"] > 0


def test_help_names_the_tests(repo: Path) -> None:
    """--help says what there is and that --quick needs nothing."""
    command = [sys.executable, str(repo / "bench" / "deflicker.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert "--quick" in done.stdout
    assert "local-fg" in done.stdout
