"""One block of each published transformer at its real width and profile, exported and built by the real builder
(`bench/engines_rtx.py`, which builds whole models as well)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest
from export.tensorrt.test_build import builds

pytestmark = [builds, pytest.mark.slow, pytest.mark.timeout(1500)]
larger = pytest.mark.skipif(
    os.environ.get("HARMOVID_WIDTHS") != "all", reason="larger networks are built by make test-tensorrt"
)


def bench(repo: Path, size: str, precision: str) -> Dict[str, Any]:
    """Return what the bench prints for one layer."""
    words = ["--layers", "1", "--size", size, "--precision", precision]
    done = subprocess.run(
        [sys.executable, str(repo / "bench" / "engines_rtx.py"), *words],
        capture_output=True,
        text=True,
        timeout=1400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    ("size", "precision", "type", "millions"),
    [
        ("cogvideox-2b", "float16", "HALF", 67),
        pytest.param("cogvideox-5b", "bfloat16", "BF16", 150, marks=larger),
        pytest.param("cogvideox-1.5-5b", "bfloat16", "BF16", 151, marks=larger),
        pytest.param("cogvideox-2b", "float8", "FP8", 67, marks=larger),
    ],
)
def test_a_block_of_real_width_is_built(
    repo: Path, size: str, precision: str, type: str, millions: int
) -> None:
    """30 or 48 heads of 64, feed-forward of four times that, 21 latents of 60 x 90: built in the file's own types."""
    row = bench(repo, size, precision)
    assert row["parameters"] // 1_000_000 == millions
    assert row["layer_types"][type] > 0
    others = {"HALF", "BF16", "FP8"} - ({"BF16", "FP8"} if precision == "float8" else {type})
    assert not others & set(row["layer_types"])
    # A plan holds its weights once, and FP8's in half the bytes.
    assert 0.9 * row["onnx_mb"] < row["plan_mb"] < 1.3 * row["onnx_mb"]
