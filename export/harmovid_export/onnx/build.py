"""A graph as an ONNX file: exported by torch, with named free sizes and without traces of the exporting machine.

    build(graph, folder, "float16")          # folder/transformer.onnx, and .onnx.data where the weights are large

The file's sizes carry the names of `graphs.py` ("batch", "rows"), its metadata the name map (`names.py`).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import onnx_ir as ir
import torch
from torch import nn

from harmovid_export.graphs import Graph, Shape
from harmovid_export.onnx.fp8 import quantize
from harmovid_export.onnx.names import KEY, dumped, name_map

OPSETS = {"float32": 20, "float16": 23, "bfloat16": 23, "float8": 23}
"""From 23 on attention is one operator; TensorRT runs it fused in half precision, but does not support it in
float32."""

EXTERNAL_BYTES = 64 << 20
"""Weights beyond this lie in a file of their own: a protobuf file ends at 2 GB."""

EXAMPLE = Shape(batch=2, latents=4, rows=4, columns=6, text=5)
"""The traced shape, of which nothing remains in the file. No size is 1, as the exporter would treat that as
constant."""


def build(
    graph: Graph, folder: Path, precision: str, external_bytes: int = EXTERNAL_BYTES,
    amax: Optional[Mapping[str, float]] = None,
) -> Path:  # fmt: skip
    """Write `ROLE.onnx` into a folder and return its path.

    Args:
        precision: of the weights: float32, float16, bfloat16, or float8 (`fp8.py`; what is not FP8 is bfloat16).
        external_bytes: if all weights together are larger than this, they go into `ROLE.onnx.data`.
        amax: for float8 the measured ranges, `calibrate.ranges`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = graph.in_precision(precision)
    program = exported(graph, module, OPSETS[precision])
    model = program.model
    _name_sizes(graph, model)
    _strip(model)
    arrays = ((name, _array(value)) for name, value in model.graph.initializers.items())
    names = name_map(arrays, module.state_dict(), graph.prefix)
    model.metadata_props[KEY] = dumped(names)
    if precision == "float8":
        quantize(model, names, amax or {})
    path = folder / f"{graph.role}.onnx"
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    program.save(str(path), external_data=size > external_bytes)
    return path


@torch.no_grad()
def exported(graph: Graph, module: nn.Module, opset: int) -> Any:
    """Return torch's ONNX program of a module, with all of the graph's free sizes free."""
    inputs = graph.example(EXAMPLE)
    weight = next(module.parameters())
    for name in inputs:
        if name.startswith("cache."):
            inputs[name] = inputs[name].to(weight.dtype)
    axes = [dict.fromkeys(graph.free[name], torch.export.Dim.DYNAMIC) for name in graph.inputs]
    with warnings.catch_warnings():
        # The exporter's own deprecation warnings are not ours to fix.
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            module, graph.arguments(inputs), dynamo=True, opset_version=opset, verbose=False,
            dynamic_shapes=(*axes[: graph.plain], axes[graph.plain :]),
            input_names=list(graph.inputs), output_names=list(graph.outputs),
        )  # fmt: skip


def _name_sizes(graph: Graph, model: Any) -> None:
    """Replace the exporter's names of free sizes by those of the graph, in inputs and outputs."""
    names: Dict[str, str] = {}
    for value in model.graph.inputs:
        for axis, name in graph.free[value.name].items():
            names.setdefault(str(value.shape[axis]), name)
    for value in model.graph.inputs:
        sizes: List[Any] = list(value.shape)
        for axis in graph.free[value.name]:
            sizes[axis] = names[str(sizes[axis])]
        value.shape = ir.Shape(sizes)
    for value in model.graph.outputs:
        value.shape = ir.Shape(
            [
                size if isinstance(size, int) else names.get(str(size), f"{value.name}.{axis}")
                for axis, size in enumerate(value.shape)
            ]
        )


def _strip(model: Any) -> None:
    """Remove module names, source lines (paths of this machine) and intermediate shapes from the file."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def _array(value: Any) -> Any:
    array = value.const_value.numpy()
    return array.view("int16") if array.dtype.name == "bfloat16" else array
