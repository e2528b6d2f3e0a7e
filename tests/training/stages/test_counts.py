"""Parameters, tokens and FLOPs of the real sizes, counted on the meta device."""

from __future__ import annotations

import pytest
from harmovid_training.models.conditioning import DEFLICKER, HARMOVID
from harmovid_training.stages.counts import count_step


@pytest.mark.parametrize(
    ("size", "billions", "teraflops"), [("cogvideox-2b", 1.694, 285.8), ("cogvideox-5b", 5.571, 746.9)]
)
def test_published_cogvideox_sizes(size, billions, teraflops):
    """2b and 5b with 49 channels: parameters, 29,926 tokens for 22 latents of 480x720, and FLOPs of one step."""
    counts = count_step(size, HARMOVID, latents=22, height=480, width=720)
    assert counts.parameters / 1e9 == pytest.approx(billions, abs=5e-4)
    assert counts.tokens == 29_926
    assert counts.flops / 1e12 == pytest.approx(teraflops, abs=0.05)


@pytest.mark.parametrize(
    ("size", "billions", "tokens", "width"),
    [
        ("wan-2.1-1.3b", 1.419, 28_350, 720),
        ("wan-2.2-5b", 5.001, 6_930, 704),
        ("cogvideox-1.5-5b", 5.571, 14_850 + 226, 720),
    ],
)
def test_other_published_sizes(size, billions, tokens, width):
    """Wan and CogVideoX 1.5 are made at their published sizes; 21 latents of 480 lines give these tokens."""
    counts = count_step(size, HARMOVID, latents=21, height=480, width=width)
    assert counts.parameters / 1e9 == pytest.approx(billions, abs=5e-4)
    assert counts.tokens == tokens


def test_a_training_step_with_checkpointing_costs_four_forwards():
    """The 2b deflicker network runs a whole training step on the meta device; checkpointing keeps each
    block's input only."""
    shape = {"latents": 5, "height": 240, "width": 368}
    forward = count_step("cogvideox-2b", DEFLICKER, **shape)
    spare = count_step("cogvideox-2b", DEFLICKER, **shape, training=True, checkpointing=True)
    assert forward.saved_bytes == 0
    assert spare.flops / forward.flops == pytest.approx(4, abs=0.02)
    blocks_input = 30 * forward.tokens * 1920 * 2
    assert blocks_input < spare.saved_bytes < 1.3 * blocks_input
