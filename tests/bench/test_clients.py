"""`bench/clients.py` --quick runs in seconds, and its numbers are consistent."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.benches import run_bench


def test_quick_tells_shares_and_latency(repo: Path) -> None:
    """Two clients with keys of their own get frames; the distances are those of their counts from the mean."""
    lines, found = run_bench(repo, "clients", "--quick")

    (row,) = found["rows"]
    assert row["clients"] == len(row["frames"]) == 2
    assert min(row["frames"]) > 0
    mean = sum(row["frames"]) / 2
    assert row["most_percent"] == pytest.approx(100 * (max(row["frames"]) / mean - 1))
    assert row["least_percent"] == pytest.approx(100 * (min(row["frames"]) / mean - 1))
    assert found["worst_percent"] == pytest.approx(max(row["most_percent"], -row["least_percent"]))
    assert any("largest distance from the mean" in line for line in lines)
