"""The child process that builds one plan and ends: a script for any Python that has the library, without other needs.

    python child.py REQUEST.json

The request holds: library, onnx, plan, log, inputs {name: {dtype, min, opt, max}}, gpu, capability (the least that the
network needs, 89 for FP8), workspace, refit, timing_cache. Lines of JSON on stdout report progress ({"progress": "...",
"done": 0, "total": 9}); the last one is {"built": {...}} or {"failed": "why", "kind": "..."}. If the builder crashes
the last line is missing; the parent then reads the log.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, Tuple

KINDS = ("library", "onnx", "dtype", "profile", "gpu", "memory", "build")
"""Kinds of failures: the installation, the file, its types, its shapes, the GPU, memory, or the builder."""

OUT_OF_MEMORY = ("out of memory", "outofmemory", "bad_alloc", "cannot allocate memory")
"""What libraries say, in small letters, when memory is missing."""

PAUSE_S = 1.0
"""Least time between two lines about the steps of a phase."""


class FailedError(Exception):
    """The plan cannot be built: a kind of `KINDS`, and why."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def main(words: List[str]) -> int:
    """Build the plan of the request and print the result; return 0, or 1 if it failed."""
    request = json.loads(Path(words[0]).read_text(encoding="utf-8"))
    started = time.monotonic()
    try:
        facts = build(request)
    except FailedError as error:
        say(failed=str(error), kind=error.kind)
        return 1
    except MemoryError:
        say(failed="this machine's memory is too small", kind="memory")
        return 1
    except Exception as error:  # what a library raises is not ours to list; the parent needs a reason
        say(
            failed=f"{type(error).__name__}: {' '.join(str(error).split())}",
            kind=kind_of(str(error), "build"),
        )
        return 1
    say(built={**facts, "seconds": round(time.monotonic() - started, 2)})
    return 0


def say(**fields: Any) -> None:
    """Print one line for the parent."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def build(request: Dict[str, Any]) -> Dict[str, Any]:
    """Build and write the plan; return the library's version, the plan's size and types, and what may be refitted."""
    trt, log = load(request["library"]), Log(Path(request["log"]))
    log.write(f"{trt.__name__} {trt.__version__}: {json.dumps(request, sort_keys=True)}")
    check_capability(request["gpu"], request["capability"])
    logger = log.logger(trt)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # what the bindings raise where the library gives none
        raise FailedError("gpu", f"{trt.__name__} cannot start here: {log.last()}") from error
    network = builder.create_network(strongly_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(request["onnx"]):
        errors = [str(parser.get_error(index).desc()) for index in range(parser.num_errors)]
        raise FailedError("onnx", "; ".join(errors[:3]) or log.last())
    check_inputs(trt, network, request["inputs"])
    config = builder.create_builder_config()
    if request["workspace"]:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request["workspace"] << 20)
    if request["refit"]:
        config.set_flag(trt.BuilderFlag.REFIT)
    target(trt, config, request["gpu"])
    add_profile(builder, config, network, request["inputs"], log)
    timings = TimingCache(trt, config, request["timing_cache"])
    watch(trt, config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise refused(request, log.last())
    data = bytes(plan)
    Path(request["plan"]).write_bytes(data)
    return {
        "version": str(trt.__version__), "bytes": len(data), "types": types_of(network), "peak_kb": peak_kb(),
        "timing_cache": timings.keep(), "weights": refittable(trt, logger, data) if request["refit"] else [],
    }  # fmt: skip


def refused(request: Dict[str, Any], said: str) -> FailedError:
    """Return why the library built nothing."""
    if request["refit"] and not capability():
        return FailedError(
            "gpu", f"a plan that can be refitted is built on the GPU that will run it; here is none: {said}"
        )
    return FailedError(kind_of(said, "profile" if "rofile" in said else "build"), said)


def kind_of(said: str, otherwise: str) -> str:
    """Return "memory" if a library's words are about memory that is missing."""
    small = said.lower()
    return "memory" if any(word in small for word in OUT_OF_MEMORY) else otherwise


def peak_kb() -> int:
    """Return this process's peak memory; 0 where the system does not tell. (getrusage counts the parent's, too.)"""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


class TimingCache:
    """Measured times of layers, kept in a file from one build to the next; TensorRT only.

    TensorRT for RTX measures nothing when it builds, and its timing cache is without effect but needs a GPU.
    """

    def __init__(self, trt: Any, config: Any, file: str) -> None:
        self._config, self._path = config, Path(file)
        self._cache: Any = None
        self._used = bool(file) and trt.__name__ == "tensorrt"
        if self._used:
            held = self._path.read_bytes() if self._path.is_file() else b""
            # It must live until the plan is built.
            self._cache = config.create_timing_cache(held)
            # One of another version or GPU is refused; then an empty one takes its place.
            if self._cache is None or not config.set_timing_cache(self._cache, False):
                self._cache = config.create_timing_cache(b"")
                config.set_timing_cache(self._cache, False)

    def keep(self) -> int:
        """Write the cache and return its size in bytes; 0 if none is used."""
        if not self._used:
            return 0
        data = bytes(self._config.get_timing_cache().serialize())
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_bytes(data)
        part.replace(self._path)
        return len(data)


def refittable(trt: Any, logger: Any, plan: bytes) -> List[str]:
    """Return the names of the weights that can be changed in a plan; that needs its GPU."""
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise FailedError("gpu", "a plan that can be refitted is read on the GPU that it is for")
    return sorted(str(name) for name in trt.Refitter(engine, logger).get_all_weights())


def check_capability(gpu: str, least: int) -> None:
    """Raise `FailedError` if the GPU that is built for lacks what the network computes with."""
    if not least:
        return
    if gpu == "current":
        has = capability()
        if not has:
            raise FailedError(
                "gpu", f"no GPU is in this machine, and the plan needs one of capability {least / 10:.1f}"
            )
    else:
        has = int("".join(sign for sign in gpu if sign.isdigit()) or 0)
    if has < least:
        raise FailedError(
            "gpu", f"FP8 needs a GPU of compute capability {least / 10:.1f} or newer, this is {has / 10:.1f}"
        )


def capability() -> int:
    """Return the compute capability of this machine's first GPU, 89 for 8.9; 0 if there is none."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return 0
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    return major.value * 10 + minor.value


def load(name: str) -> Any:
    """Return the library."""
    try:
        return import_module(name)
    except (ImportError, OSError) as error:
        raise FailedError("library", f"{name} cannot be loaded: {error}") from error


class Log:
    """Writes the library's messages to a file; the last errors are kept for the parent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._errors: List[str] = []

    def write(self, line: str) -> None:
        """Write a line of our own."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")

    def last(self) -> str:
        """Return the last errors in one line."""
        return "; ".join(self._errors[-2:]) or "the library says nothing"

    def logger(self, trt: Any) -> Any:
        """Return the library's logger that writes here."""
        outer = self
        worse = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc]
            """Writes every line."""

            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                outer.write(f"{severity}: {msg}")
                if severity in worse:
                    outer._errors.append(" ".join(str(msg).split()))

        return Logger()


def strongly_typed(trt: Any) -> int:
    """Return the flags of a strongly typed network, whose types are those of the file; newer libraries have no
    other."""
    flags = getattr(trt, "NetworkDefinitionCreationFlag", None)
    typed = getattr(flags, "STRONGLY_TYPED", None)
    return 0 if typed is None else 1 << int(typed)


def check_inputs(trt: Any, network: Any, wanted: Dict[str, Any]) -> None:
    """Raise `FailedError` if the inputs or types of the file differ from the manifest's."""
    names = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT64": "int64", "INT32": "int32"}
    found = {}
    for index in range(network.num_inputs):
        one = network.get_input(index)
        found[one.name] = names.get(str(one.dtype).rpartition(".")[2], str(one.dtype))
    if set(found) != set(wanted):
        raise FailedError("onnx", f"the file takes {', '.join(found)}, the manifest says {', '.join(wanted)}")
    for name, dtype in found.items():
        if dtype != wanted[name]["dtype"]:
            raise FailedError(
                "dtype", f"{name} is {dtype} in the file and {wanted[name]['dtype']} in the manifest"
            )


def target(trt: Any, config: Any, gpu: str) -> None:
    """Set the GPU to build for; only TensorRT for RTX can build for a GPU that is not in this machine."""
    if gpu == "current":
        return
    capability = getattr(getattr(trt, "ComputeCapability", None), gpu.upper(), None)
    if capability is None or not hasattr(config, "set_compute_capability"):
        raise FailedError("gpu", f"{trt.__name__} does not build for {gpu}")
    config.num_compute_capabilities = 1
    if not config.set_compute_capability(capability, 0):
        raise FailedError("gpu", f"{trt.__name__} refuses {gpu}")


def add_profile(builder: Any, config: Any, network: Any, inputs: Dict[str, Any], log: Log) -> None:
    """Add the range of input shapes to the builder; raise `FailedError` if it refuses the profile."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        one = network.get_input(index)
        shapes: Tuple[Any, ...] = tuple(tuple(inputs[one.name].get(key, ())) for key in ("min", "opt", "max"))
        if -1 not in tuple(one.shape):
            continue
        if not all(shapes):
            raise FailedError("profile", f"{one.name} has free sizes and no profile")
        ordered = all(a <= b <= c for a, b, c in zip(*shapes))
        fixed = all(size in (-1, shapes[0][axis]) for axis, size in enumerate(one.shape))
        if not ordered or not fixed or len(shapes[0]) != len(one.shape):
            raise FailedError("profile", f"{one.name} {tuple(one.shape)} does not take the profile {shapes}")
        profile.set_shape(one.name, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise FailedError("profile", log.last())


def watch(trt: Any, config: Any) -> None:
    """Report each phase of the build to the parent."""
    base = getattr(trt, "IProgressMonitor", None)
    if base is None:
        return

    class Monitor(base):  # type: ignore[misc, valid-type]
        """Reports the builder's progress."""

        def __init__(self) -> None:
            super().__init__()
            self._totals: Dict[str, int] = {}
            self._said = 0.0

        def phase_start(self, name: str, parent: Any, steps: int) -> None:
            self._totals[name] = steps
            if steps > 1:
                self._say(name, 0)

        def phase_finish(self, name: str) -> None:
            self._totals.pop(name, None)

        def step_complete(self, name: str, step: int) -> bool:
            if time.monotonic() - self._said >= PAUSE_S:
                self._say(name, step + 1)
            return True

        def _say(self, name: str, done: int) -> None:
            self._said = time.monotonic()
            say(progress=name, done=done, total=self._totals.get(name, 0))

    config.progress_monitor = Monitor()


def types_of(network: Any) -> Dict[str, int]:
    """Return the number of layers by the type that they compute in."""
    counts: Dict[str, int] = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.num_outputs:
            name = str(layer.get_output(0).dtype).rpartition(".")[2]
            counts[name] = counts.get(name, 0) + 1
    return counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
