"""Weights that ship can be trained on: opened again they answer as exported, normalised as in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid_export.reopen import reopen
from harmovid_server.engines.harmonize.network import FOLDER, Network
from harmovid_training.data.batches import Sampler
from harmovid_training.harmonizer.losses import predict, to_codes
from harmovid_training.harmonizer.network import subject_box
from torch import nn
from training.data.world import scenes, subjects


def test_reopened_weights_answer_as_shipped() -> None:
    """Curve and grid are those of the graphs that ship, and nearly so in training mode: nothing has to be relearned."""
    batch = Sampler(scenes(), subjects(), 2).mixed(24, 1, 0.25)
    model, shipped = reopen(FOLDER, [batch]), Network(FOLDER)
    codes, box = to_codes(batch.composite, batch.anchor), subject_box(batch.matte)
    with torch.no_grad():
        found = predict(model, batch, 1)
        for layer in model.head.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        trained = predict(model.train(), batch, 1)
    for i in range(4):
        vector, _, local = shipped.encode(
            codes[i].permute(1, 2, 0).numpy(),
            batch.matte[i, 0].numpy(),
            batch.seen[i, 0].numpy(),
            box[i].numpy(),
        )
        coeffs, grid, _, need = shipped.answer(vector, local)
        np.testing.assert_allclose(found.coeffs[i].numpy(), coeffs, atol=2e-3)
        np.testing.assert_allclose(found.grid[i].numpy(), grid, atol=2e-3)
        assert float(found.need[i, 0]) == pytest.approx(need, rel=2e-3)

    assert float((trained.coeffs - found.coeffs).abs().mean()) < 0.05 * float(found.coeffs.abs().mean())


def test_no_files_are_told(tmp_path: Path) -> None:
    """A folder without the graphs is an error with a fix."""
    with pytest.raises(InputError, match=r"encoder\.onnx"):
        reopen(tmp_path, [])
