"""A sampler's step as a graph: a valid file, the numbers of numpy, and where it can be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from harmovid_server.runtimes.base import RuntimeSettings, load
from harmovid_server.runtimes.onnx_step import graph, open_step

CPU = RuntimeSettings(device="cpu")


@pytest.fixture
def like(tmp_path: Path) -> object:
    """Return some network on the CPU."""
    (tmp_path / "like.onnx").write_bytes(graph())
    return load(tmp_path / "like.onnx", CPU)


def test_the_file_is_valid() -> None:
    """ONNX's own checker takes it, with its shapes, and names what the docstring names."""
    model = onnx.load_from_string(graph())
    onnx.checker.check_model(model, full_check=True)
    assert [one.name for one in model.graph.input] == ["sample", "prediction", "conditions", "keep", "gain"]
    assert [one.name for one in model.graph.output] == ["moved", "latents"]


def test_steps_on_the_device_are_those_of_numpy(like: object) -> None:
    """Over several steps whose values stay on the device, sample and next input are numpy's, to the bit."""
    rng = np.random.default_rng(0)
    sample, conditions = (rng.normal(size=(1, size, 3, 4, 5)).astype(np.float32) for size in (4, 6))
    conditions.setflags(write=False)
    step = open_step(like, CPU)
    value, expected = sample, sample
    for keep, gain in ((0.5, -0.25), (1.0, 0.125), (0.3, 0.7)):
        prediction = rng.normal(size=sample.shape).astype(np.float32)
        weights = {"keep": np.float32([keep]), "gain": np.float32([gain])}
        given = {"sample": value, "prediction": prediction, "conditions": conditions, **weights}
        made = step(given, ["moved", "latents"])
        value, expected = made["moved"], np.float32(keep) * expected + np.float32(gain) * prediction
        np.testing.assert_array_equal(value.numpy(), expected)
        np.testing.assert_array_equal(made["latents"].numpy(), np.concatenate([expected, conditions], axis=1))
    step.close()


def test_it_is_left_out_where_values_do_not_fit(like: object) -> None:
    """With CUDA graphs, for a network of another runtime, or where only TensorRT is allowed, steps are on the host."""
    assert open_step(like, replace(CPU, graphs=True)) is None
    assert open_step(object(), CPU) is None
    assert open_step(like, RuntimeSettings(providers=("tensorrt",))) is None
    like.facts["device"] = "cuda:0"
    assert open_step(like, CPU) is None
