"""The harmonizer's weights as an engine bundle: encoder and head in ONNX, checked against torch, and the manifest.

python -m harmovid_export.harmonizer RUN/harmonizer.pt server/harmovid_server/engines/harmonize/bundle --version 1
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import onnx
import onnxruntime
import torch
from harmovid import bundle
from harmovid.bundle import Manifest, NetworkInfo, TensorInfo
from harmovid.errors import InputError
from harmovid.pixels.colour.model_space import CONTRACT
from harmovid_training.data.batches import HEIGHT, WIDTH
from harmovid_training.harmonizer import network as net
from torch import Tensor, nn

OPSET = 18
PARITY = 2e-4
"""Largest difference between torch and ONNX Runtime in any output, relative to 1 + its size."""
SHAPES = ((2, 72, 96), (1, 64, 112), (3, 112, 64))
"""Batch, height and width that are compared; the frame's shape is free."""
NAME, KIND, CARD = "harmonize", "harmonizer", "card.md"
SIDES = {"min": 16, "opt": 96, "max": 432}
"""Smallest, usual and largest side of the pictures, for runtimes that compile: their area hardly changes."""


def load_weights(path: Path) -> net.Harmonizer:
    """Return the trained network in a checkpoint (its average) or a weights file, ready to run."""
    if not path.is_file():
        raise InputError(
            f"{path} is not there.", fix="Train first: python -m harmovid_training.harmonizer train."
        )
    held = torch.load(path, weights_only=True)
    model = net.Harmonizer()
    model.load_state_dict(held.get("average", held))
    return model.eval()


def export(model: net.Harmonizer, folder: Path, version: str) -> Dict[str, float]:
    """Write networks and manifest into `folder`, which has its model card; return each network's largest difference.

    Raises:
        InputError: ONNX Runtime gives other numbers than torch, or there is no card; nothing is left behind then.
    """
    if not (folder / CARD).is_file():
        raise InputError(f"{folder / CARD} is not there.", fix="Give the model card: --card FILE.")
    folder.mkdir(parents=True, exist_ok=True)
    encoder, head = _inputs(2, HEIGHT, WIDTH)
    batch, rows, columns = (torch.export.Dim(name) for name in ("n", "h", "w"))
    plane = {0: batch, 2: rows, 3: columns}
    errors = {}
    jobs: Tuple[Tuple[str, nn.Module, Dict[str, Tensor], List[str], Dict[str, Any]], ...] = (
        ("encoder", model.encoder, encoder, ["vector", "trust", "local_features"],
         {"codes": plane, "matte": plane, "coverage": plane, "box": {0: batch}}),
        ("head", model.head, head, ["coeffs", "grid", "gate", "need"], {"vector": {0: batch}, "local": {0: batch}}),
    )  # fmt: skip
    for name, part, inputs, outputs, dynamic in jobs:
        partial = folder / f"{name}.onnx.partial"
        torch.onnx.export(
            part, kwargs=inputs, f=str(partial), output_names=outputs, opset_version=OPSET, dynamo=True,
            dynamic_shapes=dynamic, external_data=False, verbose=False,
        )  # fmt: skip
        _strip(partial)
        errors[name] = max(_difference(part, partial, _inputs(*shape)[name == "head"]) for shape in SHAPES)
        if errors[name] > PARITY:
            partial.unlink()
            raise InputError(
                f"{name}.onnx differs from torch by {errors[name]:.1e}.", fix="Export with other versions."
            )
    for name in errors:
        os.replace(folder / f"{name}.onnx.partial", folder / f"{name}.onnx")
    bundle.write(folder, manifest(folder, version))
    return errors


def manifest(folder: Path, version: str) -> Manifest:
    """Return what the bundle in `folder` says of itself; the hashes are filled in when it is written."""
    return Manifest(
        name=NAME,
        version=version,
        task="harmonize",
        kind=KIND,
        networks={name: _network(folder / f"{name}.onnx") for name in ("encoder", "head")},
        colour=CONTRACT,
        precision="float32",
        runtime={"onnxruntime": "1.20"},
        licence="Apache-2.0",
        card=CARD,
        constants={
            "pixels": HEIGHT * WIDTH, "unit_stops": net.UNIT_STOPS, "low": net.LOW_STOPS, "high": net.HIGH_STOPS,
            "grid_low": net.GRID_LOW, "grid_high": net.GRID_HIGH,
        },
    )  # fmt: skip


def _network(path: Path) -> NetworkInfo:
    graph = onnx.load(str(path)).graph
    inputs = tuple(_tensor(value, profiled=True) for value in graph.input)
    return NetworkInfo(path.name, inputs, tuple(_tensor(value) for value in graph.output))


def _tensor(value: onnx.ValueInfoProto, profiled: bool = False) -> TensorInfo:
    """Return name, dtype and shape; with the shapes to compile for where sizes are free."""
    tensor = value.type.tensor_type
    shape = tuple(size.dim_param or size.dim_value for size in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    profile = {
        key: tuple(1 if size == "n" else side if isinstance(size, str) else size for size in shape)
        for key, side in SIDES.items()
    }
    return TensorInfo(value.name, dtype, shape, profile if profiled else {})


def _strip(path: Path) -> None:
    """Take names of layers and source lines of this machine out of a file that ships."""
    model = onnx.load(str(path))
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, str(path))


def _inputs(count: int, rows: int, columns: int) -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """Return example inputs of encoder and head."""
    rng = torch.Generator().manual_seed(rows)
    matte = torch.zeros(count, 1, rows, columns)
    matte[:, :, rows // 4 : rows // 2, columns // 4 : columns // 2] = 1
    encoder = {
        "codes": 0.2 + 0.4 * torch.rand(count, 3, rows, columns, generator=rng),
        "matte": matte,
        "coverage": torch.ones_like(matte),
        "box": net.subject_box(matte),
    }
    head = {
        "vector": torch.randn(count, net.VECTOR, generator=rng),
        "local": torch.randn(count, net.LOCAL, net.GRID_ROWS, net.GRID_COLUMNS, generator=rng),
    }
    return encoder, head


def _difference(part: nn.Module, path: Path, inputs: Dict[str, Tensor]) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        wanted = part(**inputs)
    return max(float((np.abs(a - b.numpy()) / (1 + np.abs(b.numpy()))).max()) for a, b in zip(found, wanted))


def main() -> None:
    """Export a run's weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--card", type=Path, help="the model card; the one that is there stays without it")
    given = parser.parse_args()
    if given.card:
        given.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(given.card, given.folder / CARD)
    errors = export(load_weights(given.weights), given.folder, given.version)
    sizes = {name: (given.folder / f"{name}.onnx").stat().st_size for name in errors}
    sys.stdout.write(json.dumps({"largest difference": errors, "bytes": sizes}) + "\n")


if __name__ == "__main__":
    main()
