"""Check that a plan's outputs are finite: it is run once at its usual shape on this machine's GPU.

FP16 plans have given NaN on some versions and cards (NVIDIA/TensorRT issue 4748), so every plan is run before
a manifest names it. Without a GPU it cannot be run, and the result says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np
from harmovid.bundle import NetworkInfo
from harmovid.errors import BundleError

UNCHECKED = "not run: "


def check(folder: Path, file: str, network: NetworkInfo) -> str:
    """Return "finite", or why it could not be run here.

    Raises:
        BundleError: an output has NaN or infinite values.
    """
    from harmovid_server.runtimes.base import RuntimeSettings, RuntimeUnavailableError, load

    try:
        loaded = load(folder / file, RuntimeSettings(device="cuda"))
    except RuntimeUnavailableError as error:
        return UNCHECKED + str(error)
    try:
        made = loaded(example(network))
    finally:
        loaded.close()
    for name, value in made.items():
        if not np.isfinite(np.asarray(value, np.float32)).all():
            raise BundleError(
                f"{file}: output {name} is not finite.",
                fix="Use float32 or bfloat16, or another version of TensorRT.",
            )
    return "finite"


def example(network: NetworkInfo) -> Dict[str, Any]:
    """Return inputs of the usual shape, with values in the range of proxies and noise."""
    rng = np.random.default_rng(0)
    made: Dict[str, Any] = {}
    for one in network.inputs:
        shape = one.profile.get("opt", tuple(size for size in one.shape if isinstance(size, int)))
        made[one.name] = rng.standard_normal(shape).astype(np.float32)
    return made
