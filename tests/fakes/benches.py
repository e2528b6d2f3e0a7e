"""The benches as users run them: in a process of their own, with one thread for linear algebra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_bench(repo: Path, name: str, *words: str, timeout_s: float = 500) -> tuple[list[str], dict[str, Any]]:
    """Run `bench/NAME.py`; return its lines, and the JSON of the last one."""
    command = [sys.executable, str(repo / "bench" / f"{name}.py"), *words]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    return lines, json.loads(lines[-1])
