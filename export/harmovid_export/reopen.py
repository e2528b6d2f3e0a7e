"""Read weights for further training from the ONNX files that ship.

python -m harmovid_export.reopen server/harmovid_server/engines/harmonize weights.pt
python -m harmovid_training.harmonizer train --clips CLIPS --out RUN --start weights.pt

The export folds each normalisation into the convolution before it. Here each normalisation is restored as one that only
adds the remaining bias, so the network computes the same results. Its compact part is not meant to be trained further.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import onnx
import torch
from harmovid.errors import HarmoVidError, InputError
from harmovid_training.harmonizer.network import Harmonizer
from harmovid_training.harmonizer.train import save_weights
from onnx import numpy_helper
from torch import Tensor, nn

PARTS = ("encoder", "head")
FOLDED = ".0.weight_bias"
"""How the exporter names the bias that a folded normalisation leaves with its convolution."""
GATE = "head.gate"
"""The confidence, which is fitted anew after each training."""
WEIGHT, BIAS, COUNTER = ".weight", ".bias", ".num_batches_tracked"
STRIDES = ("stride8", "stride16", "stride32")
"""The encoder's inputs that the semantic branch standardises, in the order of its numbers."""


def reopen(folder: Path) -> Harmonizer:
    """Return the network in `folder`; its confidence is untrained.

    Raises:
        InputError: the files are missing or are of another network.
    """
    model = Harmonizer().eval()
    state, folded = _read(folder, model)
    model.load_state_dict(state)
    modules = dict(model.named_modules())
    for name, bias in folded.items():
        layer = modules[name]
        if isinstance(layer, nn.BatchNorm2d):
            with torch.no_grad():
                layer.running_mean.zero_()  # type: ignore[union-attr]
                layer.running_var.fill_(1 - layer.eps)  # type: ignore[union-attr]
                layer.weight.fill_(1)
                layer.bias.copy_(bias)
    return model


def _read(folder: Path, model: Harmonizer) -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """Return the weights by their names in torch, and the folded biases by the names of their normalisations."""
    state, folded, missing = model.state_dict(), {}, set()
    for part in PARTS:
        path = folder / f"{part}.onnx"
        if not path.is_file():
            raise InputError(f"{path} is not there.", fix="Name the folder of encoder.onnx and head.onnx.")
        graph = onnx.load(str(path)).graph
        held = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
        held.update(_renamed(graph, held))
        for name in (key[len(part) + 1 :] for key in state if key.startswith(f"{part}.")):
            key = f"{part}.{name}"
            if name in held and not key.startswith(GATE):
                state[key] = held[name].reshape(state[key].shape)
            elif not key.startswith(GATE) and not name.endswith(COUNTER):
                missing.add(key)
        folded.update(
            {f"{part}.{name[: -len(FOLDED)]}.1": one for name, one in held.items() if name.endswith(FOLDED)}
        )
    absent = sorted(key for key in missing if key.rpartition(".")[0] not in folded)
    if absent:
        raise InputError(
            f"{folder} holds another network: {', '.join(absent[:3])} is not in it.", fix="Export it again."
        )
    return state, folded


def _renamed(graph: onnx.GraphProto, held: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Return by their names in torch the weights that the exporter stored under other names.

    It transposes the weight of a linear layer on more than two dimensions, stores equal biases once, and folds the
    shape of the standardisation into its numbers.
    """
    made_by = {node.output[0]: node for node in graph.node}
    users: Dict[str, List[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    found: Dict[str, Tensor] = {}
    for node in graph.node:
        if node.op_type == "Gemm" and node.input[1].endswith(WEIGHT) and len(node.input) == 3:
            found[node.input[1][: -len(WEIGHT)] + BIAS] = held[node.input[2]]
        elif node.op_type == "Add":
            for bias, product in (node.input, node.input[::-1]):
                made = made_by.get(product)
                if bias.endswith(BIAS) and made is not None and made.op_type == "MatMul":
                    found[bias[: -len(BIAS)] + WEIGHT] = held[made.input[1]].T.contiguous()
    for number, features in enumerate(STRIDES):
        for centred in (node for node in users.get(features, []) if node.op_type == "Sub"):
            found[f"semantic.mean{number}"] = held[centred.input[1]]
            found[f"semantic.spread{number}"] = held[users[centred.output[0]][0].input[1]]
    return found


def main(words: Optional[List[str]] = None) -> int:
    """Write the weights; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds encoder.onnx and head.onnx")
    parser.add_argument("weights", type=Path)
    given = parser.parse_args(words)
    try:
        save_weights(given.weights, reopen(given.folder))
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
