"""FP8 in exported graphs: exactly the linear layers of the blocks, computed as torch computes them with rounded
factors."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from harmovid.errors import InputError
from harmovid_export import calibrate, footage
from harmovid_export.bundle import Request, export_bundle, merged
from harmovid_export.graphs import Graph, Shape, transformer_graph
from harmovid_export.onnx import check, fp8
from harmovid_export.onnx.build import build
from harmovid_export.onnx.names import KEY, TRANSPOSED
from harmovid_export.onnx.weights import arrays_for
from harmovid_training.inference.shot import Settings
from harmovid_training.models.lora import add_lora
from hypothesis import given
from hypothesis import strategies as st
from training.inference.tiny import tiny_codec, tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

E4M3 = onnx.TensorProto.FLOAT8E4M3FN
SETTINGS = Settings("ddim", 2, 0, 9)
SHAPE = Shape(1, 2, 8, 4, 7)


class Exported(NamedTuple):
    """A tiny model, its graph, its file in float32, and the ranges of its layers on a drawn clip."""

    model: Any
    graph: Graph
    path: Path
    amax: Dict[str, float]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return one model for all tests; none may change it."""
    model = tiny_model("tiny-5b", num_layers=1)
    clip = footage.drawn(9, (32, 48), model.space)
    amax = calibrate.ranges(model, tiny_codec(), [clip], SETTINGS)
    graph = transformer_graph(model)
    return Exported(model, graph, build(graph, tmp_path_factory.mktemp("fp8"), "float32"), amax)


def names_of(path: Path) -> Dict[str, list[str]]:
    """Return the file's map of names."""
    props = onnx.load(str(path), load_external_data=False).metadata_props
    return dict(json.loads(next(one.value for one in props if one.key == KEY)))


def rounded(values: torch.Tensor, scale: float) -> torch.Tensor:
    """Return values rounded to FP8 of a scale by torch."""
    return (values / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale


def rounding(graph: Graph, amax: Dict[str, float]) -> Any:
    """Return a copy of the graph's module whose layers round weights and inputs to FP8, in float32."""
    module = graph.in_precision("float16").float()
    module.load_state_dict(graph.module.state_dict())
    for name, layer in module.backbone.transformer.named_modules():
        if name in amax:
            scale = fp8.scale_of(amax[name], np.float32)
            most = float(layer.weight.detach().abs().max())
            layer.weight.data = rounded(layer.weight.data, fp8.scale_of(most, np.float32))
            layer.register_forward_pre_hook(lambda _, inputs, scale=scale: (rounded(inputs[0], scale),))
    return module


def test_the_graph_computes_what_torch_does_with_rounded_factors(exported: Exported, tmp_path: Path) -> None:
    """With float32 around FP8, ONNX Runtime equals torch with rounded factors to 1e-5; the exact network is far off."""
    model = ir.load(str(exported.path))
    assert fp8.quantize(model, names_of(exported.path), exported.amax) == len(exported.amax)
    ir.save(model, str(tmp_path / "fp8.onnx"))
    inputs = exported.graph.example(SHAPE)
    (found,) = check._onnxruntime(tmp_path / "fp8.onnx")(inputs)
    with torch.no_grad():
        wanted = rounding(exported.graph, exported.amax)(*exported.graph.arguments(inputs)).numpy()
        exact = exported.graph.module(*exported.graph.arguments(inputs)).numpy()
    assert check.relative(found, wanted) < 1e-5
    assert check.relative(found, exact) > 1e-4


def test_a_bfloat16_file_has_fp8_in_its_blocks_and_nowhere_else(exported: Exported, tmp_path: Path) -> None:
    """Weights of attention and feed-forward are FP8; first, last, norms, times, biases stay; within 0.1 of torch."""
    path = build(exported.graph, tmp_path, "float8", amax=exported.amax)
    assert max(check.check(exported.graph, path, "float8")) < check.LIMITS["float8"]
    model, names = onnx.load(str(path)), names_of(path)
    onnx.checker.check_model(model)
    types = {one.name: one.data_type for one in model.graph.initializer}
    small = {names[name][0] for name, kind in types.items() if kind == E4M3 and name in names}
    inner = r"blocks\.\d+\.(attn1\.(to_[qkv]|to_out\.0)|ff\.net\.(0\.proj|2))\.weight"
    state = exported.model.backbone.transformer.state_dict()
    assert small == {TRANSPOSED + name for name in state if re.search(inner, name)}
    others = {names[name][0]: kind for name, kind in types.items() if name in names and kind != E4M3}
    assert set(others.values()) == {onnx.TensorProto.BFLOAT16}
    for part in ("patch_embed.proj.weight", "time_embedding", "norm1", "norm_out", "proj_out", "to_q.bias"):
        assert any(part in name for name in others), part
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("DequantizeLinear") == kinds.count("QuantizeLinear") + len(small)
    # Queries, keys and values share one rounded input.
    assert kinds.count("QuantizeLinear") == len({exported.amax[name] for name in exported.amax})


def with_arrays(path: Path, arrays: Dict[str, Any], out: Path) -> Path:
    """Write a file with other initializers; return its path."""
    model = onnx.load(str(path))
    for one in model.graph.initializer:
        if one.name in arrays:
            one.CopyFrom(onnx.numpy_helper.from_array(arrays[one.name], one.name))
    onnx.save(model, str(out))
    return out


def test_other_weights_in_the_file_give_the_other_network(exported: Exported, tmp_path: Path) -> None:
    """The arrays for a refit are those of the other checkpoint: with them the file computes what torch does."""
    state = exported.model.backbone.transformer.state_dict()
    other = {name: value * 1.03 for name, value in state.items()}
    arrays = arrays_for(exported.path, other)
    changed = with_arrays(exported.path, arrays, tmp_path / "other.onnx")
    module = exported.graph.in_precision("float16").float()
    module.backbone.transformer.load_state_dict(other)
    graph = replace(exported.graph, module=module)
    inputs = graph.example(SHAPE)
    assert check.distance(graph, check._onnxruntime(changed), inputs) < 1e-5
    assert check.distance(graph, check._onnxruntime(exported.path), inputs) > 1e-3


def test_weights_that_a_file_cannot_take_are_refused(exported: Exported) -> None:
    """A missing weight, another size, and weights that share one initializer and now differ: never a silent mix."""
    state = exported.model.backbone.transformer.state_dict()
    several = next(names for names in names_of(exported.path).values() if len(names) > 1)
    one = several[0].removeprefix(TRANSPOSED)
    for wrong in (
        {name: value for name, value in state.items() if name != one},
        {**state, one: state[one][:-1]},
        {**state, one: state[one] + 1},
    ):
        with pytest.raises(InputError, match=r"cannot take these weights|has no"):
            arrays_for(exported.path, wrong)


def test_a_lora_is_merged_before_the_export() -> None:
    """The merged network has the weights of one without adapters and computes the same."""
    model = tiny_model("tiny-5b", num_layers=1)
    names = set(model.backbone.transformer.state_dict())
    add_lora(model, 2)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    graph = transformer_graph(model.eval())
    inputs = graph.arguments(graph.example(SHAPE))
    with torch.no_grad():
        wanted = graph.module(*inputs)
        assert set(merged(model).backbone.transformer.state_dict()) == names
        torch.testing.assert_close(graph.module(*inputs), wanted)
    with torch.no_grad():
        assert not torch.allclose(
            transformer_graph(tiny_model("tiny-5b", num_layers=1)).module(*inputs), wanted
        )


def test_a_layer_without_a_range_is_refused(exported: Exported) -> None:
    """Footage that never reaches a layer gives no scale, and no scale is guessed."""
    amax = {name: value for name, value in exported.amax.items() if not name.endswith("to_k")}
    with pytest.raises(ValueError, match=r"no range of transformer_blocks\.0\.attn1\.to_k"):
        fp8.quantize(ir.load(str(exported.path)), names_of(exported.path), amax)


@given(st.floats(1e-6, 1e6), st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]))
def test_a_scale_never_cuts_the_largest_value(amax: float, dtype: Any) -> None:
    """Rounded to the graph's type the scale still reaches the range, unless the type itself ends before it."""
    scale = fp8.scale_of(min(amax, 1e4), dtype)
    assert scale * fp8.LARGEST >= min(amax, 1e4) * (1 - 1e-6)
    assert float(np.asarray(scale).astype(dtype)) == scale
    far = fp8.quantized(np.array([-1e9, 1e9], np.float32), scale).astype(np.float32)
    assert far.tolist() == [-fp8.LARGEST, fp8.LARGEST]


@pytest.mark.parametrize(
    ("precision", "plates", "match"),
    [("float8", (), "needs footage"), ("bfloat16", (Path("plates"),), "for float8 only")],
)
def test_fp8_without_footage_is_refused(tmp_path: Path, precision: str, plates: Any, match: str) -> None:
    """The error comes before anything is loaded, and says what to give."""
    with pytest.raises(InputError, match=match) as caught:
        export_bundle(tmp_path, "", tmp_path / "out", Request("CC0", precision=precision, footage=plates))
    assert "--footage" in caught.value.fix
    assert not (tmp_path / "out").exists()
