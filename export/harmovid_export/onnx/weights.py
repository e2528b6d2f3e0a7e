"""Other weights for an exported network, of a later checkpoint or with another LoRA merged in.

    arrays = arrays_for(Path("transformer.onnx"), state_dict)       # initializer -> array, in the file's types

These are what a refit of a plan takes (`PLAN.refit.json` lists which of them the plan has), and what the file itself
would hold if the other checkpoint had been exported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

import numpy.typing as npt
import onnx
import torch
from harmovid.errors import InputError
from torch import Tensor

from harmovid_export.onnx.fp8 import quantized
from harmovid_export.onnx.names import TRANSPOSED, names_in


def arrays_for(path: Path, weights: Mapping[str, Tensor]) -> Dict[str, npt.NDArray[Any]]:
    """Return the initializers that a file would have with other weights; FP8 ones keep the file's scale.

    Args:
        weights: of the checkpoint, by its names; LoRA must have been merged into them.

    Raises:
        InputError: a weight is missing or of another size, or weights that were equal at the export and are one
            initializer now differ.
    """
    model = onnx.load(str(path))
    held = {one.name: one for one in model.graph.initializer}
    made = {}
    for name, several in names_in(path).items():
        values = [_value(weights, one) for one in several]
        if tuple(values[0].shape) != tuple(held[name].dims) or not all(
            torch.equal(values[0], one) for one in values
        ):
            raise InputError(
                f"{path.name} cannot take these weights for {', '.join(several)}.",
                fix="Export the checkpoint anew.",
            )
        array = values[0].numpy()
        if held[name].data_type == onnx.TensorProto.FLOAT8E4M3FN:
            scale = float(onnx.numpy_helper.to_array(held[f"{name}.scale"]))
            made[name] = quantized(array, scale)
        else:
            made[name] = array.astype(onnx.helper.tensor_dtype_to_np_dtype(held[name].data_type))
    return made


def _value(weights: Mapping[str, Tensor], name: str) -> Tensor:
    bare = name.removeprefix(TRANSPOSED)
    if bare not in weights:
        raise InputError(f"the checkpoint has no {bare}.", fix="Name a checkpoint of the same network.")
    value = weights[bare].detach().float().cpu()
    return (value.mT if name.startswith(TRANSPOSED) else value).contiguous()
