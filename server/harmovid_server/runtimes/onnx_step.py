"""A step of a linear sampler as a small ONNX graph, so that latents stay on the device from one step to the next.

    step = open_step(transformer, settings)                # None if the transformer's values cannot go in
    made = step({"sample": x, "prediction": p, "conditions": c, "keep": k, "gain": g}, keep=["moved", "latents"])

`moved` is `keep * sample + gain * prediction`, `latents` is that with the conditions behind it along the channels: the
transformer's next input. The server has no package that writes ONNX files, so the few messages are encoded here
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; field numbers as there).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import List, Optional, Sequence, Tuple

from harmovid_server.runtimes.base import Network, RuntimeSettings, RuntimeUnavailableError
from harmovid_server.runtimes.onnx import PROVIDERS, OnnxNetwork, load

OPSET, IR_VERSION = 20, 10
FLOAT = 1
"""ONNX's number of the type."""

INT_ATTRIBUTE = 2
LATENTS = ("1", "{}", "T", "h", "w")
"""Sizes of an input; the number of channels has its own name in each."""


def open_step(like: Network, settings: RuntimeSettings) -> Optional[Network]:
    """Return the network of a step on the device of another one; None if their values do not fit together.

    CUDA graphs need the same addresses in every call, which values that stay on the device do not have.
    """
    if settings.graphs or not isinstance(like, OnnxNetwork):
        return None
    # Compiling this for TensorRT would take longer than it can save.
    providers = tuple(name for name in settings.providers or PROVIDERS if name != "tensorrt")
    if not providers:
        return None
    try:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "step.onnx"
            file.write_bytes(graph())
            made = load(file, replace(settings, providers=providers))
    except RuntimeUnavailableError:
        return None
    if made.facts["device"] != like.facts["device"]:
        made.close()
        return None
    return made


def graph() -> bytes:
    """Return the ONNX file of a step."""
    nodes = [
        _node("Mul", ("sample", "keep"), "kept"),
        _node("Mul", ("prediction", "gain"), "gained"),
        _node("Add", ("kept", "gained"), "moved"),
        _node("Concat", ("moved", "conditions"), "latents", _axis(1)),
    ]
    inputs = [_value(name, _latents(name)) for name in ("sample", "prediction", "conditions")]
    inputs += [_value(name, ("1",)) for name in ("keep", "gain")]
    outputs = [_value(name, _latents(name)) for name in ("moved", "latents")]
    made = b"".join(
        [*(_bytes(1, node) for node in nodes), _bytes(2, b"step"), *(_bytes(11, one) for one in inputs),
         *(_bytes(12, one) for one in outputs)]
    )  # fmt: skip
    return _number(1, IR_VERSION) + _bytes(7, made) + _bytes(8, _number(2, OPSET))


def _latents(name: str) -> Tuple[str, ...]:
    channels = "C" if name in ("sample", "prediction", "moved") else f"{name}.C"
    return tuple(size.format(channels) for size in LATENTS)


def _node(kind: str, inputs: Sequence[str], output: str, attribute: bytes = b"") -> bytes:
    named = b"".join(_bytes(1, name.encode()) for name in inputs)
    return named + _bytes(2, output.encode()) + _bytes(4, kind.encode()) + attribute


def _axis(value: int) -> bytes:
    return _bytes(5, _bytes(1, b"axis") + _number(3, value) + _number(20, INT_ATTRIBUTE))


def _value(name: str, sizes: Sequence[str]) -> bytes:
    """Return the description of a float tensor; a size that is a number is fixed."""
    dims: List[bytes] = [
        _bytes(1, _number(1, int(size)) if size.isdigit() else _bytes(2, size.encode())) for size in sizes
    ]
    tensor = _number(1, FLOAT) + _bytes(2, b"".join(dims))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
