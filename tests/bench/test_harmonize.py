"""`bench/harmonize.py` runs without footage, and its JSON line has the table's figures."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.benches import run_bench
from harmovid_training.clips.read import write_exr
from harmovid_training.data.cache import TEST, held_out, use_of
from harmovid_training.data.figures import FIGURES


def test_quick_runs_on_numbers(repo: Path) -> None:
    """--quick needs no footage: every method has a finite gain, ours is there, and the field is steadier over time."""
    lines, found = run_bench(repo, "harmonize", "--quick", "--looks", "strong")

    gains = found["gains_db"]["strong"]
    assert {"ours", "ours, per frame", "ours, global only", "oracle gain", "harmonize-statistics"} <= set(
        gains
    )
    assert all(math.isfinite(value) for value in gains.values())
    assert any("ours, per frame" in line and f"{gains['ours, per frame']:.2f}" in line for line in lines)
    facts = found["facts"]
    assert facts["field_change"] <= facts["change_per_frame"]


@pytest.mark.parametrize("case", ["same", "part", "other"])
def test_photos_have_a_known_truth(
    case: str, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plate around the subject is the truth's; the source plate has the look, and shows the subject's own photo or
    another."""
    monkeypatch.syspath_prepend(str(repo / "bench"))
    photos = import_module("support.harmonize_photos")
    rng = np.random.default_rng(1)
    names = [name for name in (f"photo{i}.png" for i in range(99)) if use_of(Path(name)) == TEST][:2]
    for name in names:
        cv2.imwrite(str(tmp_path / name), cv2.resize(rng.integers(0, 255, (6, 16, 3), np.uint8), (128, 48)))
    mask = np.zeros((48, 128), np.uint8)
    mask[12:36, 20:44] = mask[12:36, 84:108] = 255
    cv2.imwrite(str((tmp_path / names[0]).with_suffix(".mask.png")), mask)

    found = {one.case: one for one in photos.looked_photos(tmp_path, 1, ["strong"], 24)}[case]
    truth, matte = found.clip.frames, found.clip.masks
    assert truth.shape == found.composite.shape == found.source.shape == (1, 24, 32, 3)
    np.testing.assert_array_equal(found.composite[matte == 0], truth[matte == 0])
    assert np.abs(found.composite - truth)[matte > 0].mean() > 0.01
    alike = np.abs(found.source - found.composite)[matte == 1].mean() < 1e-6
    assert alike == (case != "other")


CUBE = """v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\nv -1 1 1
f 1 2 3 4\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8\n"""


def test_rendered_truth_and_its_sheet(repo: Path, tmp_path: Path) -> None:
    """Under held-out panoramas the known light gains more than the oracle gain, and that more than a classical
    method."""
    figures, lights = tmp_path / "models" / "makehuman", tmp_path / "hdri"
    figures.mkdir(parents=True)
    lights.mkdir()
    for name in FIGURES[0]:
        (figures / name).write_text(CUBE)
    names = (f"light{i}.exr" for i in range(200))
    kept_back = [name for name in names if held_out(Path(name))][:3]
    for level, name in zip((0.3, 1.0, 4.0), kept_back):
        around = np.full((32, 64, 3), 0.2 * level, np.float32) * np.float32([level, 1, 1 / level]) ** 0.2
        around[4:12, 20:30] = 4 * level
        write_exr(lights / name, around)
    words = ("--count", "2", "--lines", "48", "--frames", "3", "--sheet", str(tmp_path / "sheet.png"))
    _, found = run_bench(repo, "harmonize", "--rendered", str(tmp_path), *words)
    gains = found["gains_db"]["rendered"]

    assert gains["oracle gain"] > max(0.1, gains["log mean x 0.3"])
    assert math.isfinite(gains["ours, bold"])
    assert gains["ours, light known"] > gains["oracle gain"]
    assert math.isfinite(gains["ours, source plate"])
    assert math.isfinite(gains["ours, normals"])
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (180, 2 * 4 * 240, 3)
