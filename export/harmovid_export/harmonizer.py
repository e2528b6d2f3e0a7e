"""The harmonizer as an engine bundle: backbone, encoder and head in ONNX, checked against torch, and the manifest.

    python -m harmovid_export.harmonizer backbone efficientnet-lite0-57934424.pth FOLDER
    python -m harmovid_export.harmonizer network RUN/harmonizer.pt FOLDER --version 4 --card card.md

FOLDER is the bundle, `server/harmovid_server/engines/harmonize/bundle` for the one that ships. The first command is
needed once, as the backbone does not change.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import onnx
import onnxruntime
import torch
from harmovid import bundle
from harmovid.bundle import Manifest, NetworkInfo, TensorInfo
from harmovid.errors import HarmoVidError, InputError
from harmovid.pixels.colour.model_space import CONTRACT
from harmovid.storage.atomic import replacing
from harmovid_training.harmonizer import constants as numbers
from harmovid_training.harmonizer import network as net
from harmovid_training.harmonizer.backbone import CHANNELS, PICTURE_SIZE, load_backbone
from torch import Tensor, nn

OPSET = 18
PARITY = 2e-4
"""Largest difference between torch and ONNX Runtime in any output, relative to 1 + its size."""
BATCHES = (2, 1, 5)
"""How many pictures are compared at a time."""
NAME, KIND, CARD = "harmonize", "harmonizer", "card.md"
LICENCE = "Apache-2.0"
"""Of our weights and of the backbone's."""
BACKBONE, ENCODER, HEAD = ROLES = ("backbone", "encoder", "head")
Inputs = Dict[str, Tensor]


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


def export_network(model: net.Harmonizer, folder: Path, version: str) -> Dict[str, float]:
    """Write encoder, head and manifest into `folder`, which has a backbone and a model card; return each network's
    largest difference.

    Raises:
        InputError: ONNX Runtime's results differ from torch's, or the backbone or the card is missing.
    """
    for name, fix in (
        (f"{BACKBONE}.onnx", "Export the backbone first."),
        (CARD, "Give the model card: --card FILE."),
    ):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is not there.", fix=fix)
    encoder = [_encoder_inputs(n) for n in BATCHES]
    head = [_head_inputs(n) for n in BATCHES]
    features, answers = ["vector", "trust", "local_features"], ["coeffs", "grid", "gate", "need", "errors"]
    errors = {
        ENCODER: _export(folder / f"{ENCODER}.onnx", model.encoder, encoder, features),
        HEAD: _export(folder / f"{HEAD}.onnx", model.head, head, answers),
    }
    bundle.write(folder, manifest(folder, version))
    return errors


def export_backbone(weights: Path, folder: Path) -> Dict[str, float]:
    """Write `backbone.onnx` into `folder` from the package's `weights`; return the largest difference.

    Raises:
        InputError: the weights are of another network, or ONNX Runtime's results differ from torch's.
    """
    backbone, rng = load_backbone(weights), torch.Generator().manual_seed(1)
    examples = [{"picture": torch.rand(n, 3, *PICTURE_SIZE, generator=rng)} for n in BATCHES]
    outputs = ["stride8", "stride16", "stride32"]
    return {BACKBONE: _export(folder / f"{BACKBONE}.onnx", backbone, examples, outputs)}


def _export(path: Path, part: nn.Module, examples: Sequence[Inputs], outputs: List[str]) -> float:
    """Write one ONNX file with a free number of pictures; return its largest difference from torch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = torch.export.Dim("n")
    with replacing(path) as temporary:
        partial = Path(temporary)
        torch.onnx.export(
            part, kwargs=dict(examples[0]), f=str(partial), output_names=outputs, opset_version=OPSET, dynamo=True,
            dynamic_shapes={name: {0: batch} for name in examples[0]}, external_data=False, verbose=False,
        )  # fmt: skip
        _strip(partial)
        error = max(_difference(part, partial, inputs) for inputs in examples)
        if error > PARITY:
            raise InputError(
                f"{path.name} differs from torch by {error:.1e}.", fix="Export with other versions."
            )
    return error


def manifest(folder: Path, version: str) -> Manifest:
    """Return the manifest of the bundle in `folder`; the hashes are filled in when it is written."""
    return Manifest(
        name=NAME,
        version=version,
        task="harmonize",
        kind=KIND,
        networks={name: _network(folder / f"{name}.onnx") for name in ROLES},
        colour=CONTRACT,
        precision="float32",
        runtime={"onnxruntime": "1.20"},
        licence=LICENCE,
        card=CARD,
        constants={
            "rows": PICTURE_SIZE[0], "columns": PICTURE_SIZE[1], "brightness": numbers.BRIGHTNESS,
            "unit_stops": numbers.UNIT_STOPS, "low": numbers.LOW_STOPS, "high": numbers.HIGH_STOPS,
            "grid_low": numbers.GRID_LOW, "grid_high": numbers.GRID_HIGH, "variants": list(numbers.VARIANTS),
        },
    )  # fmt: skip


def _network(path: Path) -> NetworkInfo:
    graph = onnx.load(str(path)).graph
    inputs = tuple(_tensor(value, profiled=True) for value in graph.input)
    return NetworkInfo(path.name, inputs, tuple(_tensor(value) for value in graph.output))


def _tensor(value: onnx.ValueInfoProto, profiled: bool = False) -> TensorInfo:
    """Return name, dtype and shape; if `profiled` also the shapes to compile for, with one picture at a time."""
    tensor = value.type.tensor_type
    shape = tuple(size.dim_param or size.dim_value for size in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    one = tuple(1 if isinstance(size, str) else size for size in shape)
    return TensorInfo(value.name, dtype, shape, dict.fromkeys(("min", "opt", "max"), one) if profiled else {})


def _strip(path: Path) -> None:
    """Remove layer names and source lines of this machine from a file that ships."""
    model = onnx.load(str(path))
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, str(path))


def _encoder_inputs(count: int) -> Inputs:
    """Return example inputs of the encoder."""
    rng = torch.Generator().manual_seed(count)
    rows, columns = (size // 2 for size in PICTURE_SIZE)
    matte = torch.zeros(count, 1, rows, columns)
    matte[:, :, rows // 4 : rows // 2, columns // 4 : columns // 2] = 1
    places = numbers.PLACES
    sizes = (places, places, (5, 6))
    return {
        "codes": 0.2 + 0.4 * torch.rand(count, 3, rows, columns, generator=rng),
        "matte": matte,
        "coverage": torch.ones_like(matte),
        "box": net.subject_box(matte),
        "anchor": 0.1 + torch.rand(count, generator=rng),
        **{
            f"stride{8 << i}": torch.randn(count, channels, *size, generator=rng)
            for i, (channels, size) in enumerate(zip(CHANNELS, sizes))
        },
    }


def _head_inputs(count: int) -> Inputs:
    """Return example inputs of the head."""
    rng = torch.Generator().manual_seed(count)
    return {
        "vector": torch.randn(count, numbers.VECTOR, generator=rng),
        "local": torch.randn(count, numbers.LOCAL, numbers.GRID_ROWS, numbers.GRID_COLUMNS, generator=rng),
    }


def _difference(part: nn.Module, path: Path, inputs: Inputs) -> float:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: Any = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        wanted: Tuple[Tensor, ...] = part(**inputs)
    return max(float((np.abs(a - b.numpy()) / (1 + np.abs(b.numpy()))).max()) for a, b in zip(found, wanted))


def main(words: Optional[List[str]] = None) -> int:
    """Export the backbone, or a run's weights; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("backbone", "network"))
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", default="1", help="of the bundle")
    parser.add_argument("--card", type=Path, help="the model card; the one that is there stays without it")
    given = parser.parse_args(words)
    if given.card:
        given.folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(given.card, given.folder / CARD)
    try:
        if given.part == "backbone":
            errors = export_backbone(given.weights, given.folder)
        else:
            errors = export_network(load_weights(given.weights), given.folder, given.version)
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sizes = {name: (given.folder / f"{name}.onnx").stat().st_size for name in errors}
    sys.stdout.write(json.dumps({"largest difference": errors, "bytes": sizes}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
