"""What the named configurations cost, from counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from harmovid_training.stages import cost, processor_cost
from harmovid_training.stages.config import CONFIGS
from harmovid_training.stages.processor_cost import processor_seconds
from harmovid_training.stages.recipe_cost import recipe

TINY = replace(CONFIGS["paper-harmovid"], size="tiny-5b", iterations=12, frames=9, height=48, width=64)


@pytest.fixture(autouse=True)
def a_short_shot(monkeypatch):
    """Count MultiDiffusion on 33 frames instead of 1,000."""
    monkeypatch.setattr(cost, "LONG_FRAMES", 33)


def test_a_runs_cost_is_its_steps_times_its_clips():
    """Twelve steps of eight clips cost 96 training steps of one clip, each about four forwards with checkpointing."""
    made = cost.cost_of(TINY)
    assert made.flops == 96 * made.step.flops
    assert made.step.flops / made.inference.flops == pytest.approx(4, abs=0.3)
    assert made.state_bytes == 20 * made.step.parameters  # with averaged weights
    assert made.gpu_hours == pytest.approx(made.flops / 125e12 / 3600)
    assert (
        made.step.state_bytes == 2 * 2 * made.step.parameters
    )  # AdamW's two averages, in the model's bfloat16


def test_a_multidiffusion_step_is_a_forward_pass_per_window():
    """33 frames are 9 latents; windows of 3 that overlap by 1 are 4 forward passes, and all latents are held: the
    timeline, its prediction, and conditions of two pictures and a mask."""
    made = cost.cost_of(TINY)
    assert made.long.windows == 4
    assert made.long.flops == 4 * made.inference.flops
    assert made.long.held_bytes == 9 * (12 * 16) * (2 * 4 + 2 * 4 + 1) * 4


def test_the_command_prints_one_table(monkeypatch, capsys):
    """A Markdown table with a row for each configuration that is named."""
    monkeypatch.setitem(CONFIGS, "tiny", TINY)
    assert cost.main(["tiny", "tiny"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert "4 windows" in lines[3]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_pages_costs_are_counted(monkeypatch):
    """The rows of IC-Light and of the smallest backbone in docs/training.md are what the command counts; the walk's
    harmonizing takes eight A100 at most ten hours, as printed."""
    monkeypatch.setattr(cost, "LONG_FRAMES", 1000)
    page = (Path(__file__).resolve().parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = [step.row(cost.A100_TFLOPS) for step in islice(recipe(), 3)]
    rows.append(cost.cost_of(CONFIGS["2b-harmovid"]).row("2b-harmovid"))
    assert [row for row in rows if row not in page] == []
    assert float(rows[0].split("|")[4]) <= 10


def test_an_unknown_configuration_is_refused(capsys):
    """The script names what is not there and ends with code 2."""
    with pytest.raises(SystemExit) as ended:
        cost.main(["huge"])
    assert ended.value.code == 2
    assert "huge" in capsys.readouterr().err


def test_the_processor_share_of_stage_one_is_measured(monkeypatch, capsys):
    """The command makes a real clip and tells its processor time, that of all clips, and the cores a GPU needs."""
    monkeypatch.setattr(processor_cost, "PANORAMA_ROWS", 64)
    small = processor_seconds(frames=3, size=(48, 64))
    assert small > 0
    monkeypatch.setattr(cost, "processor_seconds", lambda: 0.5)
    assert cost.main(["--processor"]) == 0
    said = capsys.readouterr().out
    assert "50 s of processor time a clip" in said
    assert "139 hours for all clips" in said
    assert "1.7 cores" in said
    assert "29 s a clip" in said
