"""FP8 in a graph, by explicit QuantizeLinear and DequantizeLinear around the linear layers of its blocks.

    amax = calibrate.ranges(model, conditions)        # layer -> largest input on real footage
    quantize(model, names, amax)                      # in place, on torch's ONNX program

What is computed in FP8 (E4M3, one scale per tensor): the products of attention's projections and of the feed-forward
layers, with both factors in FP8. Their weights are stored in FP8, so the file is half as large. Everything else keeps
the file's type: patch embedding and text projection (first), time embedding, norms and their modulation, attention
itself, biases, and the output projection (last). Strongly typed TensorRT networks compute exactly this.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Tuple

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from harmovid_export.onnx.names import TRANSPOSED, NameMap

LARGEST = 448.0
"""Largest finite E4M3 number."""

LAYERS = re.compile(
    r"(?:transformer_)?blocks\.\d+\."
    r"(?:attn\d?\.(?:to_[qkv]|to_out\.0)|ffn?\.net\.(?:0\.proj|2))"
)
"""Names of the layers that are computed in FP8, in CogVideoX and Wan."""


def scale_of(amax: float, dtype: Any) -> float:
    """Return the scale with which values up to `amax` fill E4M3, rounded up to a number of `dtype`."""
    scale = np.float32(max(amax, 1e-6) / LARGEST)
    rounded = np.asarray(scale).astype(dtype)
    if float(rounded) < float(scale):
        rounded = np.nextafter(rounded, np.asarray(np.inf, dtype))
    return float(rounded)


def quantized(values: npt.NDArray[Any], scale: float) -> npt.NDArray[Any]:
    """Return values as E4M3 numbers of this scale; larger ones saturate."""
    scaled = np.clip(values.astype(np.float32) / np.float32(scale), -LARGEST, LARGEST)
    return np.asarray(scaled.astype(ml_dtypes.float8_e4m3fn))


def quantize(model: Any, names: NameMap, amax: Mapping[str, float]) -> int:
    """Compute the linear layers of a graph's blocks in FP8; return how many.

    Args:
        model: an `onnx_ir.Model`, changed in place.
        names: its initializers' names in the checkpoint.
        amax: layer to the largest absolute value of its input.

    Raises:
        ValueError: the graph has no such layer, or one without a range.
    """
    layers = {name: layer for name, several in names.items() for layer in _layers(several)}
    pairs: Dict[str, Any] = {}
    count = 0
    for node in list(model.graph):
        if node.op_type != "MatMul" or node.inputs[1].name not in layers:
            continue
        layer = layers[node.inputs[1].name]
        if layer not in amax:
            raise ValueError(f"no range of {layer} was measured")
        given = node.inputs[0]
        dtype = node.inputs[1].const_value.numpy().dtype
        if given.name not in pairs:
            pairs[given.name] = _activation(model, node, given, scale_of(amax[layer], dtype), dtype)
        node.replace_input_with(0, pairs[given.name])
        node.replace_input_with(1, _weight(model, node, node.inputs[1], dtype))
        count += 1
    if not count:
        raise ValueError("the graph has no linear layer that is known to work in FP8")
    return count


def _layers(several: list[str]) -> list[str]:
    """Return the layers among names of weights."""
    bare = (name.removeprefix(TRANSPOSED).removesuffix(".weight") for name in several)
    return [name for name in bare if LAYERS.fullmatch(name)][:1]


def _activation(model: Any, before: Any, given: Any, scale: float, dtype: Any) -> Any:
    """Insert a quantisation and its inverse in front of a node; return the result."""
    size, zero = _constants(model, given.name, scale, dtype)
    there = ir.node("QuantizeLinear", [given, size, zero])
    there.outputs[0].name = f"{given.name}.fp8"
    back: Any = ir.node("DequantizeLinear", [there.outputs[0], size, zero])
    back.outputs[0].name = f"{given.name}.dequantized"
    back.outputs[0].dtype, back.outputs[0].shape = given.dtype, given.shape
    model.graph.insert_before(before, [there, back])
    return back.outputs[0]


def _weight(model: Any, before: Any, weight: Any, dtype: Any) -> ir.Value:
    """Store a weight in FP8 and insert its dequantisation in front of a node; return the result."""
    values = weight.const_value.numpy()
    scale = scale_of(float(np.abs(values.astype(np.float32)).max()), dtype)
    size, zero = _constants(model, weight.name, scale, dtype)
    weight.const_value = ir.tensor(quantized(values, scale), name=weight.name)
    weight.dtype = ir.DataType.FLOAT8E4M3FN
    back = ir.node("DequantizeLinear", [weight, size, zero])
    back.outputs[0].name = f"{weight.name}.dequantized"
    model.graph.insert_before(before, [back])
    return back.outputs[0]


def _constants(model: Any, name: str, scale: float, dtype: Any) -> Tuple[ir.Value, ir.Value]:
    """Add a scale in the graph's type, and the zero of E4M3 if it is not there; return both."""
    size = ir.Value(
        name=f"{name}.scale", const_value=ir.tensor(np.asarray(scale, dtype), name=f"{name}.scale")
    )
    model.graph.register_initializer(size)
    zero = model.graph.initializers.get("fp8.zero")
    if zero is None:
        nothing = ir.tensor(np.zeros((), ml_dtypes.float8_e4m3fn), name="fp8.zero")
        zero = ir.Value(name="fp8.zero", const_value=nothing)
        model.graph.register_initializer(zero)
    return size, zero
