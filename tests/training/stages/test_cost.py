"""What the named configurations cost, from counts."""

from __future__ import annotations

import pytest
from harmovid_training.stages import cost


def test_the_papers_run_fits_its_eight_gpus_and_eight_hours(capsys):
    """1,200 steps of 8 clips of 81 frames with 5B are of the order of the paper's 64 A100 hours, and are printed."""
    assert cost.main(["2b-deflicker"]) == 0
    text = capsys.readouterr().out
    assert "1.694 B weights, 28576 tokens" in text
    hours = float(text.split(" A100 hours")[0].rsplit(" ", 1)[1])
    assert hours == pytest.approx(1200 * 8 * 4 * 264.0 / cost.A100_TFLOPS / 3600, rel=0.02)
