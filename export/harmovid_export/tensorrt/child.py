"""The child process that builds one plan and ends: a script for any Python that has the library, without other needs.

    python child.py REQUEST.json

The request holds: library, onnx, plan, log, inputs {name: {dtype, min, opt, max}}, gpu, workspace. Lines of JSON on
stdout report progress ({"progress": "...", "done": 0, "total": 9}); the last one is {"built": {...}} or
{"failed": "why", "kind": "..."}. If the builder crashes the last line is missing; the parent then reads the log.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, Tuple

KINDS = ("library", "onnx", "dtype", "profile", "gpu", "build")
"""Kinds of failures: the installation, the file, its types, its shapes, the requested GPU, or the builder."""


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
    say(built={**facts, "seconds": round(time.monotonic() - started, 2)})
    return 0


def say(**fields: Any) -> None:
    """Print one line for the parent."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def build(request: Dict[str, Any]) -> Dict[str, Any]:
    """Build and write the plan; return the library's version and the plan's size."""
    trt, log = load(request["library"]), Log(Path(request["log"]))
    logger = log.logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(strongly_typed(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(request["onnx"]):
        errors = [str(parser.get_error(index).desc()) for index in range(parser.num_errors)]
        raise FailedError("onnx", "; ".join(errors[:3]) or log.last())
    check_inputs(trt, network, request["inputs"])
    config = builder.create_builder_config()
    if request["workspace"]:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request["workspace"] << 20)
    target(trt, config, request["gpu"])
    add_profile(builder, config, network, request["inputs"], log)
    watch(trt, config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise FailedError("profile" if "rofile" in log.last() else "build", log.last())
    data = bytes(plan)
    Path(request["plan"]).write_bytes(data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"version": str(trt.__version__), "bytes": len(data), "types": types_of(network), "peak_kb": peak}


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
        path.write_text("", encoding="utf-8")

    def last(self) -> str:
        """Return the last errors in one line."""
        return "; ".join(self._errors[-2:]) or "the library says nothing"

    def logger(self, trt: Any) -> Any:
        """Return the library's logger that writes here."""
        outer = self
        worse = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)

        class Logger(trt.ILogger):
            """Writes every line."""

            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, text: str) -> None:
                with outer._path.open("a", encoding="utf-8") as stream:
                    stream.write(f"{severity}: {text}\n")
                if severity in worse:
                    outer._errors.append(" ".join(str(text).split()))

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
            base.__init__(self)

        def phase_start(self, name: str, parent: Any, steps: int) -> None:
            say(progress=name, done=0, total=steps)

        def phase_finish(self, name: str) -> None:
            return None

        def step_complete(self, name: str, step: int) -> bool:
            return True

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
