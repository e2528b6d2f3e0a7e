"""ONNX files through ONNX Runtime: on TensorRT, CUDA or the CPU, the first of them that works.

ONNX Runtime itself falls back to the next provider and only logs that. So the session is asked which provider it uses,
and `facts` states it. If a named device (not "auto") is not available, loading fails instead.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from harmovid_server.runtimes.base import (
    FACTS,
    Facts,
    Profile,
    RuntimeSettings,
    RuntimeUnavailableError,
    Tensor,
)
from harmovid_server.runtimes.onnx_binding import UNCAPTURED, Binding, FixedBuffers, run_options

NAME = "onnxruntime"
PROVIDERS: Dict[str, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Our names of the execution providers, fastest first."""

CPU_PACKAGE, GPU_PACKAGE = "onnxruntime", "onnxruntime-gpu"
OTHER = f"the package {GPU_PACKAGE} has them"
DRIVER = "driver or libraries are missing, see the server's log"
_DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(bfloat16)": "bfloat16", "tensor(int64)": "int64", "tensor(int32)": "int32",
    "tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(bool)": "bool",
}  # fmt: skip
QUIET = 3
"""ONNX Runtime's log level for errors only; `facts` tells about fallbacks."""


class OnnxNetwork:
    """One session of ONNX Runtime; see `base.Network`."""

    def __init__(self, session: Any, facts: Facts, graphs: bool = False) -> None:
        """Take a session.

        Args:
            graphs: keep buffers at fixed addresses for the shapes of calls with arrays, as CUDA graphs need them.
        """
        self.facts = facts
        self.inputs = {one.name: _tensor(one) for one in session.get_inputs()}
        self.outputs = {one.name: _tensor(one) for one in session.get_outputs()}
        self._session: Optional[Any] = session
        device, _, number = facts["device"].partition(":")
        self._binding: Optional[Binding] = Binding(session, tuple(self.outputs), device, int(number or 0))
        self._fixed: Optional[FixedBuffers] = None
        if graphs:
            self._fixed = FixedBuffers(session, tuple(self.outputs), device, int(number or 0))

    def __call__(self, inputs: Mapping[str, Any], keep: Iterable[str] = ()) -> Dict[str, Any]:
        """Compute all outputs; those in `keep` stay on the device (`OrtValue`)."""
        if self._session is None or self._binding is None:
            raise RuntimeError("this network has been closed")
        kept = frozenset(keep)
        only_arrays = not kept and all(isinstance(value, np.ndarray) for value in inputs.values())
        if only_arrays and self._fixed is not None:
            return self._fixed.run(inputs)
        if only_arrays and self.facts["device"] == "cpu":
            return dict(zip(self.outputs, self._session.run(None, dict(inputs))))
        # A graph cannot be captured here: values from other calls lie at other addresses.
        return self._binding.run(inputs, kept, run_options(UNCAPTURED) if self._fixed is not None else None)

    def close(self) -> None:
        """Delete the session; ONNX Runtime then frees its memory and threads."""
        self._session = self._binding = self._fixed = None


def load(
    file: Path, settings: RuntimeSettings, *, threads: int = 1, profiles: Mapping[str, Profile] | None = None
) -> OnnxNetwork:
    """Load an ONNX file.

    Raises:
        RuntimeUnavailableError: ONNX Runtime is missing, cannot load the file, or does not have the device in the
            settings.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeUnavailableError(
            "ONNX Runtime is not installed: pip install 'harmovid[server]', or 'harmovid[server-gpu]' for NVIDIA."
        ) from error
    wanted = wanted_providers(settings)
    available = onnxruntime.get_available_providers()
    usable = [name for name in wanted if PROVIDERS[name] in available]
    if not usable:
        raise RuntimeUnavailableError(
            f"device {settings.device}: this ONNX Runtime has no {' and no '.join(wanted)} provider ({OTHER})."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    pairs = [(PROVIDERS[name], provider_options(name, settings, profiles or {})) for name in usable]
    # ONNX Runtime raises exception classes of its own if libraries, driver or file are missing.
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=pairs)
    except Exception as error:
        raise RuntimeUnavailableError(f"ONNX Runtime does not take {file.name}: {error}") from error
    running = next(name for name in PROVIDERS if PROVIDERS[name] in session.get_providers())
    if running == "cpu" and "cpu" not in wanted:
        raise RuntimeUnavailableError(
            f"device {settings.device} cannot be used: the {' and '.join(usable)} provider did not start ({DRIVER})."
        )
    dtypes = [_tensor(one).dtype for one in session.get_inputs() if "float" in one.type]
    precision = dtypes[0] if dtypes else "as in the file"
    facts = _facts(onnxruntime.__version__, running, wanted, available, settings, precision)
    return OnnxNetwork(session, facts, settings.graphs)


def wanted_providers(settings: RuntimeSettings) -> List[str]:
    """Return the names of the providers that may be tried, fastest first."""
    if settings.device == "cpu":
        return ["cpu"]
    allowed = settings.providers or tuple(PROVIDERS)
    # A named GPU is not replaced by the CPU.
    return [
        name
        for name in PROVIDERS
        if name in allowed and (settings.device.startswith("auto") or name != "cpu")
    ]


def provider_options(name: str, settings: RuntimeSettings, profiles: Mapping[str, Profile]) -> Dict[str, Any]:
    """Return the options of one provider: device, memory, CUDA graphs; for TensorRT precision, cache and shapes."""
    if name == "cpu":
        return {}
    options: Dict[str, Any] = {"device_id": device_number(settings.device)}
    if name == "cuda":
        if settings.memory:
            options.update(gpu_mem_limit=settings.memory, arena_extend_strategy="kSameAsRequested")
        if settings.graphs:
            options["enable_cuda_graph"] = True
        return options
    if settings.graphs:
        options["trt_cuda_graph_enable"] = True
    if settings.memory:
        options["trt_max_workspace_size"] = settings.memory
    if settings.precision == "float16":
        options["trt_fp16_enable"] = True
    if settings.cache:
        options.update(trt_engine_cache_enable=True, trt_engine_cache_path=settings.cache)
    for key, option in (("min", "min"), ("opt", "opt"), ("max", "max")):
        shapes = [
            f"{tensor}:{'x'.join(map(str, shape[key]))}" for tensor, shape in profiles.items() if key in shape
        ]
        if shapes:
            options[f"trt_profile_{option}_shapes"] = ",".join(shapes)
    return options


def device_number(device: str) -> int:
    """Return N of "cuda:N" and "auto:N", else 0."""
    return int(device.partition(":")[2] or 0)


def _facts(
    version: str,
    running: str,
    wanted: List[str],
    available: List[str],
    settings: RuntimeSettings,
    precision: str,
) -> Facts:
    faster = wanted[: wanted.index(running)]
    missing = [name for name in faster if PROVIDERS[name] not in available]
    reasons = [f"this ONNX Runtime has no {' and no '.join(missing)} provider ({OTHER})"] if missing else []
    reasons += [f"the {name} provider did not start ({DRIVER})" for name in faster if name not in missing]
    if running == "cpu" and settings.device == "cpu":
        reasons.append("device is set to cpu")
    elif running != next(iter(PROVIDERS)) and not faster:
        reasons.append(f"providers are set to {', '.join(settings.providers)}")
    if running == "tensorrt" and settings.precision == "float16":
        precision = "float16"
    if settings.precision not in ("auto", precision):
        reasons.append(f"precision {settings.precision}: the {running} provider keeps that of the file")
    device = "cpu" if running == "cpu" else f"cuda:{device_number(settings.device)}"
    return dict(zip(FACTS, (f"{NAME} {version}", running, device, precision, "; ".join(reasons))))


def _tensor(one: Any) -> Tensor:
    shape: Tuple[Any, ...] = tuple(size if isinstance(size, int) else str(size or "") for size in one.shape)
    return Tensor(shape, _DTYPES.get(one.type, one.type))


def doubly_installed(path: Optional[Sequence[str]] = None) -> bool:
    """Return whether both packages of ONNX Runtime are installed: they share a folder and break each other.

    Args:
        path: folders to look in instead of `sys.path`.
    """
    folders = list(sys.path if path is None else path)
    names = {str(one.metadata["Name"]).lower() for one in importlib.metadata.distributions(path=folders)}
    return {CPU_PACKAGE, GPU_PACKAGE} <= names
