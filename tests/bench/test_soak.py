"""`bench/soak.py` --quick runs in seconds and finds the faults that it looks for."""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fakes.benches import run_bench


@pytest.mark.fault
def test_a_few_seconds_of_mixed_clients_lose_nothing(repo: Path) -> None:
    """Every job of --quick is right, garbage was sent, and memory is reported by process for each part."""
    lines, found = run_bench(repo, "soak", "--quick", "--parts", "2")

    assert sum(found["jobs"].values()) >= 2
    assert found["frames"] > 0
    assert found["garbage"] > 0
    assert found["errors"] == []
    assert set(found["faults"].values()) == {0}
    assert len(found["memory_mib"]) == 2
    for part in found["memory_mib"]:
        assert {"main", "front", "worker", "codec"} <= set(part)
        assert part["total"] == pytest.approx(sum(size for role, size in part.items() if role != "total"))
    assert any(line.startswith("part 2") for line in lines)


def test_growth_is_from_the_first_third_to_the_last(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak in between does not count; without samples nothing has grown."""
    monkeypatch.syspath_prepend(str(repo / "bench"))
    growth = import_module("support.memory").growth
    samples = [{"main": 1.0, "codec": float(size)} for size in (100, 100, 900, 100, 110, 110)]
    assert growth(samples) == pytest.approx(10.0)
    assert growth([]) == 0.0


@pytest.fixture
def shots(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module that makes shots and looks at results."""
    monkeypatch.syspath_prepend(str(repo / "bench"))
    return import_module("support.soak_shots")


def test_each_fault_is_seen(shots: Any, tmp_path: Path) -> None:
    """A missing, swapped, changed, doubled or wrongly failed frame is counted as what it is; a good shot has none."""
    shot = shots.write_shot(tmp_path / "shot", 6, "null", 1, random.Random(1))
    good = [frame for frame in range(1, 7) if frame not in shot.bad]
    for frame in good:
        (tmp_path / "shot" / "out" / f"out.{frame}.exr").write_bytes(
            (tmp_path / "shot" / f"in.{frame}.exr").read_bytes()
        )
    shot.log.write_text("".join(f"{frame}\n" for frame in good))
    failed = dict.fromkeys(shot.bad, "frame_unreadable")
    assert not shots.look_at(shot, failed).any

    first, second, third = good[:3]
    (tmp_path / "shot" / "out" / f"out.{first}.exr").unlink()
    (tmp_path / "shot" / "out" / f"out.{second}.exr").write_bytes(
        (tmp_path / "shot" / f"in.{third}.exr").read_bytes()
    )
    shot.log.write_text(shot.log.read_text() + f"{third}\n")
    faults = shots.look_at(shot, {**failed, good[3]: "engine_failed"})
    assert (faults.lost, faults.corrupt, faults.doubled, faults.wrongly_failed) == (1, 1, 1, 1)
    (bad,) = shot.bad
    (tmp_path / "shot" / "out" / f"out.{bad}.exr").write_bytes(b"x")
    assert shots.look_at(shot, {}).taken_though_bad == 1
