"""`bench/deflicker.py` runs without footage, in a few seconds, and its JSON line has the table's figures."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.benches import run_bench
from harmovid_evaluate.clips import synthetic_clip
from harmovid_training.metrics.quality import view


def test_quick_runs_everything_on_numbers(repo: Path) -> None:
    """--quick needs no footage: every method has a number, the engine beats no-op, and a steady clip is unchanged."""
    tests = ("exposure", "curves-fg", "quick", "steady", "speed")
    lines, found = run_bench(repo, "deflicker", "--quick", "--tests", *tests)

    assert [row["test"] for row in found["rows"]] == ["exposure", "curves-fg"]
    for row in found["rows"]:
        numbers = {name: scores["psnr_g"] for name, scores in row["scores"].items()}
        assert all(math.isfinite(number) for number in numbers.values())
        assert numbers["HarmoVid"] > numbers["no-op"] + 3
        assert any(row["test"] in line and f"{numbers['HarmoVid']:.2f}" in line for line in lines)
    steady = next(row for row in found["others"] if row["test"] == "steady")
    assert steady["numbers"]["HarmoVid"] == {"stops": 0.0, "identical": 1.0}
    quick = next(row for row in found["others"] if row["what"] == "synthetic, exposure")["numbers"]
    assert quick["quick"]["psnr_g"] > quick["no-op"]["psnr_g"] + 3
    assert found["speed"]["ours_ms"] > 0


def write_stills(folder: Path, frames: np.ndarray) -> None:
    """Write `(T, H, W, 3)` or `(T, H, W)` values of 0..1 as stills."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number:05d}.png"), np.round(frame * 255).astype(np.uint8))


def test_footage_is_read_from_folders(repo: Path, tmp_path: Path) -> None:
    """Clips from folders are cut together, films beside them are measured, and --only picks among both."""
    clip = synthetic_clip(6, 32)
    for name in ("one", "two"):
        write_stills(tmp_path / "clips" / name / "frames", view(clip.frames))
        write_stills(tmp_path / "clips" / name / "masks", clip.masks)
    flickering = clip.frames * np.where(np.arange(6) % 2, 1.3, 0.8)[:, None, None, None]
    for name in ("old-one", "other"):
        write_stills(tmp_path / "flicker" / name / "frames", view(flickering.astype(np.float32)))

    tests = ("--tests", "cut", "film", "--frames", "6")
    lines, found = run_bench(
        repo, "deflicker", "--clips", str(tmp_path / "clips"), *tests, "--only", "one", "two"
    )

    assert [(row["test"], row["what"]) for row in found["others"]] == [
        ("cut", "one | two"), ("film", "old-one (6 frames)"),
    ]  # fmt: skip
    film = found["others"][1]["numbers"]
    assert film["no-op"]["detail"] == 1
    assert film["no-op"]["local_stops"] > 0.1
    for number in ("local_stops", "along_stops"):
        assert film["HarmoVid"][number] < film["no-op"][number]
    assert film["light held"]["local_stops"] < film["no-op"]["local_stops"] / 2
    assert {"mean/std", "midway"} < set(film)
    assert any("light held" in line and "followed" in line for line in lines)


def test_results_are_kept_for_the_code_that_made_them(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result is computed once; another key or other sources are computed again; without a folder nothing is kept."""
    monkeypatch.syspath_prepend(str(repo / "bench"))
    cache = import_module("support.results_cache")
    source = tmp_path / "code.py"
    source.write_text("one = 1\n")
    made: list[int] = []

    def compute() -> dict[str, int]:
        made.append(1)
        return {"number": len(made)}

    kept = cache.ResultsCache(tmp_path / "kept", cache.sources(tmp_path))
    assert [kept.result({"seed": seed}, compute)["number"] for seed in (1, 1, 2)] == [1, 1, 2]
    source.write_text("one = 2\n")
    changed = cache.ResultsCache(tmp_path / "kept", cache.sources(tmp_path))
    assert changed.result({"seed": 1}, compute) == {"number": 3}
    assert cache.ResultsCache(None).result({"seed": 1}, compute) == {"number": 4}


def test_help_names_the_tests(repo: Path) -> None:
    """--help lists the tests and says that --quick needs no footage."""
    command = [sys.executable, str(repo / "bench" / "deflicker.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)

    assert "--quick" in done.stdout
    assert "local-fg" in done.stdout
