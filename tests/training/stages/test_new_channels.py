"""The new input channels have a learning rate of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate.state import AcceleratorState
from harmovid_training.stages import objectives
from harmovid_training.stages.train import train
from training.inference.tiny import tiny_model
from training.stages.test_train import QUICK, latents

RATE = replace(QUICK, iterations=1, warmup=1, weight_decay=0.0, ema=0.0)


@pytest.fixture(autouse=True)
def fresh_process():
    """Forget the precision that Accelerate fixes for a process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("size", ["tiny-5b", "tiny-wan"])
def test_new_channels_move_further_and_nothing_else_does(tmp_path, size):
    """In one step the added channels move ten times as far as without a rate of their own; all other weights, those of
    the same layer too, move as before."""
    moved = []
    for number, rate in enumerate((0.0, 10 * RATE.learning_rate)):
        model = tiny_model(size)
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        config = replace(RATE, size=size, new_rate=rate)
        train(config, model, latents, objectives.diffusion, tmp_path / str(number), progress=False)
        AcceleratorState._reset_state(reset_partial_state=True)
        moved.append({name: weight.detach() - before[name] for name, weight in model.named_parameters()})
    plain, boosted = moved
    layer = next(
        name for name in plain if name.endswith(("patch_embed.proj.weight", "patch_embedding.weight"))
    )
    keep = tiny_model(size).geometry.channels
    torch.testing.assert_close(boosted[layer][:, keep:], 10 * plain[layer][:, keep:], rtol=1e-3, atol=1e-6)
    assert boosted[layer][:, keep:].abs().max() > 0
    torch.testing.assert_close(boosted.pop(layer)[:, :keep], plain.pop(layer)[:, :keep], rtol=1e-4, atol=1e-7)
    for name, change in plain.items():
        torch.testing.assert_close(boosted[name], change, rtol=1e-4, atol=1e-7)
