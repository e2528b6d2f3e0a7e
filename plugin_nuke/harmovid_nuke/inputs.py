"""The inputs of a node, from the engine's description: which layer comes from a pipe, from channels or from a file.

    found = connected(group)            # found.layers["bg"] == 1, found.channels["normals"] == "N"
    fit(group, engine)                  # adds the pipes and knobs of the engine's further layers

Every node has the three pipes of its kind. What else an engine describes is added when the description arrives: a pipe
for an image or a matte, a choice of the main input's channels for vectors such as normals, a file for a panorama. Only
the main thread may call functions that take a node.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import nuke
from harmovid.errors import InputError
from harmovid.job import BACKGROUND, IMAGE, MATTE, PANORAMA, VECTORS, EngineInfo, LayerInfo

from harmovid_nuke import channels
from harmovid_nuke.graph import INPUTS
from harmovid_nuke.knobs import INPUT, INPUT_NUMBERS, INPUTS_TAB, NO_CHANNELS, Knob, input_knob, pack, unpack

MAIN = 0
"""The pipe of the layer that is changed."""
SPARE = "unused"
X_STEP, FIRST_X, Y = 220, 880, 0
"""Where the further pipes are placed inside the Group."""

_FIXED: Mapping[str, Mapping[str, Tuple[int, ...]]] = {
    "harmonize": {"bg": (1,), "matte": (2,)},
    # The last pipe limits the result live, in the node; the server gets the separate mask for measuring, or else it.
    "deflicker": {"measure_mask": (1, 2), "mask": ()},
}
"""Layer to the pipes of every node that may fill it, the first that is connected; none: the node applies it itself."""

_BUILT_IN: Mapping[str, Tuple[LayerInfo, ...]] = {
    "harmonize": (LayerInfo("fg", True, ""), LayerInfo("bg", True, ""), LayerInfo("matte", False, "", MATTE)),
    "deflicker": (LayerInfo("plate", True, ""), LayerInfo("measure_mask", False, "", MATTE)),
}
"""The layers before any server has described its engine, the main one first."""


@dataclass(frozen=True)
class Connected:
    """What a node would send.

    Attributes:
        layers: layer to the number of the pipe that it comes from.
        channels: of the layers that are other channels of their pipe, the name of Nuke's layer.
        files: of the layers that come from a file, its name as the knob has it.
        unused: names of pipes that are connected but that the engine does not take.
    """

    layers: Dict[str, int] = field(default_factory=dict)
    channels: Dict[str, str] = field(default_factory=dict)
    files: Dict[str, str] = field(default_factory=dict)
    unused: Tuple[str, ...] = ()

    def facts(self) -> List[str]:
        """Return what is sent beyond the pipes of every node, as lines for the fingerprint; empty if nothing is."""
        pipes = [f"pipe {name} {index}" for name, index in self.layers.items() if index > MAIN + 2]
        chosen = [f"channels {name} {layer}" for name, layer in self.channels.items()]
        return sorted([*pipes, *chosen, *(f"file {name} {path}" for name, path in self.files.items())])


def kind_of(group: Any) -> str:
    """Return the kind of a node: "harmonize" or "deflicker"."""
    return str(group["harmovid_kind"].value())


def engine_of(group: Any) -> Optional[EngineInfo]:
    """Return the engine description stored in the node, or None if it has never been connected."""
    data = unpack(group["engine_data"].value())
    return EngineInfo.from_dict(data) if isinstance(data, dict) else None


def connected(group: Any) -> Connected:
    """Return what is connected and chosen now.

    Raises:
        InputError: a required layer is not, or a name cannot be used; the message names the input and the fix.
    """
    kind, engine = kind_of(group), engine_of(group)
    infos = engine.layers if engine is not None else _BUILT_IN[kind]
    target = engine.target if engine is not None else infos[0].name
    numbers = _numbers(group)
    found = Connected()
    for info in infos:
        if info.name == target:
            _take_pipe(group, found, info, (MAIN,))
        elif info.kind == VECTORS:
            _take_channels(group, found, info)
        elif info.kind == PANORAMA:
            _take_file(group, found, info)
        else:
            _take_pipe(group, found, info, _pipes(kind, info, numbers))
    known = {info.name for info in infos}
    idle = (name for name, number in numbers.items() if name not in known and group.input(number) is not None)
    return Connected(found.layers, found.channels, found.files, tuple(idle))


def _pipes(kind: str, info: LayerInfo, numbers: Mapping[str, int]) -> Tuple[int, ...]:
    fixed = _FIXED[kind].get(info.name)
    if fixed is None:
        return (numbers[info.name],) if info.name in numbers else ()
    return fixed or ((2,) if info.required else ())


def _take_pipe(group: Any, found: Connected, info: LayerInfo, pipes: Sequence[int]) -> None:
    for number in pipes:
        if group.input(number) is not None:
            found.layers[info.name] = number
            return
    if info.required:
        name = pipe_name(group, pipes[0]) if pipes else info.name
        raise InputError(f"the input {name} is not connected.", fix="Connect it, then send again.")


def _take_channels(group: Any, found: Connected, info: LayerInfo) -> None:
    knob = group.knob(INPUT + info.name)
    chosen = str(knob.value()) if knob is not None else NO_CHANNELS
    if chosen != NO_CHANNELS:
        found.layers[info.name] = MAIN
        found.channels[info.name] = chosen
    elif info.required:
        raise InputError(f"no channels are chosen for {info.label}.", fix="Choose them on the Inputs tab.")


def _take_file(group: Any, found: Connected, info: LayerInfo) -> None:
    knob = group.knob(INPUT + info.name)
    text = str(knob.getText() or "").strip() if knob is not None else ""
    if not text:
        if info.required:
            raise InputError(f"no file is set for {info.label}.", fix="Set it on the Inputs tab.")
        return
    first, last = (str(knob.evaluate(int(group[name].value()))) for name in ("first", "last"))
    # A name with a frame number or a view in it stays as it is: Nuke puts both in.
    found.files[info.name] = (text if first != last or "%v" in text.lower() else first).replace("\\", "/")


def pipe_name(group: Any, number: int) -> str:
    """Return the name of a pipe as the node shows it."""
    node = _pipe_node(group, number)
    return str(node.name()) if node is not None else f"{number}"


def _pipe_node(group: Any, number: int) -> Any:
    pipes = (one for one in group.nodes() if one.Class() == "Input")
    return next((one for one in pipes if int(one["number"].value()) == number), None)


def same_as_background(group: Any, found: Connected, infos: Sequence[LayerInfo]) -> List[str]:
    """Return the images that are connected to the node that the background is: most likely a slip."""
    if BACKGROUND not in found.layers:
        return []
    plate = group.input(found.layers[BACKGROUND])
    images = (info.name for info in infos if info.kind == IMAGE and info.name != BACKGROUND)
    return [name for name in images if name in found.layers and group.input(found.layers[name]) is plate]


# The pipes and knobs of further layers.


def further(kind: str, engine: EngineInfo) -> List[LayerInfo]:
    """Return the layers of an engine for which the node of this kind has no pipe of its own."""
    return [info for info in engine.layers if info.name != engine.target and info.name not in _FIXED[kind]]


def input_knobs(group: Any, engine: EngineInfo) -> List[Knob]:
    """Return the knobs of an engine's further layers; none where it has none."""
    made = [
        input_knob(info, offered(group, info.name) if info.kind == VECTORS else ())
        for info in further(kind_of(group), engine)
    ]
    if not made and group.knob(INPUT_NUMBERS) is None:
        return []
    numbers = Knob("str", INPUT_NUMBERS, "INVISIBLE", "", hidden=True)
    return [Knob("tab", INPUTS_TAB, "Inputs"), *made, numbers]


def is_fitted(group: Any, engine: EngineInfo) -> bool:
    """Return whether a node has the pipes and knobs of an engine's further layers."""
    wanted = further(kind_of(group), engine)
    pipes = {info.name for info in wanted if _is_pipe(info)}
    return (
        all(group.knob(INPUT + info.name) is not None for info in wanted) and pipes <= _numbers(group).keys()
    )


def add_pipes(group: Any, engine: EngineInfo) -> None:
    """Give a node a pipe for each further image and matte of an engine.

    Pipes keep their numbers, so that nothing is connected to another layer. A pipe of an engine before that is not
    connected is used again, or named `unused`.
    """
    wanted = [info.name for info in further(kind_of(group), engine) if _is_pipe(info)]
    numbers = _numbers(group)
    free = [name for name, number in numbers.items() if name not in wanted and group.input(number) is None]
    for name in wanted:
        if name in numbers:
            continue
        if free:
            numbers[name] = numbers.pop(free.pop(0))
            _rename(group, numbers[name], name)
        else:
            # A non-commercial Nuke may refuse more nodes: the node has to stay usable without this input.
            with contextlib.suppress(RuntimeError):
                numbers[name] = _new_pipe(group, name)
    for name in free:
        number = numbers.pop(name)
        numbers[_rename(group, number, SPARE)] = number
    if group.knob(INPUT_NUMBERS) is not None:
        group[INPUT_NUMBERS].setValue(pack(numbers))


def _is_pipe(info: LayerInfo) -> bool:
    return info.kind not in (VECTORS, PANORAMA)


def _numbers(group: Any) -> Dict[str, int]:
    """Return the pipes that an engine's description has added: layer to number."""
    knob = group.knob(INPUT_NUMBERS)
    data = unpack(knob.value()) if knob is not None else None
    return {str(name): int(number) for name, number in data.items()} if isinstance(data, dict) else {}


def _new_pipe(group: Any, name: str) -> int:
    pipes = [one for one in group.nodes() if one.Class() == "Input"]
    number = 1 + max(int(one["number"].value()) for one in pipes)
    with group:
        made = nuke.nodes.Input()
    made["number"].setValue(number)
    made.setName(name)
    made.setXYpos(FIRST_X + X_STEP * (number - len(INPUTS[kind_of(group)])), Y)
    return number


def _rename(group: Any, number: int, name: str) -> str:
    """Rename a pipe and return its name, which may have got a number."""
    node = _pipe_node(group, number)
    if node is None:
        return f"{name}{number}"
    node.setName(name)
    return str(node.name())


# Channels of the main input.


def offered(group: Any, name: str) -> Tuple[str, ...]:
    """Return the choices for a layer of vectors: none, the main input's layers of three channels, the present one."""
    upstream = group.input(MAIN)
    layers = channels.triples(upstream.channels()) if upstream is not None else {}
    knob = group.knob(INPUT + name)
    now = str(knob.value()) if knob is not None else NO_CHANNELS
    return tuple(dict.fromkeys((NO_CHANNELS, *layers, now)))


def refresh_choices(group: Any) -> None:
    """Offer the layers that the main input has now."""
    engine = engine_of(group)
    for info in further(kind_of(group), engine) if engine is not None else ():
        knob = group.knob(INPUT + info.name) if info.kind == VECTORS else None
        if knob is not None:
            choices, now = list(offered(group, info.name)), str(knob.value())
            if [str(each) for each in knob.values()] != choices:
                knob.setValues(choices)
                knob.setValue(now)
