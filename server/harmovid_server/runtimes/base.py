"""The runtime contract: a file in, a network that computes out, and the facts of what really computes.

    network = load(Path("encoder.onnx"), RuntimeSettings(device="auto"))
    outputs = network({"codes": codes})                      # arrays by name
    network.facts                                            # {"runtime": "onnxruntime 1.32.0", "provider": "cpu", ...}
    network.close()

A runtime is a module with `load(file, settings, **hints) -> Network`; which one is used follows from the file's
suffix (`RUNTIMES`). It raises `RuntimeUnavailableError` where it cannot run the file here, and the caller tries
another file of the same network.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Protocol, Tuple, Union

import numpy.typing as npt

Array = npt.NDArray[Any]
Facts = Dict[str, str]
"""What really computes, under the keys `FACTS`, for reports, `engines` and `doctor`."""

FACTS = ("runtime", "provider", "device", "precision", "reason")
"""`reason` says why it is not a faster one; empty where it is the fastest."""

Profile = Mapping[str, Tuple[int, ...]]
"""Full shapes of one input: "min", "opt", "max"."""

RUNTIMES: Dict[str, str] = {
    ".onnx": "harmovid_server.runtimes.onnx",
    ".plan": "harmovid_server.runtimes.tensorrt",
}
"""File suffix to the module that loads it."""


PACKAGES: Dict[str, Tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt_cu13", "tensorrt_cu12"),
    "tensorrt_rtx": ("tensorrt_rtx",),
}
"""Runtime to the distributions that bring it."""


class RuntimeUnavailableError(Exception):
    """This runtime cannot run this file on this machine, in one sentence."""


@dataclass(frozen=True)
class RuntimeSettings:
    """What the operator allows (docs/server.md, "Settings").

    Attributes:
        device: "auto" (or "auto:N") takes a GPU (that one) where it works, else the processor; "cpu", "cuda", "cuda:N"
            take that or fail.
        precision: "auto" keeps the precision of the file; "float16" lets a runtime that can convert do so.
        memory: bytes of GPU memory that one network may take; 0 sets no limit.
        providers: names of the execution providers that may be tried; all where empty.
        cache: folder where a runtime may keep what it compiled; none where empty.
    """

    device: str = "auto"
    precision: str = "auto"
    memory: int = 0
    providers: Tuple[str, ...] = ()
    cache: str = ""


ANY = RuntimeSettings()
"""Settings that leave everything to the runtime."""


class Tensor(NamedTuple):
    """An input or output: sizes that are free have a name instead of a number; dtype as numpy names it."""

    shape: Tuple[Union[int, str], ...]
    dtype: str


class Network(Protocol):
    """A loaded network. It may be called from one thread at a time."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    facts: Facts

    def __call__(self, inputs: Mapping[str, Any], keep: Iterable[str] = ()) -> Dict[str, Any]:
        """Compute all outputs, by name.

        Args:
            inputs: every input by name: an array, or what an earlier call kept.
            keep: outputs to leave on the device; they come back as values that only networks of the same runtime
                and device take.
        """

    def close(self) -> None:
        """Give device memory and threads back. It must not be called afterwards."""


def load(
    file: Path, settings: RuntimeSettings, *, threads: int = 1, profiles: Mapping[str, Profile] | None = None
) -> Network:
    """Load a network with the runtime that its file is for.

    Args:
        threads: processor threads one call may use.
        profiles: input name to the shapes that will come, for runtimes that compile for them.

    Raises:
        RuntimeUnavailableError: it cannot run here; the text says why.
    """
    module = RUNTIMES.get(file.suffix)
    if module is None:
        raise RuntimeUnavailableError(f"no runtime takes {file.name}.")
    try:
        runtime = import_module(module)
    except ImportError as error:
        raise RuntimeUnavailableError(f"{file.name}: {error}.") from error
    network: Network = runtime.load(file, settings, threads=threads, profiles=profiles or {})
    return network


def installed(runtime: str) -> str:
    """Return the version of a runtime that is installed here; "" for none, and for one that is not known."""
    for package in PACKAGES.get(runtime, ()):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return ""


def cpu_facts(runtime: str) -> Facts:
    """Return the facts of an engine that has no network and computes with `runtime` on the processor."""
    return dict(zip(FACTS, (runtime, "cpu", "cpu", "float32", "it needs no GPU")))
