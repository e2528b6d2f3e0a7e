"""Exported graphs: torch's results at shapes that were not traced, named free sizes, and the map of weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from diffusers import AutoencoderKLCogVideoX
from harmovid.errors import InputError
from harmovid_export.graphs import Graph, Shape, codec_graphs, transformer_graph
from harmovid_export.onnx import check
from harmovid_export.onnx.build import OPSETS, build
from harmovid_export.onnx.names import KEY, TRANSPOSED
from harmovid_training.models.causal import CausalConv3d
from harmovid_training.models.codec import CogVideoXCodec
from training.inference.tiny import tiny_model

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


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Graph, Path]]:
    """Return a function of a size that gives its graph and its file in float32, weights beside; each is made once."""

    @lru_cache
    def made(size: str) -> tuple[Graph, Path]:
        graph = transformer_graph(tiny_model(size))
        return graph, build(graph, tmp_path_factory.mktemp(size), "float32", external_bytes=1000)

    return made


def small_vae() -> CogVideoXCodec:
    """Return a random VAE of the real classes with one step in space and time, because tracing takes long."""
    torch.manual_seed(0)
    return CogVideoXCodec(
        AutoencoderKLCogVideoX(
            down_block_types=("CogVideoXDownBlock3D",) * 2, up_block_types=("CogVideoXUpBlock3D",) * 2,
            block_out_channels=(4, 8), latent_channels=4, layers_per_block=1, norm_num_groups=2,
            temporal_compression_ratio=2,
        )
    )  # fmt: skip


@pytest.mark.parametrize("size", ["tiny-5b", "tiny-2b", "tiny-1.5"])
def test_transformers_equal_torch(transformer, size):
    """Rotary, sinusoidal and two-latent models: every batch, length, height, width and prompt, to 1e-5."""
    graph, path = transformer(size)
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


# Each graph of the VAE takes the exporter ten seconds: in half precision two of the four stand for all.
@pytest.mark.parametrize(("precision", "every"), [("float32", 1), ("float16", 3)])
def test_the_vaes_chunks_equal_torch(tmp_path, precision, every):
    """First and next chunk, both ways, with caches as inputs and outputs, at sizes and batches that were not traced."""
    for graph in codec_graphs(small_vae())[::every]:
        path = build(graph, tmp_path, precision)
        assert max(check.check(graph, path, precision)) < check.LIMITS[precision], graph.role
        assert_free(path, graph)
        kept = [name for name in graph.outputs if name.startswith("next.")]
        given = [name for name in graph.inputs if name.startswith("cache.")]
        part = graph.module.vae.encoder if graph.role.startswith("encode") else graph.module.vae.decoder
        assert len(kept) == sum(one.reach > 0 for one in part.modules() if isinstance(one, CausalConv3d))
        assert not given or len(given) == len(kept)


def test_weights_are_found_again_and_large_ones_lie_outside(transformer):
    """The name map reaches every weight of the checkpoint; with a bound of a few bytes they are in a file beside."""
    graph, path = transformer("tiny-5b")
    assert path.with_name("transformer.onnx.data").stat().st_size > 1000
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


def test_another_network_is_not_passed(transformer):
    """A file that computes something else than the module is refused with its distance."""
    _, path = transformer("tiny-2b")
    other = transformer_graph(tiny_model("tiny-2b"))
    torch.nn.init.normal_(other.module.backbone.transformer.proj_out.weight)
    with pytest.raises(InputError, match="differs from torch by"):
        check.check(other, path, "float32", [Shape(1, 2, 4, 4, 3)])
