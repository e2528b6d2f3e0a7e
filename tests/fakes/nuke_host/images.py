"""Node arithmetic of the stand-in Nuke: a small interpreter of Nuke's documented formulas, in numpy.

    picture = picture_of(node, frame, view)
    picture.channels["rgba.red"]           # (H, W) float32 over the bounding box

Windows are EXR's: y grows downwards, the right and lower edges are exclusive. Channels outside the bounding box are 0.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from fakes.nuke_host import exr
from fakes.nuke_host.expressions import ExpressionError, evaluate
from fakes.nuke_host.files import file_of

Box = Tuple[int, int, int, int]
SHORT = {"r": "rgba.red", "g": "rgba.green", "b": "rgba.blue", "a": "rgba.alpha"}
RGB = ("rgba.red", "rgba.green", "rgba.blue")
LAYERS = {"rgb": RGB, "rgba": (*RGB, "rgba.alpha"), "alpha": ("rgba.alpha",)}


class RenderError(RuntimeError):
    """A node in error: Nuke paints it red and stops a render."""


@dataclass(frozen=True)
class Picture:
    """Channels over a bounding box, in a format."""

    size: Tuple[int, int]
    box: Box
    channels: Dict[str, Any]
    aspect: float = 1.0
    metadata: Dict[str, Any] = field(default_factory=dict)

    def over(self, box: Box) -> Picture:
        """Return the same over another bounding box, with zeros where there was nothing."""
        return replace(self, box=box, channels={name: self.plane(name, box) for name in self.channels})

    def plane(self, name: str, box: Box) -> Any:
        """Return a channel over a box; one that is not there is 0."""
        out = np.zeros((box[3] - box[1], box[2] - box[0]), np.float32)
        if name in self.channels:
            x0, y0, x1, y1 = _meet(box, self.box)
            if x1 > x0 and y1 > y0:
                part = self.channels[name][
                    y0 - self.box[1] : y1 - self.box[1], x0 - self.box[0] : x1 - self.box[0]
                ]
                out[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]] = part
        return out


def _meet(one: Box, other: Box) -> Box:
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def _union(one: Box, other: Box) -> Box:
    if one[0] >= one[2] or one[1] >= one[3]:
        return other
    if other[0] >= other[2] or other[1] >= other[3]:
        return one
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def picture(node: Any, frame: float, view: str) -> Picture:
    """Return a node's output at a frame.

    Raises:
        RenderError: it, or what it needs, is in error.
    """
    if node is None:
        raise RenderError("nothing is connected")
    if node.knobs_["disable"].at(frame):
        return picture(node.inputs_[0], frame, view) if _fed(node, 0) else _black(node)
    try:
        return _WORK.get(node.cls, _unknown)(node, frame, view)
    except ExpressionError as error:
        raise RenderError(f"{node.full_name}: {error}") from error


def _fed(node: Any, index: int) -> bool:
    return len(node.inputs_) > index and node.inputs_[index] is not None


def _feed(node: Any, index: int, frame: float, view: str) -> Picture:
    return picture(node.inputs_[index], frame, view) if _fed(node, index) else _black(node)


def _black(node: Any) -> Picture:
    width, height = _format(node.host)
    return Picture((width, height), (0, 0, width, height), {}, node.host.root.knobs_["pixel_aspect"].at(1))


def _format(host: Any) -> Tuple[int, int]:
    knob = host.root.knobs_["format_size"]
    return int(knob.at(1, 0)), int(knob.at(1, 1))


def _unknown(node: Any, frame: float, view: str) -> Picture:
    raise RenderError(f"{node.full_name}: the stand-in does not compute {node.cls}")


def _pass(node: Any, frame: float, view: str) -> Picture:
    return _feed(node, 0, frame, view)


def _input(node: Any, frame: float, view: str) -> Picture:
    return _feed(node.parent_, int(node.knobs_["number"].at(frame)), frame, view)


def _group(node: Any, frame: float, view: str) -> Picture:
    outputs = [one for one in node.nodes_ if one.cls == "Output"]
    return picture(outputs[0], frame, view)


def _constant(node: Any, frame: float, view: str) -> Picture:
    black = _black(node)
    names = LAYERS[node.knobs_["channels"]._text]
    shape = (black.size[1], black.size[0])
    values = {
        name: np.full(shape, node.knobs_["color"].at(frame, i), np.float32) for i, name in enumerate(names)
    }
    return replace(black, channels=values)


def _read(node: Any, frame: float, view: str) -> Picture:
    number = round(frame)
    first, last = int(node.knobs_["first"].at(frame)), int(node.knobs_["last"].at(frame))
    if number < first or number > last:
        side = node.knobs_["before" if number < first else "after"].value()
        if side == "black":
            return _black(node)
        number = first if number < first else last
    text = node.knobs_["file"].evaluated(frame)
    if not text:
        raise RenderError(f"{node.full_name}: no file name")
    path = file_of(text, number, view)
    # Nuke keeps what it has read until the knob `version` counts on: it does not see that a file was written again.
    kept = path, node.knobs_["version"].at(frame)
    if kept not in node.loaded and os.path.exists(path):
        node.loaded[kept] = exr.load(path)
    if kept in node.loaded:
        if not node.knobs_["raw"].value():
            node.host.note("converted", node.full_name)
        return node.loaded[kept]
    wanted = node.knobs_["on_error"].value()
    if wanted == "error":
        raise RenderError(f"{node.full_name}: {path} does not exist")
    near = [n for n in range(first, last + 1) if os.path.exists(file_of(text, n, view))]
    if wanted == "nearest frame" and near:
        return exr.load(file_of(text, min(near, key=lambda n: abs(n - number)), view))
    return _black(node)


def _names(
    node: Any, frame: float, take: Callable[[str], Any], temps: Dict[str, Any]
) -> Callable[[str], Any]:
    def find(name: str) -> Any:
        if name in temps:
            return temps[name]
        found = take(name)
        return node.named_value(name, frame) if found is None else found

    return find


def _expressions(node: Any, frame: float, base: Picture, box: Box, take: Callable[[str], Any]) -> Picture:
    """Return `base` over `box` with the channels of an Expression node, whose variables are evaluated first."""
    temps: Dict[str, Any] = {}
    with np.errstate(all="ignore"):
        for index in range(4):
            name = node.knobs_[f"temp_name{index}"]._text
            if name:
                text = node.knobs_[f"temp_expr{index}"]._text
                temps[name] = evaluate(text, _names(node, frame, take, {}))
        out = base.over(box)
        made = {}
        for index in range(4):
            text = node.knobs_[f"expr{index}"]._text
            for channel in _mask(node.knobs_[f"channel{index}"]._text) if text else ():
                value = evaluate(text, _names(node, frame, take, temps))
                made[channel] = np.broadcast_to(value, (box[3] - box[1], box[2] - box[0])).astype(np.float32)
    return replace(out, channels={**out.channels, **made})


def _mask(text: str) -> List[str]:
    found: List[str] = []
    for word in text.split():
        if word != "none" and not word.startswith("-"):
            found += LAYERS.get(word, (word,))
    return found


def _expression(node: Any, frame: float, view: str) -> Picture:
    base = _feed(node, 0, frame, view)

    def take(name: str) -> Any:
        channel = SHORT.get(name, name)
        known = channel in base.channels or name in SHORT or channel.split(".")[0] in KNOWN_LAYERS
        return base.plane(channel, base.box).astype(np.float64) if known else None

    return _expressions(node, frame, base, base.box, take)


KNOWN_LAYERS = {"rgba", "depth", "mask", "harmovid"}


def _merge_expression(node: Any, frame: float, view: str) -> Picture:
    below, above = _feed(node, 0, frame, view), _feed(node, 1, frame, view)
    box = _union(below.box, above.box)

    def take(name: str) -> Any:
        side = {"A": above, "B": below}.get(name[0])
        channel = SHORT.get(name[1:], name[1:])
        if side is None or not (name[1:] in SHORT or channel.split(".")[0] in KNOWN_LAYERS):
            return None
        return side.plane(channel, box).astype(np.float64)

    return _expressions(node, frame, below, box, take)


def _blur(node: Any, frame: float, view: str) -> Picture:
    base = _feed(node, 0, frame, view)
    across, down = node.knobs_["size"].at(frame, 0), node.knobs_["size"].at(frame, 1)
    if across <= 0 and down <= 0:
        return base
    grow = int(np.ceil(max(across, down)))
    box = (base.box[0] - grow, base.box[1] - grow, base.box[2] + grow, base.box[3] + grow)
    if node.knobs_["crop"].value():
        box = _meet(box, (0, 0, *base.size))
    wide = base.over(box)
    wanted = _mask(node.knobs_["channels"]._text)
    made = {name: _gaussian(wide.channels[name], across, down) for name in wanted if name in wide.channels}
    return replace(wide, channels={**wide.channels, **made})


def _gaussian(plane: Any, across: float, down: float) -> Any:
    out = plane.astype(np.float64)
    for axis, size in ((1, across), (0, down)):
        if size > 0:
            reach = int(np.ceil(size))
            steps = np.arange(-reach, reach + 1)
            weights = np.exp(-0.5 * (steps / (size / 3)) ** 2)
            weights /= weights.sum()
            out = np.apply_along_axis(np.convolve, axis, out, weights, "same")
    return out.astype(np.float32)


def _copy(node: Any, frame: float, view: str) -> Picture:
    below, above = _feed(node, 0, frame, view), _feed(node, 1, frame, view)
    box = {"B": below.box, "A": above.box}.get(node.knobs_["bbox"].value(), _union(below.box, above.box))
    out = below.over(box)
    made = {}
    for index in range(4):
        source, target = node.knobs_[f"from{index}"]._text, node.knobs_[f"to{index}"]._text
        if "none" not in (source, target):
            made[target] = above.plane(source, box)
    return replace(out, channels={**out.channels, **made})


def _assert(node: Any, frame: float, view: str) -> Picture:
    if not node.knobs_["expression"].at(frame):
        raise RenderError(f"{node.full_name}: {node.knobs_['message'].evaluated(frame)}")
    return _feed(node, 0, frame, view)


def _grade(node: Any, frame: float, view: str) -> Picture:
    """Apply Grade: A = multiply * (gain - lift) / (white - black), then offset and gamma, as its help says."""
    base = _feed(node, 0, frame, view)
    made = {}
    for index, name in enumerate(RGB):
        get = {key: node.knobs_[key].at(frame, index) for key in
               ("blackpoint", "whitepoint", "black", "white", "multiply", "add", "gamma")}  # fmt: skip
        slope = get["multiply"] * (get["white"] - get["black"]) / (get["whitepoint"] - get["blackpoint"])
        offset = get["add"] + get["black"] - slope * get["blackpoint"]
        value = base.plane(name, base.box).astype(np.float64) * slope + offset
        if get["gamma"] != 1:
            value = np.where(value > 0, np.abs(value) ** (1 / get["gamma"]), value)
        made[name] = np.maximum(value, 0) if node.knobs_["black_clamp"].value() else value
    return _masked(node, base, {name: value.astype(np.float32) for name, value in made.items()})


def _cdl(node: Any, frame: float, view: str) -> Picture:
    """Apply slope, offset, power without clamping."""
    base = _feed(node, 0, frame, view)
    made = {}
    for index, name in enumerate(RGB):
        slope, offset, power = (node.knobs_[key].at(frame, index) for key in ("slope", "offset", "power"))
        value = base.plane(name, base.box).astype(np.float64) * slope + offset
        made[name] = (
            np.where(value > 0, np.abs(value) ** power, value).astype(np.float32) if power != 1 else value
        )
    return _masked(node, base, {name: value.astype(np.float32) for name, value in made.items()})


def _masked(node: Any, base: Picture, made: Dict[str, Any]) -> Picture:
    mask = node.knobs_["maskChannelInput"]._text
    if mask != "none":
        weight = base.plane(mask, base.box)
        made = {
            name: (base.plane(name, base.box) * (1 - weight) + value * weight) for name, value in made.items()
        }
    return replace(base, channels={**base.channels, **made})


def _merge(node: Any, frame: float, view: str) -> Picture:
    below, above = _feed(node, 0, frame, view), _feed(node, 1, frame, view)
    box = _union(below.box, above.box)
    b, a = below.over(box), above.over(box)
    alpha = a.plane("rgba.alpha", box)
    work = {
        "over": lambda x, y: x + y * (1 - alpha),
        "plus": lambda x, y: x + y,
        "multiply": lambda x, y: x * y,
        "minus": lambda x, y: x - y,
        "copy": lambda x, y: x,
    }[node.knobs_["operation"].value()]
    made = {name: work(a.plane(name, box), b.plane(name, box)) for name in LAYERS["rgba"]}
    return replace(b, channels={**b.channels, **made})


def _crop(node: Any, frame: float, view: str) -> Picture:
    base = _feed(node, 0, frame, view)
    x, y, r, t = (int(node.knobs_["box"].at(frame, i)) for i in range(4))
    return base.over((x, base.size[1] - t, r, base.size[1] - y))


def _time_offset(node: Any, frame: float, view: str) -> Picture:
    return _feed(node, 0, frame - node.knobs_["time_offset"].at(frame), view)


_WORK: Dict[str, Callable[[Any, float, str], Picture]] = {
    "Read": _read, "Constant": _constant, "Input": _input, "Group": _group, "Expression": _expression, "Blur": _blur,
    "MergeExpression": _merge_expression, "Copy": _copy, "Assert": _assert, "Grade": _grade, "Merge2": _merge,
    "OCIOCDLTransform": _cdl, "Crop": _crop, "TimeOffset": _time_offset,
    **dict.fromkeys(("NoOp", "Dot", "Output", "Write", "Viewer"), _pass),
}  # fmt: skip


def sample(image: Picture, channel: str, x: float, y: float) -> float:
    """Return a channel's value at a place in Nuke's coordinates (y upwards)."""
    column, row = int(x) - image.box[0], image.size[1] - 1 - int(y) - image.box[1]
    plane = image.channels.get(SHORT.get(channel, channel))
    inside = plane is not None and 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]
    return float(plane[row, column]) if inside else 0.0


def format_of(node: Any, frame: float, view: str) -> Tuple[int, int, float]:
    """Return width, height and pixel aspect of a node's output; those of the script if it is in error."""
    try:
        found = picture(node, frame, view)
    except RenderError:
        found = _black(node)
    return (*found.size, found.aspect)


def channel_names(node: Any, frame: float, view: str) -> List[str]:
    """Return the channels of a node's output; none if it is in error."""
    try:
        return sorted(picture(node, frame, view).channels)
    except RenderError:
        return []
