"""The picture of each layer that is sent: the node that has it, and which of its channels are written.

    check_formats(group, record, engine)
    with opened(group, record, "normals", engine) as picture: ...   # picture.node feeds a Write

Nodes that are made for this are deleted afterwards. Only the main thread may call this.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any, Iterator

import nuke
from harmovid.errors import InputError
from harmovid.frames import FrameRange
from harmovid.job import MATTE, PANORAMA, VECTORS, EngineInfo

from harmovid_nuke import inputs
from harmovid_nuke.channels import ALPHA, triples
from harmovid_nuke.record import Record

COLOURS = ("rgba.red", "rgba.green", "rgba.blue")
FLOAT = "32 bit float"
"""Of panoramas, whose sun is beyond the range of half, and of vectors."""
SAME_ASPECT = 1e-3


@dataclass(frozen=True)
class Picture:
    """What a Write renders.

    Attributes:
        node: the node that has the picture.
        parent: the Group, or the root, that the node is in.
        channels: the value of a Write's knob.
        datatype: the value of a Write's knob; empty for the record's.
    """

    node: Any
    parent: Any
    channels: str
    datatype: str = ""


@contextlib.contextmanager
def opened(group: Any, record: Record, layer: str, engine: EngineInfo) -> Iterator[Picture]:
    """Yield the picture of a layer of a record.

    Raises:
        InputError: its channels or its file are missing; the message names the input and the fix.
    """
    kind = next((info.kind for info in engine.layers if info.name == layer), "")
    if layer in record.files:
        made = _read(group, record, layer)
        picture = Picture(made, group.parent(), "rgb", FLOAT)
    elif layer in record.channels:
        made = _moved(group, record, layer)
        picture = Picture(made, group.parent(), "rgb", FLOAT if kind == VECTORS else "")
    else:
        made = None
        index = record.layers[layer]
        picture = Picture(group.input(index), group.parent(), _channels(group, index, kind))
    try:
        yield picture
    finally:
        if made is not None:
            nuke.delete(made)


def _channels(group: Any, index: int, kind: str) -> str:
    """Return the channels of a pipe to send, as the value of a Write's knob.

    A missing alpha would be written as 0, and nothing would be relit.

    Raises:
        InputError: a matte has no alpha channel.
    """
    has_alpha = ALPHA in group.input(index).channels()
    if kind != MATTE:
        return "rgba" if has_alpha else "rgb"
    if not has_alpha:
        raise InputError(
            f"the input {inputs.pipe_name(group, index)} has no alpha channel.",
            fix="Put the matte into its alpha, with a Shuffle node.",
        )
    return "alpha"


def _moved(group: Any, record: Record, layer: str) -> Any:
    """Return a temporary node that has other channels of a pipe as its colours.

    Raises:
        InputError: the pipe does not have them.
    """
    index, wanted = record.layers[layer], record.channels[layer]
    upstream = group.input(index)
    found = triples(upstream.channels())
    if wanted not in found:
        has = ", ".join(found) or "none"
        raise InputError(
            f"the input {inputs.pipe_name(group, index)} has no channels {wanted} for {layer}; of three it has {has}.",
            fix="Choose others on the Inputs tab, or bring them in with a Copy or ShuffleCopy node.",
        )
    with group.parent():
        made = nuke.nodes.Copy()
    for number, (source, target) in enumerate(zip(found[wanted], COLOURS)):
        made[f"from{number}"].setValue(source)
        made[f"to{number}"].setValue(target)
    made["bbox"].setValue("B")
    made.setInput(0, upstream)
    made.setInput(1, upstream)
    return made


def _read(group: Any, record: Record, layer: str) -> Any:
    """Return a temporary Read of a layer's file, which brings it into the working space as any Read does."""
    with group.parent():
        made = nuke.nodes.Read()
    try:
        made["file"].setValue(record.files[layer])
        frames = FrameRange.parse(record.frames)
        for name, value in (("first", frames[0]), ("last", frames[-1])):
            made[name].setValue(value)
        made["localizationPolicy"].setValue("off")
        made["on_error"].setValue("error")
    except BaseException:
        nuke.delete(made)
        raise
    return made


def check_formats(group: Any, record: Record, engine: EngineInfo) -> None:
    """Check that the pipes that are sent have the format of the main one.

    Raises:
        InputError: one has another size or, if it is no matte, another pixel aspect; it is named.
    """
    main = group.input(inputs.MAIN)
    if main is None or main.hasError():
        return
    wanted = main.format()
    kinds = {info.name: info.kind for info in engine.layers}
    for layer, index in record.layers.items():
        node = group.input(index)
        # A node in error tells no format; its frames are judged by the server.
        if index == inputs.MAIN or kinds.get(layer) == PANORAMA or node is None or node.hasError():
            continue
        found, name = node.format(), inputs.pipe_name(group, index)
        main_name = inputs.pipe_name(group, inputs.MAIN)
        size, other = (f"{each.width()} x {each.height()}" for each in (wanted, found))
        if other != size:
            raise InputError(
                f"the input {name} is {other}, {main_name} is {size}.",
                fix=f"Put a Reformat to {size} above {name}.",
            )
        aspects = found.pixelAspect(), wanted.pixelAspect()
        if kinds.get(layer) != MATTE and not math.isclose(*aspects, rel_tol=SAME_ASPECT):
            raise InputError(
                f"the pixel aspect of the input {name} is {aspects[0]:g}, that of {main_name} {aspects[1]:g}.",
                fix=f"Put a Reformat to the format of {main_name} above {name}.",
            )
