"""The demo's clips for the evaluation: an index whose roles fit each other pixel by pixel, rendered once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from harmovid_demo.clips import main
from harmovid_training.clips.index import read_index
from harmovid_training.clips.read import read_frames


def test_clips_hold_truth_input_plate_and_matte(tmp_path: Path, capsys) -> None:
    """Where the matte is 0 truth, input and plate are the same; inside it light differs; a second call keeps them."""
    words = ["--out", str(tmp_path), "--count", "2", "--width", "96", "--frames", "2"]
    assert main(words) == 0
    index = read_index(tmp_path / "clips.jsonl")
    assert [clip.id for clip in index.clips] == ["stroll-1", "stroll-2"]
    found = {role: read_frames(source, 0, 2) for role, source in index.clips[0].sources.items()}
    assert found["real"].shape == (2, 54, 96, 3)
    assert found["mask"].shape == (2, 54, 96)
    outside, inside = found["mask"] == 0, found["mask"] > 0.99
    assert inside.any()
    assert np.array_equal(found["real"][outside], found["plate"][outside])
    assert np.array_equal(found["composite"][outside], found["plate"][outside])
    assert np.abs(np.log2(found["composite"][inside] / found["real"][inside])).mean() > 0.3
    other = read_frames(index.clips[1].sources["real"], 0, 2)
    assert not np.array_equal(other, found["real"])
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.exr")}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.exr")} == times
    capsys.readouterr()
