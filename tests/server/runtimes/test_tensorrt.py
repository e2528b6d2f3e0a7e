"""Plans on a GPU that is not here: what is asked of CUDA's library, by a stand-in that keeps device memory in numpy."""

from __future__ import annotations

import ctypes
import threading
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from harmovid_server.runtimes.base import FACTS
from harmovid_server.runtimes.tensorrt import Cuda, DeviceArray, TensorrtNetwork

ROOM = 64
"""Bytes that the stand-in has at a time."""

OUT_OF_MEMORY = 2


@pytest.fixture
def allocated(monkeypatch: pytest.MonkeyPatch) -> List[Tuple[int, int]]:
    """Replace CUDA's library; return the list to which GPU and size of every allocation are added.

    As in CUDA, the current GPU is the calling thread's, and 0 at first.
    """
    current, held = threading.local(), {}
    asked: List[Tuple[int, int]] = []

    def set_device(number: Any) -> int:
        current.gpu = number.value
        return 0

    def malloc(address: Any, size: Any) -> int:
        asked.append((getattr(current, "gpu", 0), size.value))
        if size.value > ROOM:
            return OUT_OF_MEMORY
        memory = np.zeros(size.value, np.uint8)
        held[memory.ctypes.data] = memory
        address._obj.value = memory.ctypes.data
        return 0

    def free(address: Any) -> int:
        held.pop(address.value, None)
        return 0

    def copy(target: Any, source: Any, size: Any, kind: int) -> int:
        ctypes.memmove(target, source, size.value)
        return 0

    def text(code: int) -> bytes:
        return b"out of memory"

    library = SimpleNamespace(
        cudaSetDevice=set_device, cudaMalloc=malloc, cudaFree=free, cudaMemcpy=copy,
        cudaDeviceSynchronize=lambda: 0, cudaGetErrorString=text,
    )  # fmt: skip
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    return asked


def network(gpu: int) -> TensorrtNetwork:
    """Return a plan of one input and one output of three numbers, which computes zeros."""
    modes: Dict[str, str] = {"given": "in", "made": "out"}
    context = SimpleNamespace(
        set_input_shape=lambda name, shape: True, set_tensor_address=lambda name, address: True,
        get_tensor_shape=lambda name: (3,), execute_async_v3=lambda stream: True,
    )  # fmt: skip
    engine = SimpleNamespace(
        num_io_tensors=2, get_tensor_name=lambda index: list(modes)[index], get_tensor_mode=modes.__getitem__,
        get_tensor_dtype=lambda name: "DataType.FLOAT", get_tensor_shape=lambda name: (3,),
        create_execution_context=lambda: context,
    )  # fmt: skip
    trt = SimpleNamespace(TensorIOMode=SimpleNamespace(INPUT="in"))
    return TensorrtNetwork(trt, engine, Cuda(gpu), dict.fromkeys(FACTS, ""))


def test_every_thread_uses_the_networks_own_gpu(allocated: List[Tuple[int, int]]) -> None:
    """Jobs have a thread each, and the VAE decodes in another: all memory is that of the worker's GPU."""
    made: List[Any] = []
    plan = network(gpu=1)
    thread = threading.Thread(target=lambda: made.append(plan({"given": np.ones(3, np.float32)})))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(made[0]["made"], np.zeros(3))
    assert allocated == [(1, 12), (1, 12)]


def test_memory_that_is_not_there_is_one_error(allocated: List[Tuple[int, int]]) -> None:
    """It has CUDA's own words, by which the engine knows that a smaller window may do."""
    with pytest.raises(RuntimeError, match="cudaMalloc: out of memory"):
        DeviceArray(Cuda(0), (1000,), "FLOAT")
    assert allocated == [(0, 4000)]
