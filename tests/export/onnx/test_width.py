"""The VAE of CogVideoX at its published size, 216 million weights: minutes, so only the long lane does it."""

from __future__ import annotations

import os

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX
from harmovid_export.graphs import Shape, codec_graphs
from harmovid_export.onnx import check
from harmovid_export.onnx.build import build
from harmovid_training.models.codec import CogVideoXCodec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("HARMOVID_WIDTHS") != "all",
        reason="networks of real width are exported in the long lane",
    ),
]


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_vae_of_real_width_equals_torch(tmp_path, precision):
    """All four graphs, with random weights, at a size that was not traced."""
    torch.manual_seed(0)
    codec = CogVideoXCodec(AutoencoderKLCogVideoX())
    for graph in codec_graphs(codec):
        path = build(graph, tmp_path / graph.role, precision)
        (distance,) = check.check(graph, path, precision, [Shape(1, 1, 6, 4, 1)])
        assert distance < check.LIMITS[precision]
        assert path.with_name(f"{path.name}.data").stat().st_size > 50_000_000
