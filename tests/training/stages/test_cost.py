"""What the named configurations cost, from counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harmovid_training.stages import cost
from harmovid_training.stages.config import CONFIGS


def test_a_runs_cost_is_its_steps_times_its_clips():
    """Twelve steps of eight clips cost 96 training steps of one clip, each about four forwards with checkpointing."""
    tiny = replace(CONFIGS["paper-harmovid"], size="tiny-5b", iterations=12, frames=9, height=48, width=64)
    made = cost.cost_of(tiny)
    assert made.flops == 96 * made.step.flops
    assert made.step.flops / made.inference.flops == pytest.approx(4, abs=0.3)
    assert made.state_bytes == 16 * made.step.parameters
    assert made.gpu_hours == pytest.approx(made.flops / 125e12 / 3600)


def test_an_unknown_configuration_is_refused(capsys):
    """The script names what is not there and ends with code 2."""
    with pytest.raises(SystemExit) as ended:
        cost.main(["huge"])
    assert ended.value.code == 2
    assert "huge" in capsys.readouterr().err
