"""Stand-in for the package `tensorrt`, which comes from NVIDIA's own index and builds nothing without a GPU.

Names and signatures are those of its published Python API; a test compares them with `tensorrt_rtx`, whose bindings are
made from the same source. It is strict: wrong types raise `TypeError` as pybind11 does. What it builds is a list of the
file's weights. FAKE_TENSORRT chooses what goes wrong, FAKE_TENSORRT_VERSION its version.
"""

from __future__ import annotations

import enum
import json
import os
import signal
import sys
from typing import Any

import onnx

__version__ = os.environ.get("FAKE_TENSORRT_VERSION", "11.4.0")
FAULT = os.environ.get("FAKE_TENSORRT", "")


def expect(value: Any, kind: Any) -> None:
    """Raise `TypeError` as the bindings do for an argument of another type."""
    if not isinstance(value, kind):
        raise TypeError(f"incompatible function arguments: {value!r} is no {kind}")


class BuilderFlag(enum.Enum):
    """Flags of a build."""

    REFIT = 4


class MemoryPoolType(enum.Enum):
    """Kinds of memory."""

    WORKSPACE = 0


class DataType(enum.Enum):
    """Types of tensors."""

    FLOAT = 0
    HALF = 1


class ILogger:
    """Base of loggers."""

    class Severity(enum.Enum):
        """Of a message."""

        INTERNAL_ERROR = 0
        ERROR = 1
        INFO = 3

    def __init__(self) -> None:
        self.made = True

    def log(self, severity: Any, msg: str) -> None:
        """Take a message."""


class IProgressMonitor:
    """Base of monitors."""

    def __init__(self) -> None:
        self.made = True


class IHostMemory(bytes):
    """Memory of the library."""


class ITimingCache:
    """Times of layers: the version that measured them, and the layers."""

    def __init__(self, version: str, layers: set[str]) -> None:
        self.version, self.layers = version, layers

    def serialize(self) -> IHostMemory:
        """Return it as bytes."""
        return IHostMemory(json.dumps([self.version, sorted(self.layers)]).encode())


class IBuilderConfig:
    """Settings of a build."""

    def __init__(self) -> None:
        self.progress_monitor: Any = None
        self._flags: set[BuilderFlag] = set()
        self._cache: ITimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, pool_size: int) -> None:
        """Limit a kind of memory."""
        expect(pool, MemoryPoolType)
        expect(pool_size, int)

    def set_flag(self, flag: BuilderFlag) -> None:
        """Set a flag."""
        expect(flag, BuilderFlag)
        self._flags.add(flag)

    def get_flag(self, flag: BuilderFlag) -> bool:
        """Return whether a flag is set."""
        return flag in self._flags

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """Add a range of shapes."""
        expect(profile, IOptimizationProfile)
        return 0

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        """Return a cache from bytes, a new one from none."""
        expect(serialized_timing_cache, bytes)
        if not serialized_timing_cache:
            return ITimingCache(__version__, set())
        version, layers = json.loads(serialized_timing_cache)
        return ITimingCache(version, set(layers))

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        """Use a cache; False if another version made it."""
        expect(cache, ITimingCache)
        expect(ignore_mismatch, bool)
        if cache.version != __version__ and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        """Return the cache."""
        return self._cache


class IOptimizationProfile:
    """A range of shapes."""

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        """Set the range of one input."""
        for shape in (min, opt, max):
            expect(shape, tuple)


class ITensor:
    """An input or an output of a layer."""

    def __init__(self, name: str, dtype: DataType, shape: tuple[int, ...]) -> None:
        self.name, self.dtype, self.shape = name, dtype, shape


class ILayer:
    """A layer."""

    num_outputs = 1

    def __init__(self, name: str, dtype: DataType) -> None:
        self.name = name
        self._output = ITensor(name, dtype, ())

    def get_output(self, index: int) -> ITensor:
        """Return an output."""
        return self._output


class INetworkDefinition:
    """A network: inputs, layers, names of weights."""

    def __init__(self) -> None:
        self.inputs: list[ITensor] = []
        self.layers: list[ILayer] = []
        self.weights: list[str] = []

    @property
    def num_inputs(self) -> int:
        """Number of inputs."""
        return len(self.inputs)

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def get_input(self, index: int) -> ITensor:
        """Return an input."""
        return self.inputs[index]

    def get_layer(self, index: int) -> ILayer:
        """Return a layer."""
        return self.layers[index]


class OnnxParser:
    """Reads ONNX files."""

    num_errors = 0

    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        expect(network, INetworkDefinition)
        expect(logger, ILogger)
        self._network = network

    def parse_from_file(self, model: str) -> bool:
        """Read a file into the network."""
        expect(model, str)
        graph = onnx.load(model).graph
        for one in graph.input:
            tensor = one.type.tensor_type
            dtype = DataType.HALF if tensor.elem_type == onnx.TensorProto.FLOAT16 else DataType.FLOAT
            sizes = tuple(-1 if size.dim_param else size.dim_value for size in tensor.shape.dim)
            self._network.inputs.append(ITensor(one.name, dtype, sizes))
        self._network.layers = [
            ILayer(f"{index}.{node.op_type}", DataType.FLOAT) for index, node in enumerate(graph.node)
        ]
        self._network.weights = [one.name for one in graph.initializer]
        return True


class Builder:
    """Makes networks, settings and plans."""

    def __init__(self, logger: ILogger) -> None:
        expect(logger, ILogger)
        self._logger = logger
        if FAULT == "no gpu":
            logger.log(ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        """Return an empty network."""
        expect(flags, int)
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        """Return settings."""
        return IBuilderConfig()

    def create_optimization_profile(self) -> IOptimizationProfile:
        """Return an empty range of shapes."""
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        """Return a plan, or None after an error in the log."""
        expect(network, INetworkDefinition)
        expect(config, IBuilderConfig)
        if FAULT == "memory":
            self._logger.log(ILogger.Severity.ERROR, "Error Code 2: OutOfMemory (no further information)")
            return None
        if FAULT == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if FAULT == "raises":
            raise RuntimeError("something that nobody has seen")
        sys.stderr.write("a line of CUDA's own\n")
        cache = config.get_timing_cache()
        names = {layer.name for layer in network.layers}
        known = cache.layers & names if cache else set()
        self._logger.log(
            ILogger.Severity.INFO, f"{len(names - known)} layers timed, {len(known)} from the cache"
        )
        if cache:
            cache.layers |= names
        monitor = config.progress_monitor
        monitor.phase_start("Building engine", None, 2)
        monitor.phase_start("Timing", "Building engine", 1)
        assert monitor.step_complete("Timing", 0) is True
        monitor.phase_finish("Timing")
        monitor.phase_finish("Building engine")
        return IHostMemory(json.dumps(network.weights if config.get_flag(BuilderFlag.REFIT) else []).encode())


class ICudaEngine:
    """A plan on the device."""

    def __init__(self, weights: list[str]) -> None:
        self.weights = weights


class Runtime:
    """Reads plans."""

    def __init__(self, logger: ILogger) -> None:
        expect(logger, ILogger)

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine:
        """Return the plan on the device."""
        expect(serialized_engine, bytes)
        return ICudaEngine(json.loads(serialized_engine))


class Refitter:
    """Changes weights of a plan."""

    def __init__(self, engine: ICudaEngine, logger: ILogger) -> None:
        expect(engine, ICudaEngine)
        expect(logger, ILogger)
        self._engine = engine

    def get_all_weights(self) -> list[str]:
        """Return the names of the weights that can be changed."""
        return list(self._engine.weights)
