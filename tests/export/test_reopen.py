"""Shipped weights can be trained further: read back they give the same results."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from harmovid.errors import InputError
from harmovid_export.reopen import reopen
from harmovid_server.engines.harmonize.network import FOLDER
from harmovid_training.harmonizer.network import Fields, subject_box


def test_reopened_weights_answer_as_shipped() -> None:
    """Every output of encoder and head is that of the shipped graphs; only the confidence is untrained."""
    model, rng = reopen(FOLDER), torch.Generator().manual_seed(1)
    encoder = {
        name: torch.rand(1, *shape, generator=rng)
        for name, shape in _shapes("encoder").items()
        if name != "box"
    }
    encoder["matte"] = torch.zeros_like(encoder["matte"])
    encoder["matte"][:, :, 20:50, 30:60] = 1
    encoder["box"] = subject_box(encoder["matte"])
    head = {name: torch.randn(1, *shape, generator=rng) for name, shape in _shapes("head").items()}
    with torch.no_grad():
        seen, answer = model.encoder(**encoder), Fields(*model.head(**head))

    for ours, shipped in zip(seen, _answers("encoder", encoder)):
        np.testing.assert_allclose(ours.numpy(), shipped, atol=1e-3, rtol=1e-3)
    coeffs, grid, _, need, errors = _answers("head", head)
    for ours, shipped in zip(
        (answer.coeffs, answer.grid, answer.need, answer.errors), (coeffs, grid, need, errors)
    ):
        np.testing.assert_allclose(ours.numpy(), shipped, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(answer.gate, torch.ones_like(answer.gate))


def test_no_files_are_reported(tmp_path: Path) -> None:
    """A folder without the graphs is an error with a fix."""
    with pytest.raises(InputError, match=r"encoder\.onnx"):
        reopen(tmp_path)


def _shapes(part: str) -> Dict[str, Tuple[int, ...]]:
    """Return the shapes of a graph's inputs without the first dimension."""
    inputs = onnx.load(str(FOLDER / f"{part}.onnx")).graph.input
    return {one.name: tuple(d.dim_value for d in one.type.tensor_type.shape.dim[1:]) for one in inputs}


def _answers(part: str, inputs: Dict[str, torch.Tensor]) -> List[Any]:
    session = onnxruntime.InferenceSession(str(FOLDER / f"{part}.onnx"), providers=["CPUExecutionProvider"])
    answers: List[Any] = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return answers
