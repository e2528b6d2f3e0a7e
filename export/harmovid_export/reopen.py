"""Weights to go on training with, out of the ONNX files that ship.

python -m harmovid_export.reopen server/harmovid_server/engines/harmonize/bundle weights.pt --data CACHE
python -m harmovid_training.harmonizer train --data CACHE --out RUN --start weights.pt

The export folds each normalisation into the convolution before it. Here it is taken out again: the scale and shift of
what each convolution gives on training pictures become the normalisation's statistics, so that the network answers as
before and learns as if it had never been folded.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import onnx
import torch
from harmovid.errors import HarmoVidError, InputError
from harmovid_training.data import cache, figures
from harmovid_training.data.__main__ import SCENES, SUBJECTS
from harmovid_training.data.batches import Batch, Sampler
from harmovid_training.harmonizer.losses import predict
from harmovid_training.harmonizer.network import Harmonizer
from harmovid_training.harmonizer.train import save_weights
from onnx import numpy_helper
from torch import Tensor, nn

PARTS = ("encoder", "head")
FOLDED = ".0.weight_bias"
"""How the exporter names the bias that a folded normalisation leaves with its convolution."""
GATE = "head.gate"
BATCHES, CLIPS, RENDERS = 12, 64, 0.2
SEED = 77


def reopen(folder: Path, batches: Sequence[Batch]) -> Harmonizer:
    """Return the network in `folder`, its normalisations measured on `batches`; its confidence is as new.

    Raises:
        InputError: the files are not there, or are of another network.
    """
    model = Harmonizer().eval()
    state, folded = _read(folder, model)
    model.load_state_dict(state)
    modules = dict(model.named_modules())
    seen: Dict[str, List[Tuple[Tensor, Tensor]]] = {name: [] for name in folded}
    hooks = []
    for name, bias in folded.items():
        layer = modules[name]
        _normalise(
            layer, torch.zeros_like(bias), torch.ones_like(bias) - _eps(layer), torch.ones_like(bias), bias
        )
        hooks.append(layer.register_forward_pre_hook(_watch(seen[name])))
    with torch.no_grad():
        for batch in batches:
            predict(model, batch, 1)
    for hook in hooks:
        hook.remove()
    for name, bias in folded.items():
        mean = torch.stack([first for first, _ in seen[name]]).mean(0)
        spread = (torch.stack([second for _, second in seen[name]]).mean(0) - mean**2).clamp_min(1e-6)
        _normalise(modules[name], mean, spread, (spread + _eps(modules[name])).sqrt(), bias + mean)
    return model


def _read(folder: Path, model: Harmonizer) -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """Return the weights by their names in torch, and the folded biases by their normalisation's name."""
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
            elif name.endswith(".weight") and not key.startswith(GATE):
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


def _watch(seen: List[Tuple[Tensor, Tensor]]) -> Any:
    def watch(_: nn.Module, inputs: Tuple[Tensor, ...]) -> None:
        seen.append((inputs[0].mean((0, 2, 3)), inputs[0].square().mean((0, 2, 3))))

    return watch


def _eps(layer: nn.Module) -> float:
    return float(layer.eps) if isinstance(layer, nn.BatchNorm2d) else 0.0


def _normalise(layer: nn.Module, mean: Tensor, spread: Tensor, scale: Tensor, shift: Tensor) -> None:
    with torch.no_grad():
        for name, value in zip(
            ("running_mean", "running_var", "weight", "bias"), (mean, spread, scale, shift)
        ):
            getattr(layer, name).copy_(value)


def main(words: Optional[List[str]] = None) -> int:
    """Write the weights; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds encoder.onnx and head.onnx")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="cache of harmovid_training.data")
    given = parser.parse_args(words)
    try:
        scenes, subjects = cache.load(given.data / SCENES), figures.load_subjects(given.data / SUBJECTS)
        sampler, batches = Sampler(scenes, subjects, SEED), []
        for step in range(BATCHES):
            sampler.at(step)
            batches.append(sampler.mixed(CLIPS, 1, RENDERS))
        save_weights(given.weights, reopen(given.folder, batches))
    except HarmoVidError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
