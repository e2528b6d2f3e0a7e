"""`bench/harmonize.py` runs for a newcomer: no footage, one JSON line that says what the table says."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path


def test_quick_runs_on_numbers(repo: Path) -> None:
    """--quick needs no footage: every method has a finite gain, ours is there, and the field is steadier over time."""
    command = [sys.executable, str(repo / "bench" / "harmonize.py"), "--quick", "--looks", "strong"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = json.loads(lines[-1])

    gains = found["gains_db"]["strong"]
    assert {"ours", "ours, per frame", "ours, global only", "oracle gain", "harmonize-statistics"} <= set(
        gains
    )
    assert all(math.isfinite(value) for value in gains.values())
    assert any("ours, per frame" in line and f"{gains['ours, per frame']:.2f}" in line for line in lines)
    facts = found["facts"]
    assert facts["field_change"] <= facts["change_per_frame"]
