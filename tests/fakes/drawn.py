"""Pictures of windows, drawn in a process of its own by a real Qt without a screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict

import pytest

FAKES = Path(__file__).parent


def draw(script: str, folder: Path) -> Dict[str, Any]:
    """Run one of this folder's drawing scripts; return the JSON of its last line, with "folder".

    Skips the test where Qt or a library of the system that it needs is missing.
    """
    if find_spec("PySide6") is None:
        pytest.skip("PySide6 is not installed")
    environ = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(folder)}
    words = [sys.executable, str(FAKES / script), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, env=environ)
    if done.returncode and "cannot open shared object file" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout.splitlines()[-1]), "folder": folder}
