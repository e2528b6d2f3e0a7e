"""Shipped weights can be trained further: read back they give the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harmovid.errors import InputError
from harmovid_export.reopen import reopen
from harmovid_server.engines.harmonize.network import FOLDER, Network
from harmovid_server.runtimes.base import RuntimeSettings
from harmovid_training.harmonizer import constants as numbers


def test_reopened_weights_answer_as_shipped() -> None:
    """Encoder and head are those of the shipped graphs; only the confidence is untrained."""
    model, shipped = reopen(FOLDER), Network(FOLDER, RuntimeSettings(device="cpu"))
    rng = torch.Generator().manual_seed(1)
    vector = torch.randn(1, numbers.VECTOR, generator=rng)
    local = torch.randn(1, numbers.LOCAL, numbers.GRID_ROWS, numbers.GRID_COLUMNS, generator=rng)
    with torch.no_grad():
        coeffs, grid, gate, need, _ = model.head(vector, local)
    found = shipped.answer(vector[0].numpy(), local[0].numpy())
    shipped.close()

    np.testing.assert_allclose(coeffs[0].numpy(), found.coeffs, atol=2e-3)
    np.testing.assert_allclose(grid[0].numpy(), found.grid, atol=2e-3)
    assert float(need) == pytest.approx(found.need, rel=2e-3)
    torch.testing.assert_close(gate, torch.ones_like(gate))


def test_no_files_are_told(tmp_path: Path) -> None:
    """A folder without the graphs is an error with a fix."""
    with pytest.raises(InputError, match=r"encoder\.onnx"):
        reopen(tmp_path)
