"""Exported graphs: torch's results at shapes that were not traced, named free sizes, and the map of weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from harmovid.errors import InputError
from harmovid_export.graphs import Graph, Shape, codec_graphs, transformer_graph
from harmovid_export.onnx import check
from harmovid_export.onnx.build import OPSETS, build
from harmovid_export.onnx.names import KEY, TRANSPOSED
from harmovid_training.models.causal import CausalConv3d
from training.inference.tiny import tiny_codec, tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def metadata(path: Path) -> Any:
    """Return the graph's file without its external weights."""
    return onnx.load(str(path), load_external_data=False)


def sizes(value: Any) -> list[Any]:
    """Return the sizes of an input or output, names for the free ones."""
    return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]


def assert_free(path: Path, graph: Graph) -> None:
    """Every size that the graph calls free is free in the file, under that name or one that is always equal to it."""
    for value in metadata(path).graph.input:
        held = sizes(value)
        for axis in graph.free[value.name]:
            assert isinstance(held[axis], str), (value.name, axis)


@pytest.mark.parametrize("size", ["tiny-5b", "tiny-2b", "tiny-1.5"])
def test_transformers_equal_torch(tmp_path, size):
    """Rotary, sinusoidal and two-latent models: every batch, length, height, width and prompt, to 1e-5."""
    graph = transformer_graph(tiny_model(size))
    path = build(graph, tmp_path, "float32")
    assert max(check.check(graph, path, "float32")) < check.LIMITS["float32"]
    assert_free(path, graph)
    model = metadata(path)
    assert model.opset_import[0].version == OPSETS["float32"]
    assert sizes(model.graph.output[0]) == ["batch", 4, "latents", "rows", "columns"]


def test_half_precision_of_a_transformer(tmp_path):
    """float16 stays within 2e-3 of torch in float32, in and out in float32; attention is one operator."""
    graph = transformer_graph(tiny_model("tiny-5b"))
    path = build(graph, tmp_path, "float16")
    assert max(check.check(graph, path, "float16")) < check.LIMITS["float16"]
    model = metadata(path)
    assert "Attention" in {node.op_type for node in model.graph.node}
    assert {value.type.tensor_type.elem_type for value in model.graph.input} == {onnx.TensorProto.FLOAT}


def test_bfloat16_in_the_reference_interpreter(tmp_path):
    """bfloat16 has no kernels on the processor; ONNX's own interpreter finds it within 3e-2 of torch in float32."""
    graph = transformer_graph(tiny_model("tiny-5b"))
    path = build(graph, tmp_path, "bfloat16")
    assert max(check.check(graph, path, "bfloat16")) < check.LIMITS["bfloat16"]


# Each graph of the VAE takes the exporter half a minute: in half precision two of the four stand for all.
@pytest.mark.parametrize(("precision", "every"), [("float32", 1), ("float16", 3)])
def test_the_vaes_chunks_equal_torch(tmp_path, precision, every):
    """First and next chunk, both ways, with caches as inputs and outputs, at sizes and batches that were not traced."""
    for graph in codec_graphs(tiny_codec())[::every]:
        path = build(graph, tmp_path, precision)
        assert max(check.check(graph, path, precision)) < check.LIMITS[precision], graph.role
        assert_free(path, graph)
        kept = [name for name in graph.outputs if name.startswith("next.")]
        given = [name for name in graph.inputs if name.startswith("cache.")]
        part = graph.module.vae.encoder if graph.role.startswith("encode") else graph.module.vae.decoder
        assert len(kept) == sum(one.reach > 0 for one in part.modules() if isinstance(one, CausalConv3d))
        assert not given or len(given) == len(kept)


def test_weights_are_found_again_and_large_ones_lie_outside(tmp_path):
    """The name map reaches every weight of the checkpoint; with a bound of a few bytes they are in a file beside."""
    graph = transformer_graph(tiny_model("tiny-5b"))
    path = build(graph, tmp_path, "float32", external_bytes=1000)
    assert (tmp_path / "transformer.onnx.data").stat().st_size > 1000
    model = onnx.load(str(path))
    props = {one.key: one.value for one in model.metadata_props}
    names = json.loads(props[KEY])
    state = graph.module.backbone.transformer.state_dict()
    reached = {name.removeprefix(TRANSPOSED) for several in names.values() for name in several}
    assert reached == set(state)
    arrays = {
        one.name: torch.from_numpy(onnx.numpy_helper.to_array(one).copy()) for one in model.graph.initializer
    }
    for initializer, several in names.items():
        for name in several:
            wanted = state[name.removeprefix(TRANSPOSED)]
            assert torch.equal(arrays[initializer], wanted.mT if name.startswith(TRANSPOSED) else wanted)
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_another_network_is_not_passed(tmp_path):
    """A file that computes something else than the module is refused with its distance."""
    graph = transformer_graph(tiny_model("tiny-2b"))
    path = build(graph, tmp_path, "float32")
    torch.nn.init.normal_(graph.module.backbone.transformer.proj_out.weight)
    with pytest.raises(InputError, match="differs from torch by"):
        check.check(graph, path, "float32", [Shape(1, 2, 4, 4, 3)])
