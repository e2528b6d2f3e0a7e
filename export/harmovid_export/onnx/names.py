"""The map from an ONNX file's initializers to the checkpoint's weights: for refits, LoRA swaps and reading a file back.

The exporter transposes the weights of linear layers and renames them. They are matched by their values; the map is
stored in the file's metadata under `KEY`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Tuple

import numpy.typing as npt
import onnx
import torch
from torch import Tensor

KEY = "harmovid.names"

TRANSPOSED = "T:"
"""Prefix of names of weights that are transposed in the file."""

NameMap = Dict[str, List[str]]
"""Initializer to weights: several where they are equal and the exporter has kept one of them."""


def name_map(
    initializers: Iterable[Tuple[str, npt.NDArray[Any]]], weights: Mapping[str, Tensor], prefix: str
) -> NameMap:
    """Return the names in the checkpoint for each initializer; constants of the graph are left out.

    Args:
        weights: of the exported module, in the file's precision.
        prefix: of their names, which the checkpoint's names do not have.
    """
    arrays = dict(initializers)
    known: Dict[str, List[str]] = {}
    for name, value in weights.items():
        bare = name[len(prefix) :] if name.startswith(prefix) else name
        if name not in arrays:
            known.setdefault(_key(_numpy(value)), []).append(bare)
            if value.ndim == 2 and value.shape[0] > 1 and value.shape[1] > 1:
                known.setdefault(_key(_numpy(value.mT)), []).append(TRANSPOSED + bare)
    found: NameMap = {}
    for name, array in arrays.items():
        own = [name[len(prefix) :] if name.startswith(prefix) else name] if name in weights else []
        equal = known.get(_key(array), []) if array.ndim and array.size > 1 else []
        if own or equal:
            found[name] = own + equal
    return found


def dumped(names: NameMap) -> str:
    """Return a map as text for a file's metadata."""
    return json.dumps(names, sort_keys=True, separators=(",", ":"))


def names_in(path: Path) -> NameMap:
    """Return the map in a file's metadata; empty if it has none."""
    model = onnx.load(str(path), load_external_data=False)
    return dict(json.loads(next((one.value for one in model.metadata_props if one.key == KEY), "{}")))


def _numpy(value: Tensor) -> npt.NDArray[Any]:
    value = value.detach().contiguous()
    # numpy has no bfloat16; its bytes are those of a 16-bit integer.
    made: npt.NDArray[Any] = (value.view(torch.int16) if value.dtype == torch.bfloat16 else value).numpy()
    return made


def _key(array: npt.NDArray[Any]) -> str:
    digest = hashlib.blake2b(array.tobytes(), digest_size=16)
    return f"{'x'.join(map(str, array.shape))}:{digest.hexdigest()}"
