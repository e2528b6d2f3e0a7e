"""Comparison of an ONNX file with torch in float32, at shapes that were not traced.

check(graph, path, "float16")        # {"float16 2x3x...": 7e-4}; InputError beyond LIMITS
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List

import numpy as np
import numpy.typing as npt
import onnx
import onnx.reference
import onnxruntime
import torch
from harmovid.errors import InputError

from harmovid_export.graphs import Graph, Inputs, Shape

LIMITS = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 3e-2, "float8": 1e-1}
"""Largest relative L2 distance of any output from torch in float32. Tiny random networks measured at most 9e-7, 1.2e-3,
1.5e-2 and 1e-2; in float8 a trained toy 5.1e-2."""

INTERPRETED = ("bfloat16", "float8")
"""Precisions without kernels on the CPU: they need a slow interpreter and are compared at the first shape only."""

SHAPES = (Shape(1, 2, 8, 4, 7), Shape(3, 6, 4, 8, 3))
"""Shapes of the comparison, other than the traced one."""


def check(graph: Graph, path: Path, precision: str, shapes: Iterable[Shape] = SHAPES) -> List[float]:
    """Return the distance at each shape.

    Raises:
        InputError: a distance is above the limit of the precision.
    """
    slow = precision in INTERPRETED
    run = _reference(path) if slow else _onnxruntime(path)
    distances = []
    for shape in list(shapes)[: 1 if slow else None]:
        distances.append(distance(graph, run, graph.example(shape)))
        if not distances[-1] <= LIMITS[precision]:
            raise InputError(
                f"{path.name} differs from torch by {distances[-1]:.1e} (relative L2) at {shape}, more than "
                f"{LIMITS[precision]:.0e}.",
                fix="Export with the versions of constraints.txt, or in another precision.",
            )
    return distances


@torch.no_grad()
def distance(graph: Graph, run: Any, inputs: Inputs) -> float:
    """Return the largest relative L2 distance of the outputs of `run` from torch in float32."""
    wanted = graph.module(*graph.arguments(inputs))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = run(inputs)
    if len(found) != len(wanted):
        return np.inf
    return max(relative(one, two.numpy()) for one, two in zip(found, wanted))


def relative(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    """Return the relative L2 distance of two arrays; infinite where one is not finite."""
    difference = np.linalg.norm((found.astype(np.float64) - wanted).ravel())
    return (
        float(difference / np.linalg.norm(wanted.astype(np.float64).ravel()))
        if np.isfinite(difference)
        else np.inf
    )


def _onnxruntime(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {
        one.name: np.float16 if one.type == "tensor(float16)" else np.float32 for one in session.get_inputs()
    }

    def run(inputs: Inputs) -> List[npt.NDArray[Any]]:
        made: List[npt.NDArray[Any]] = session.run(
            None, {name: inputs[name].numpy().astype(kind) for name, kind in kinds.items()}
        )
        return made

    return run


def _reference(path: Path) -> Any:
    """Return the file in ONNX's reference interpreter, which supports every type."""
    model = onnx.load(str(path))
    evaluator = onnx.reference.ReferenceEvaluator(model)
    kinds = {
        one.name: onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)
        for one in model.graph.input
    }

    def run(inputs: Inputs) -> List[npt.NDArray[Any]]:
        made: Dict[str, Any] = {name: inputs[name].numpy().astype(kind) for name, kind in kinds.items()}
        return list(evaluator.run(None, made))

    return run
