"""TensorRT plans, of `tensorrt` or `tensorrt_rtx`: loaded on an NVIDIA GPU, called by name, values kept on the device.

A plan does not state the library that it is for; its file name does (`transformer.sm89.tensorrt_rtx.plan`, as written
by `harmovid export tensorrt`). Device memory is allocated with CUDA's runtime library through ctypes. This module has
not run on a GPU yet (docs/export.md says what has been tested).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np
import numpy.typing as npt

from harmovid_server.runtimes.base import (
    FACTS,
    Facts,
    Profile,
    RuntimeSettings,
    RuntimeUnavailableError,
    Tensor,
)

LIBRARIES = ("tensorrt_rtx", "tensorrt")
_NUMPY = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT64": "int64",
    "INT32": "int32",
    "BOOL": "bool",
    "INT8": "int8",
}
_BYTES = {"BF16": 2, "FLOAT": 4, "HALF": 2, "INT64": 8, "INT32": 4, "BOOL": 1, "INT8": 1, "FP8": 1}
_TO_DEVICE, _TO_HOST = 1, 2


class Cuda:
    """The few functions of CUDA's runtime library that are needed, with error checks.

    Raises:
        RuntimeUnavailableError: raised by the constructor if there is no library or no GPU.
    """

    def __init__(self, device: int) -> None:
        name = ctypes.util.find_library("cudart") or "libcudart.so.13"
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise RuntimeUnavailableError(f"CUDA's runtime library cannot be loaded: {error}.") from error
        self._device = device
        try:
            self.use()
        except RuntimeError as error:
            raise RuntimeUnavailableError(f"GPU {device} cannot be used: {error}.") from error

    def use(self) -> None:
        """Make the GPU that of the calling thread: CUDA keeps it for each thread, and each job has one of its own."""
        self._do("cudaSetDevice", ctypes.c_int(self._device))

    def _do(self, call: str, *arguments: Any) -> None:
        code = getattr(self._library, call)(*arguments)
        if code:
            self._library.cudaGetErrorString.restype = ctypes.c_char_p
            raise RuntimeError(f"{call}: {self._library.cudaGetErrorString(code).decode()}")

    def allocate(self, size: int) -> int:
        """Return the address of new device memory."""
        address = ctypes.c_void_p()
        self._do("cudaMalloc", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        return int(address.value or 0)

    def free(self, address: int) -> None:
        """Free device memory."""
        self._do("cudaFree", ctypes.c_void_p(address))

    def copy_in(self, address: int, array: npt.NDArray[Any]) -> None:
        """Copy an array to the device."""
        source = ctypes.c_void_p(array.ctypes.data)
        self._do("cudaMemcpy", ctypes.c_void_p(address), source, ctypes.c_size_t(array.nbytes), _TO_DEVICE)

    def copy_out(self, array: npt.NDArray[Any], address: int) -> None:
        """Copy device memory into an array."""
        target = ctypes.c_void_p(array.ctypes.data)
        self._do("cudaMemcpy", target, ctypes.c_void_p(address), ctypes.c_size_t(array.nbytes), _TO_HOST)

    def wait(self) -> None:
        """Wait until the device has finished."""
        self._do("cudaDeviceSynchronize")


class DeviceArray:
    """A value that stays on the device; freed when nothing refers to it."""

    def __init__(self, cuda: Cuda, shape: Tuple[int, ...], kind: str) -> None:
        self.shape, self.kind = shape, kind
        self._cuda = cuda
        self.address = 0  # what is freed if there is no memory
        self.address = cuda.allocate(int(np.prod(shape, dtype=np.int64)) * _BYTES[kind])

    def __del__(self) -> None:
        self._cuda.free(self.address)

    def numpy(self) -> npt.NDArray[Any]:
        """Return the value as a numpy array on the host; impossible for bfloat16."""
        made = np.empty(self.shape, _NUMPY[self.kind])
        self._cuda.copy_out(made, self.address)
        return made


class TensorrtNetwork:
    """One plan with its execution context; see `base.Network`."""

    def __init__(self, trt: Any, engine: Any, cuda: Cuda, facts: Facts) -> None:
        self.facts = facts
        self._engine, self._cuda = engine, cuda
        self._context: Optional[Any] = engine.create_execution_context()
        self._kinds: Dict[str, str] = {}
        self.inputs: Dict[str, Tensor] = {}
        self.outputs: Dict[str, Tensor] = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            self._kinds[name] = str(engine.get_tensor_dtype(name)).rpartition(".")[2]
            shape = tuple(
                size if size >= 0 else f"{name}.{axis}"
                for axis, size in enumerate(engine.get_tensor_shape(name))
            )
            dtype = _NUMPY.get(
                self._kinds[name], {"BF16": "bfloat16"}.get(self._kinds[name], self._kinds[name])
            )
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (self.inputs if is_input else self.outputs)[name] = Tensor(shape, dtype)

    def __call__(self, inputs: Mapping[str, Any], keep: Iterable[str] = ()) -> Dict[str, Any]:
        """Compute all outputs; those in `keep` stay on the device."""
        if self._context is None:
            raise RuntimeError("this network has been closed")
        self._cuda.use()
        held: List[DeviceArray] = []
        for name in self.inputs:
            held.append(self._given(name, inputs[name]))
            if not self._context.set_input_shape(name, held[-1].shape):
                raise ValueError(
                    f"{name} of {held[-1].shape} is outside the shapes that the plan was built for"
                )
            self._context.set_tensor_address(name, held[-1].address)
        made = {}
        for name in self.outputs:
            made[name] = DeviceArray(
                self._cuda, tuple(self._context.get_tensor_shape(name)), self._kinds[name]
            )
            self._context.set_tensor_address(name, made[name].address)
        if not self._context.execute_async_v3(0):
            raise RuntimeError("TensorRT could not run the plan")
        self._cuda.wait()
        kept = frozenset(keep)
        return {name: value if name in kept else value.numpy() for name, value in made.items()}

    def _given(self, name: str, value: Any) -> DeviceArray:
        if isinstance(value, DeviceArray):
            return value
        array = np.ascontiguousarray(value, _NUMPY[self._kinds[name]])
        there = DeviceArray(self._cuda, array.shape, self._kinds[name])
        self._cuda.copy_in(there.address, array)
        return there

    def close(self) -> None:
        """Free the plan's device memory."""
        self._context = None
        self._engine = None


def load(
    file: Path,
    settings: RuntimeSettings,
    *,
    threads: int = 1,
    profiles: Optional[Mapping[str, Profile]] = None,
) -> TensorrtNetwork:
    """Load a plan; its shapes were fixed when it was built, so `profiles` is not used.

    Raises:
        RuntimeUnavailableError: no library, no GPU, or the plan is of another version or for another GPU.
    """
    name = library_of(file)
    try:
        trt = import_module(name)
    except (ImportError, OSError) as error:
        raise RuntimeUnavailableError(f"{name} is not installed: {error}.") from error
    number = int(settings.device.partition(":")[2] or 0)
    cuda = Cuda(number)
    logger = trt.Logger(trt.Logger.ERROR)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        raise RuntimeUnavailableError(
            f"{file.name} is for another GPU or another version than {name} {trt.__version__}."
        )
    precision = "as in the plan"
    return TensorrtNetwork(
        trt,
        engine,
        cuda,
        dict(zip(FACTS, (f"{name} {trt.__version__}", "tensorrt", f"cuda:{number}", precision, ""))),
    )


def library_of(file: Path) -> str:
    """Return which library a plan is for, by its file name.

    Raises:
        RuntimeUnavailableError: the name does not say.
    """
    for name in LIBRARIES:
        if f".{name}." in file.name:
            return name
    raise RuntimeUnavailableError(
        f"{file.name} does not say which library it is for ({' or '.join(LIBRARIES)})."
    )
