"""Choice of the device that networks run on: this process's own GPU where torch finds one."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState

PATIENCE = timedelta(hours=24)
"""How long processes wait for each other; between two barriers they rewrite clips of unequal length."""


def best_device() -> str:
    """Return `cpu`, `cuda`, or in a run of several processes this one's own GPU, such as `cuda:3`."""
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank is not None else "cuda"


def inference_dtype(device: str) -> torch.dtype:
    """Return the type in which networks run that are not trained: bfloat16 on a GPU, float32 on a CPU."""
    import torch

    return torch.float32 if device == "cpu" else torch.bfloat16


def process_state() -> PartialState:
    """Return this process's rank and device. Must be called before any network is made, as it chooses the GPU."""
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
