"""Calls of an ONNX Runtime session through IO binding: values that stay on the device, buffers at fixed addresses.

    binding = Binding(session, outputs, "cuda", 0)
    values = binding.run(inputs, keep=frozenset({"next.0"}))       # kept outputs are OrtValues on the device
    buffers = FixedBuffers(session, outputs, "cuda", 0)
    arrays = buffers.run(inputs)                                   # CUDA graphs need the same addresses in every call

Arrays that cannot be written to and own their memory are copied to the device once, not in each call: what is the same
in all steps of a sampler.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shapes = Tuple[Tuple[str, Tuple[int, ...]], ...]

GRAPHS = 4
"""Sets of shapes for which one network keeps buffers, each with its own captured graph; others run without."""

GRAPH_ID = "gpu_graph_id"
"""ONNX Runtime's run option: which graph to capture or replay; `UNCAPTURED` for none."""

UNCAPTURED = "-1"


class Resident:
    """Read-only arrays on the device, by the name of the input: the last one of each."""

    def __init__(self, device: str, number: int) -> None:
        self._device, self._number = device, number
        self._held: Dict[str, Tuple[Array, Any]] = {}

    def value(self, name: str, array: Array) -> Any:
        """Return an array as a value on the device, copied unless it was the last one of this name."""
        import onnxruntime

        held = self._held.get(name)
        if held is None or held[0] is not array:
            value = onnxruntime.OrtValue.ortvalue_from_numpy(
                np.ascontiguousarray(array), self._device, self._number
            )
            held = self._held[name] = (array, value)
        return held[1]


class Binding:
    """Calls with values on the device; see the module.

    Args:
        outputs: names of all outputs, in the session's order.
        device: ONNX Runtime's name, "cpu" or "cuda". number: of the device.
    """

    def __init__(self, session: Any, outputs: Sequence[str], device: str, number: int) -> None:
        self._session, self._outputs = session, tuple(outputs)
        self._device, self._number = device, number
        self._resident = Resident(device, number)

    def run(
        self, inputs: Mapping[str, Any], keep: frozenset[str], options: Optional[Any] = None
    ) -> Dict[str, Any]:
        """Compute all outputs; those in `keep` stay on the device.

        Args:
            options: ONNX Runtime's `RunOptions`.
        """
        binding = self._session.io_binding()
        for name, value in inputs.items():
            if not isinstance(value, np.ndarray):
                binding.bind_ortvalue_input(name, value)
            elif is_constant(value):
                binding.bind_ortvalue_input(name, self._resident.value(name, value))
            else:
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
        for name in self._outputs:
            kept = name in keep
            binding.bind_output(name, self._device if kept else "cpu", self._number if kept else 0)
        self._session.run_with_iobinding(binding, options)
        values = dict(zip(self._outputs, binding.get_outputs()))
        return {name: value if name in keep else value.numpy() for name, value in values.items()}


class FixedBuffers:
    """Calls whose inputs and outputs lie at the same addresses each time, as CUDA graphs need it; see the module.

    The first call with a set of shapes runs without a graph, and tells the shapes of the outputs.
    """

    def __init__(self, session: Any, outputs: Sequence[str], device: str, number: int) -> None:
        self._session, self._outputs = session, tuple(outputs)
        self._device, self._number = device, number
        self._plain = Binding(session, outputs, device, number)
        self._sets: Dict[Shapes, _Set] = {}

    def run(self, inputs: Mapping[str, Array]) -> Dict[str, Array]:
        """Compute all outputs as arrays."""
        shapes = tuple(sorted((name, value.shape) for name, value in inputs.items()))
        held = self._sets.get(shapes)
        if held is not None:
            return held.run(self._session, inputs)
        found = self._plain.run(inputs, frozenset(), run_options(UNCAPTURED))
        if len(self._sets) < GRAPHS:
            self._sets[shapes] = _Set(self, str(len(self._sets) + 1), inputs, found)
        return found


class _Set:
    """The buffers of one set of shapes, bound once."""

    def __init__(
        self, owner: FixedBuffers, graph: str, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> None:
        import onnxruntime

        def own(value: Array) -> Any:
            # On the CPU a value is the array's memory itself.
            return onnxruntime.OrtValue.ortvalue_from_numpy(value.copy(), owner._device, owner._number)

        self._inputs = {name: own(value) for name, value in inputs.items()}
        self._last: Dict[str, Array] = {}
        self._outputs = {name: own(value) for name, value in outputs.items()}
        self._binding = owner._session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)
        self._options = run_options(graph)

    def run(self, session: Any, inputs: Mapping[str, Array]) -> Dict[str, Array]:
        for name, value in inputs.items():
            if self._last.get(name) is not value:
                self._inputs[name].update_inplace(np.ascontiguousarray(value))
            if is_constant(value):
                self._last[name] = value
            else:
                self._last.pop(name, None)
        session.run_with_iobinding(self._binding, self._options)
        # `numpy` of a value on the CPU is the buffer itself, which the next call overwrites.
        return {name: np.array(value.numpy()) for name, value in self._outputs.items()}


def is_constant(array: Array) -> bool:
    """Return whether nobody can change an array: it is no view of memory that others may write to, either."""
    return not array.flags.writeable and array.flags.owndata


def run_options(graph: str) -> Any:
    """Return ONNX Runtime's options for a call that captures or replays a graph; `UNCAPTURED` for none."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry(GRAPH_ID, graph)
    return options
