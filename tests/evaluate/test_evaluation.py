"""The evaluation on disk: finished units are kept, changed ones recomputed, failures reported; tables mark the best."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluate.little import little_evaluation, write_clips, write_indexed
from harmovid.errors import InputError
from harmovid_evaluate import table
from harmovid_evaluate.cases import Case, slug
from harmovid_evaluate.entrants import AS_IS, CLASSICAL, ORIGINAL, Plain
from harmovid_evaluate.evaluation import HELD, Evaluation
from harmovid_evaluate.measures import MEASURES, Extras
from harmovid_evaluate.testsets import Makers


def whats(evaluation: Evaluation) -> list[str]:
    """Run and return the outcomes of the units."""
    return [step.what for step in evaluation.run()]


def test_a_finished_unit_is_not_computed_again(tmp_path: Path) -> None:
    """A second run keeps everything, files untouched, and has the same numbers; a lost frame is made again."""
    clips, out = write_clips(tmp_path / "clips"), tmp_path / "out"
    first = little_evaluation(clips, out)
    assert set(whats(first)) == {"computed"}
    assert first.total() == 8
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    second = little_evaluation(clips, out)
    assert whats(second) == ["kept"] * 8
    assert second.rows == first.rows
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == times
    (out / "results" / "lut" / "disc" / slug(AS_IS) / "00002.exr").unlink()
    assert whats(little_evaluation(clips, out)).count("computed") == 1


def test_other_settings_are_made_again_and_others_kept(tmp_path: Path) -> None:
    """Another seed makes all again; a changed method only its rows."""
    clips, out = write_clips(tmp_path / "clips"), tmp_path / "out"
    before = little_evaluation(clips, out)
    whats(before)
    changed = [replace(each, key="2") if each.name == AS_IS else each for each in before.entrants]
    assert sorted(whats(little_evaluation(clips, out, entrants=changed))) == ["computed"] * 2 + ["kept"] * 6
    assert set(whats(little_evaluation(clips, out, makers=Makers(seed=4)))) == {"computed"}


def test_a_new_measure_is_taken_of_kept_frames(tmp_path: Path) -> None:
    """With another measure, or one by other weights, nothing is computed: the frames on disk are measured."""
    clips, out = write_clips(tmp_path / "clips", ("disc",)), tmp_path / "out"
    whats(little_evaluation(clips, out))
    for identity in ("these weights", "others"):
        more = replace(MEASURES[0], key="extra", value=lambda judged, result: 7.0, identity=identity)
        again = little_evaluation(clips, out, extras=Extras((more,)))
        assert set(whats(again)) == {"measured"}
        assert {row.scores["extra"] for row in again.rows} == {7.0}
    assert set(whats(little_evaluation(clips, out, extras=Extras((more,))))) == {"kept"}


def broken(case: Case) -> np.ndarray:
    """A method that fails on one clip, with frames of NaN."""
    return case.composite * np.float32(np.nan) if case.clip == "disc" else case.composite


def test_a_method_that_breaks_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    """After a failure all other units are there; the report names unit and frame; the next run tries again."""
    clips, out = write_clips(tmp_path / "clips"), tmp_path / "out"
    rows = [CLASSICAL[AS_IS], Plain("broken", ("harmonize",), broken)]
    evaluation = little_evaluation(clips, out, entrants=rows)
    assert sorted(whats(evaluation)) == ["computed"] * 3 + ["failed"]
    report = table.summarise(evaluation)
    assert [step["clip"] for step in report["failed"]] == ["disc"]
    assert "no numbers, first in frame 0" in report["notes"][0]
    assert "broken (1 of 2 clips)" in table.markdown(report)
    assert whats(little_evaluation(clips, out, entrants=rows)).count("failed") == 1


def test_sets_that_cannot_be_made_are_noted(tmp_path: Path) -> None:
    """Clips without another light give no `relit`, and the report says so; one that has it does."""
    evaluation = little_evaluation(write_clips(tmp_path / "clips"), tmp_path / "out", ("relit",))
    assert set(whats(evaluation)) == {"absent"}
    assert "composite" in evaluation.notes[0]
    relit = little_evaluation(write_indexed(tmp_path / "index"), tmp_path / "more", ("relit",))
    assert set(whats(relit)) == {"computed"}
    stops = {row.method: row.scores["stops"] for row in relit.rows}
    assert stops[AS_IS] == pytest.approx(0.5, abs=0.06)
    assert stops[ORIGINAL] == 0


def test_names_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    """Two rows with the same folder name, and a name without letters, are refused before anything runs."""
    clips = write_clips(tmp_path / "clips", ("disc",))
    with pytest.raises(InputError, match="share the folder"):
        little_evaluation(clips, tmp_path, entrants=[Plain("a b", (), broken), Plain("a-b", (), broken)])
    with pytest.raises(InputError, match="cannot be used"):
        slug("../..")
    assert "/" not in slug("a/../../b")


def test_tables_mark_the_best_method_and_never_the_original(tmp_path: Path) -> None:
    """Markdown has a row per method with means over clips, the best in bold, the original in italics."""
    evaluation = little_evaluation(write_clips(tmp_path / "clips"), tmp_path / "out", ("lut", "lut-flicker"))
    whats(evaluation)
    report = table.summarise(evaluation)
    lut = report["sets"][0]
    psnr = next(each for each in report["measures"] if each["key"] == "psnr")
    values = {row["method"]: row["mean"]["psnr"] for row in lut["rows"]}
    assert values[AS_IS] == pytest.approx(np.mean([row["psnr"] for row in lut["rows"][0]["clips"].values()]))
    top = max(value for name, value in values.items() if name != ORIGINAL)
    assert table.best(lut, psnr) == top
    text = table.markdown(report)
    lines = [line for line in text.splitlines() if line.startswith("|") and f"**{top:.2f}**" in line]
    assert len(lines) == 1
    assert f"| *{ORIGINAL}* |" in text
    assert "PSNR, dB ↑" in text
    assert "RMSE of light, stops ↓" in text
    assert "Light-A-Video was not run" in text
    assert json.loads(json.dumps(report)) == report


def test_few_clips_are_in_memory_at_once(tmp_path: Path) -> None:
    """A set that uses other clips' backgrounds holds only a few clips in memory, however many there are."""
    clips = write_clips(tmp_path / "clips", tuple("abcdef"), count=3)
    rows = [each for each in CLASSICAL.values() if each.name == AS_IS]
    evaluation = little_evaluation(clips, tmp_path / "out", ("harmonized",), entrants=rows)
    held = [len(evaluation._materials) for _ in evaluation.run()]
    assert len(held) == 6
    assert max(held) <= HELD
