"""The GPUs of this machine, counted without loading a driver's library."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

PROC = Path("/proc/driver/nvidia/gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"


def count_gpus(environ: Mapping[str, str], folder: Path = PROC) -> int:
    """Return how many NVIDIA GPUs this process may use: those that the driver or the environment lists."""
    listed = len(list(folder.iterdir())) if folder.is_dir() else 0
    if VISIBLE in environ:
        named = [name for name in environ[VISIBLE].split(",") if name.strip() and name.strip() != "-1"]
        return min(listed, len(named))
    return listed
