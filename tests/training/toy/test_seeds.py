"""Several seeds of the toy come together clip by clip, and their bars are read from the same numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from harmovid_training.toy import comparisons
from harmovid_training.toy.classical import COLUMNS
from harmovid_training.toy.comparisons import GIVEN, MILD, NO_OP, STAGES, STEPS, bars, bars_table, compared
from harmovid_training.toy.seeds import finished, main, merged


def test_seeds_are_averaged_clip_by_clip() -> None:
    """Two seeds' values of two clips give their means, intervals over clips, and the deviation of the seeds' means."""
    count = len(COLUMNS)
    one, other = {"full": [[1.0] * count, [3.0] * count]}, {"full": [[3.0] * count, [5.0] * count]}
    text = merged("Table 3", [one, other])
    assert "(2 clips)" in text
    assert "| full | 3.00 (2.00, 4.00) |" in text
    assert "means of the 2 seeds: PSNR 1.414," in text


def tables(seed: int, gain: float) -> dict[str, dict[str, list[list[float]]]]:
    """Return all tables that bars are read from; each bar's row is better than the other by `gain` on 8 clips."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    noise = np.random.default_rng(seed).normal(0, 0.01, 8)
    for loss in (comparisons.ONCE, comparisons.PAPERS):
        for bar in bars(loss):
            rows = found.setdefault(bar.title, {})
            rows.setdefault(bar.other, [[0.0] * len(COLUMNS)] * 8)
            up = [gain if column in comparisons.HIGHER else -gain for column in COLUMNS]
            rows[bar.row] = [[value + shift for value in up] for shift in noise]
    return found


def test_bars_are_reached_by_gains_and_not_by_losses() -> None:
    """With a gain beyond the noise every bar is reached; with a loss of 0.4 only those that allow half a decibel of
    harm; the seeds' own gains stand beside the mean."""
    lines = bars_table([tables(0, 0.4), tables(1, 0.6)]).splitlines()[2:]
    assert len(lines) == sum(1 for loss in (comparisons.ONCE, comparisons.PAPERS) for _ in bars(loss))
    assert all(line.endswith("| yes |") for line in lines)
    assert "0.50 (0.50, 0.50) | 0.40, 0.60 | yes |" in lines[0]
    level = bars_table([tables(0, 0.0)]).splitlines()[2:]
    reached = [line.split("|")[1].strip() for line in level if line.endswith("| yes |")]
    assert reached == [
        "field: full not below its input", "field: one mild look, harm of at most 0.5 dB",
        "confident: full not below its input", "confident: one mild look, harm of at most 0.5 dB",
        "field: full not below its input", "confident: full not below its input",
    ]  # fmt: skip
    missed = [line for line in bars_table([tables(0, -0.4)]).splitlines()[2:] if line.endswith("| yes |")]
    assert len(missed) == 2
    assert all("mild look" in line for line in missed)


def test_rows_are_compared_by_name() -> None:
    """A table of stages compares the full recipe with both ablations and its input, its fields and its answers each;
    others compare nothing."""
    names = [name for name in tables(0, 1.0)[STAGES] if "one step" in name or name == GIVEN]
    for kind in ("field", "confident"):
        full = f"full, one step, {kind}"
        same = {name for name in names if name.endswith(kind)} - {full}
        assert {other for one, other in compared(names) if one == full} == {*same, GIVEN}
    assert compared([NO_OP, "deflicker network, one step, field", "deflicker network, one step, pixels"]) == [
        ("deflicker network, one step, field", NO_OP)
    ]
    assert (comparisons.ENGINE, "deflicker network, one step, field") in compared(
        [comparisons.ENGINE, "deflicker network, one step, field"]
    )
    assert compared(["no such row"]) == []


def test_finished_seeds_are_read_and_not_trained(tmp_path, capsys) -> None:
    """Two folders with tables give the merged tables and the bars at once; a seed that is missing would be trained."""
    for seed in range(2):
        (tmp_path / f"seed-{seed}").mkdir()
        made = tables(seed, 0.4)
        (tmp_path / f"seed-{seed}" / "tables.json").write_text(json.dumps(made))
        assert not finished(tmp_path / f"seed-{seed}")  # a run that was stopped before its last table
        made[STEPS] = {"student, 1 step, field": [[0.0] * len(COLUMNS)] * 8}
        (tmp_path / f"seed-{seed}" / "tables.json").write_text(json.dumps(made))
    assert main(["--seeds", "2", "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"### {MILD} (8 clips)" in text
    assert "### Bars" in text
    assert float(text.split("full, one step, confident minus")[1].split("|")[1].split()[0]) == pytest.approx(
        0.4, abs=0.02
    )
