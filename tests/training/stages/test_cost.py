"""What the named configurations cost, from counts."""

from __future__ import annotations

import pytest
from harmovid_training.stages import cost


def test_a_runs_cost_is_its_steps_times_four_forwards(capsys):
    """1,200 steps of 8 clips with checkpointing cost 9,600 times four forward passes of 264 TFLOP, as printed."""
    assert cost.main(["2b-deflicker"]) == 0
    text = capsys.readouterr().out
    assert "1.694 B weights, 28576 tokens" in text
    hours = float(text.split(" A100 hours")[0].rsplit(" ", 1)[1])
    assert hours == pytest.approx(1200 * 8 * 4 * 264.0 / cost.A100_TFLOPS / 3600, abs=0.5)
