"""Where other people's networks run: on the GPU where torch finds one."""

from __future__ import annotations


def best_device() -> str:
    """Return `cuda` or `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
