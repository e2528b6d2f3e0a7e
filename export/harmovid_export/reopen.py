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
NEW = ("head.gate", "head.errors", "encoder.semantic", "encoder.facts", "encoder.plain_facts")
"""Parameters that version 3 lacks or has in another form: untrained if the file lacks them. The confidence always
is."""
GATE = "head.gate"


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
        held = {one.name: one for one in onnx.load(str(path)).graph.initializer}
        for name in (key[len(part) + 1 :] for key in state if key.startswith(f"{part}.")):
            key = f"{part}.{name}"
            if name in held and not key.startswith(GATE):
                state[key] = torch.from_numpy(numpy_helper.to_array(held[name]).copy())
            elif name.endswith(".weight") and not key.startswith(NEW):
                missing.add(key)
        for name, one in held.items():
            if name.endswith(FOLDED):
                folded[f"{part}.{name[: -len(FOLDED)]}.1"] = torch.from_numpy(
                    numpy_helper.to_array(one).copy()
                )
    absent = sorted(key for key in missing if key[: -len(".weight")] not in folded)
    if absent:
        raise InputError(
            f"{folder} holds another network: {', '.join(absent[:3])} is not in it.", fix="Export it again."
        )
    return state, folded


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
