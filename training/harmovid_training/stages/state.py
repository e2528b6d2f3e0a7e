"""The training state on disk, from which a run resumes exactly: weights, optimizer, averaged weights, step.

    state/step-000400/weights.safetensors optimizer.safetensors ema.safetensors state.json

Whole tensors under their names, gathered from all processes (FSDP included) and written by one. A run resumes from the
newest complete folder. Data, noise, times and learning rate are functions of the step, so nothing else is stored.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Callable

import torch
from harmovid.errors import InputError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from harmovid_training.files import save_json, save_tensors
from harmovid_training.stages.ema import Ema

KEEP = 2
"""Newest states that are kept."""

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_SPREAD = StateDictOptions(ignore_frozen_params=True)
_LOAD = StateDictOptions(full_state_dict=True, strict=False)


def save_state(
    folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None,
    config: dict[str, Any], main: bool,
) -> None:  # fmt: skip
    """Write the state after `step` steps and remove all but the newest `KEEP` states. All processes must call this."""
    target = folder / f"step-{step:06d}"
    part = folder / f".step-{step:06d}.part"
    if main:
        shutil.rmtree(part, ignore_errors=True)
    # One after the other, so that the host holds one of them at a time. Gathering is a call of all processes.
    for name, gather in _parts(model, optimizer, ema, main).items():
        tensors = gather()
        if main and tensors:
            save_tensors(part / f"{name}.safetensors", tensors)
    if not main:
        return
    save_json(part / "state.json", {"step": step, "config": config})
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)


def _parts(
    model: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None, main: bool
) -> dict[str, Callable[[], dict[str, Tensor]]]:
    """Return the functions that gather a state's files, by name; only the main process keeps what they gather."""

    def weights() -> dict[str, Tensor]:
        kept: Any = get_model_state_dict(model, options=_WHOLE)
        return dict(kept)

    def moments() -> dict[str, Tensor]:
        kept: Any = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
        return _flat(kept["state"]) if main else {}

    def average() -> dict[str, Tensor]:
        kept = {}
        for name, value in ema.average.items() if ema else ():
            gathered = whole(value)
            if main:
                kept[name] = gathered
        return kept

    return {"weights": weights, "optimizer": moments, "ema": average}


def load_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema | None, config: dict[str, Any]
) -> int:
    """Load the newest state and return its number of steps; 0 where there is none.

    Raises:
        InputError: the state is of another configuration (number of steps and saving interval may differ).
    """
    states = sorted(folder.glob("step-*"))
    if not states:
        return 0
    newest = states[-1]
    try:
        kept = json.loads((newest / "state.json").read_text(encoding="utf-8"))
        step, trained = int(kept["step"]), dict(kept["config"])
        free = {"save_every", "validate_every", "workers", "gpus"}
        if not config.get("decay"):  # else the learning rate of every step depends on the last one's number
            free.add("iterations")
        other = [key for key, value in config.items() if key not in free and trained.get(key) != value]
        if other:
            raise InputError(
                f"{newest} was trained with another {', '.join(other)}.",
                fix="Give the run another name, or its own configuration back.",
            )
        weights, moments, average = (
            load_file(newest / f"{name}.safetensors") if name != "ema" or ema else {}
            for name in ("weights", "optimizer", "ema")
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(
            f"the state in {newest} cannot be read: {error}.",
            fix="Remove that folder; the run then goes on from the state before it.",
        ) from error
    set_model_state_dict(model, weights, options=_LOAD)
    # A gathered state would be on the main process only, but every process needs the parameter groups.
    current: Any = get_optimizer_state_dict(model, optimizer, options=_SPREAD)
    current["state"] = _nested(moments)
    set_optimizer_state_dict(model, optimizer, current, options=_LOAD)
    if ema:
        ema.load(average)
    return step


def whole(value: Tensor) -> Tensor:
    """Return a tensor, which FSDP may have sharded, in one piece on the CPU."""
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def _flat(state: dict[str, dict[str, Any]]) -> dict[str, Tensor]:
    return {
        f"{name}|{key}": torch.as_tensor(value) for name, held in state.items() for key, value in held.items()
    }


def _nested(flat: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    made: dict[str, dict[str, Tensor]] = {}
    for name, value in flat.items():
        weight, key = name.rsplit("|", 1)
        made.setdefault(weight, {})[key] = value
    return made
