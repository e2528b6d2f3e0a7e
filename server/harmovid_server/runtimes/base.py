"""The interface of runtimes: load a network from a file, call it, and report what it really runs on.

    network = load(Path("encoder.onnx"), RuntimeSettings(device="auto"))
    outputs = network({"codes": codes})                      # arrays by name
    network.facts                                            # {"runtime": "onnxruntime 1.32.0", "provider": "cpu", ...}
    network.close()

A runtime is a module with `load(file, settings, **hints) -> Network`; which one is used follows from the file's
suffix (`RUNTIMES`). It raises `RuntimeUnavailableError` if it cannot run the file here; the caller then tries
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
"""What a network really runs on, under the keys `FACTS`, for reports, `engines` and `doctor`."""

FACTS = ("runtime", "provider", "device", "precision", "reason")
"""`reason` says why a faster one is not used; empty if it is the fastest."""

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
"""Runtime to the distributions that contain it."""


class RuntimeUnavailableError(Exception):
    """This runtime cannot run this file on this machine; the text is one sentence."""


@dataclass(frozen=True)
class RuntimeSettings:
    """Settings for runtimes (docs/server.md, "Settings").

    Attributes:
        device: "auto" uses a GPU ("auto:N": that GPU) if it works, else the CPU; "cpu", "cuda", "cuda:N" use that
            device or fail.
        precision: "auto" keeps the precision of the file; "float16" lets a runtime that can convert do so.
        memory: bytes of GPU memory that one network may use; 0 for no limit.
        providers: names of the execution providers that may be tried; empty for all.
        cache: folder where a runtime may keep compiled code; empty for none.
        graphs: capture CUDA graphs of networks that are called with the same shapes again.
    """

    device: str = "auto"
    precision: str = "auto"
    memory: int = 0
    providers: Tuple[str, ...] = ()
    cache: str = ""
    graphs: bool = False


ANY = RuntimeSettings()
"""Settings that let the runtime decide everything."""


class Tensor(NamedTuple):
    """An input or output. Free sizes have a name instead of a number; dtype as numpy names it."""

    shape: Tuple[Union[int, str], ...]
    dtype: str


class Network(Protocol):
    """A loaded network. Only one thread at a time may call it."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    facts: Facts

    def __call__(self, inputs: Mapping[str, Any], keep: Iterable[str] = ()) -> Dict[str, Any]:
        """Compute all outputs, by name.

        Args:
            inputs: every input by name: an array, or a value kept by an earlier call. An array that
                cannot be written to and owns its memory may be kept on the device, if the next call has the same.
            keep: outputs to leave on the device; they are returned as values that only networks of the same runtime
                and device accept.
        """

    def close(self) -> None:
        """Free device memory and threads. The network must not be called afterwards."""


def load(
    file: Path, settings: RuntimeSettings, *, threads: int = 1, profiles: Mapping[str, Profile] | None = None
) -> Network:
    """Load a network with the runtime for its file.

    Args:
        threads: CPU threads that one call may use.
        profiles: input name to the expected shapes, for runtimes that compile for them.

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
    """Return the installed version of a runtime; "" if it is not installed or not known."""
    for package in PACKAGES.get(runtime, ()):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return ""


def cpu_facts(runtime: str) -> Facts:
    """Return the facts of an engine without a network that computes with `runtime` on the CPU."""
    return dict(zip(FACTS, (runtime, "cpu", "cpu", "float32", "it needs no GPU")))
