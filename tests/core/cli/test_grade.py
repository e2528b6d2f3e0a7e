"""`harmovid grade` on real results: files of each kind, wrong combinations, and results without a field."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from harmovid.cli import main

np = pytest.importorskip("numpy")
pytest.importorskip("OpenEXR")

from harmovid.pixels import exr  # noqa: E402 (needs the pixel libraries)
from harmovid.pixels.field import Curve, LightingField  # noqa: E402
from harmovid.pixels.field.exr_channels import with_field  # noqa: E402

FRAMES = (1001, 1002, 1003)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Return the pattern of three results whose fields are the gains 2, 4 and 8 on red."""
    for stops, frame in enumerate(FRAMES, 1):
        field = LightingField((Curve.gain(float(stops), 0.0, 0.0),))
        picture = {name: np.full((4, 6), 0.18, np.float16) for name in "RGB"}
        plate = exr.make_frame(exr.PartHeader.make((0, 0, 6, 4)), picture)
        exr.write(with_field(plate, np.zeros((4, 6, 3), np.float32), field), tmp_path / f"r.{frame}.exr")
    return tmp_path / "r.####.exr"


def grade(*words: object) -> int:
    """Run `harmovid grade`."""
    return main(["grade", *(str(word) for word in words)])


def slopes(path: Path) -> list[float]:
    """Return the red slopes that a CDL file holds, in order."""
    return [float(text.split()[0]) for text in re.findall(r"<Slope>(.+?)</Slope>", path.read_text("utf-8"))]


def test_a_collection_holds_every_frame_under_its_name(results: Path, tmp_path: Path) -> None:
    """A range goes into one .ccc, a correction per frame, exact for a gain."""
    assert grade(results, "-o", tmp_path / "shot.ccc") == 0

    text = (tmp_path / "shot.ccc").read_text("utf-8")
    assert re.findall(r'id="(.+?)"', text) == ["r.1001", "r.1002", "r.1003"]
    assert slopes(tmp_path / "shot.ccc") == pytest.approx([2.0, 4.0, 8.0], rel=1e-4)


def test_a_pattern_gets_one_file_per_frame(results: Path, tmp_path: Path) -> None:
    """A .cdl pattern with a frame number gives one file per frame."""
    assert grade(results, "-o", tmp_path / "g.####.cdl") == 0

    assert slopes(tmp_path / "g.1002.cdl") == pytest.approx([4.0], rel=1e-4)
    assert len(list(tmp_path.glob("g.*.cdl"))) == 3


def test_one_result_makes_a_lut(tmp_path: Path, results: Path) -> None:
    """A single result gives one .cube."""
    assert grade(tmp_path / "r.1001.exr", "-o", tmp_path / "g.cube") == 0

    assert "LUT_3D_SIZE" in (tmp_path / "g.cube").read_text("utf-8")


def test_json_says_what_was_written_and_what_is_lost(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON answer lists the files and each grade's residual in stops."""
    assert grade(results, "-o", tmp_path / "g.ccc", "--json") == 0

    answer = json.loads(capsys.readouterr().out)
    assert answer["files"] == [str(tmp_path / "g.ccc")]
    assert set(answer["max_residual_stops"]) == {"r.1001", "r.1002", "r.1003"}
    assert max(answer["max_residual_stops"].values()) < 1e-3


@pytest.mark.parametrize(
    ("out", "code", "said"),
    [("g.cdl", 2, "3 results"), ("g.txt", 2, ".cube"), ("none/g.ccc", 6, "cannot be written")],
)
def test_what_does_not_fit_is_reported(
    results: Path, tmp_path: Path, out: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Many grades for one .cdl, unknown kinds and missing folders end with an error and its fix."""
    assert grade(results, "-o", tmp_path / out) == code

    assert said in capsys.readouterr().err


def test_a_file_that_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plate, which carries no field, is exit code 2; the error names its frame and what to give instead."""
    picture = {name: np.zeros((2, 2), np.float16) for name in "RGB"}
    exr.write(exr.make_frame(exr.PartHeader.make((0, 0, 2, 2)), picture), tmp_path / "p.7.exr")

    assert grade(tmp_path / "p.7.exr", "-o", tmp_path / "g.ccc") == 2
    printed = capsys.readouterr().err
    assert "frame 7" in printed
    assert "a result of deflicker or harmonize" in printed


def test_an_existing_grade_stays_without_overwrite(results: Path, tmp_path: Path) -> None:
    """An existing grade is not replaced without --overwrite."""
    (tmp_path / "g.ccc").write_text("mine", "utf-8")

    assert grade(results, "-o", tmp_path / "g.ccc") == 6
    assert (tmp_path / "g.ccc").read_text("utf-8") == "mine"
    assert grade(results, "-o", tmp_path / "g.ccc", "--overwrite") == 0


def test_a_range_makes_one_lut_per_frame(results: Path, tmp_path: Path) -> None:
    """A .cube pattern with a frame number gives an animated LUT: one file per frame, each with its own correction."""
    assert grade(results, "-o", tmp_path / "g.####.cube") == 0

    texts = [(tmp_path / f"g.{frame}.cube").read_text("utf-8") for frame in FRAMES]
    assert len(set(texts)) == 3
    assert all("LUT_3D_SIZE" in text for text in texts)


def test_a_range_makes_one_nuke_node(results: Path, tmp_path: Path) -> None:
    """.nk holds one Grade node with a key per frame: the gains of the three fields on red."""
    assert grade(results, "-o", tmp_path / "g.nk") == 0

    text = (tmp_path / "g.nk").read_text("utf-8")
    keys = re.findall(r"x(\d+) ([\d.]+)", text)
    assert [int(frame) for frame, _ in keys] == list(FRAMES)
    assert [float(value) for _, value in keys] == pytest.approx([2.0, 4.0, 8.0], rel=1e-4)


@pytest.mark.parametrize(
    ("out", "again", "said"), [("g.####.nk", 1, "one node"), ("g.nk", 2, "same frame number")]
)
def test_a_node_is_one_file_of_one_shot(
    results: Path, tmp_path: Path, out: str, again: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A .nk per frame, or of two shots whose frames have the same numbers, is refused with its fix."""
    assert grade(*[results] * again, "-o", tmp_path / out) == 2

    assert said in capsys.readouterr().err
