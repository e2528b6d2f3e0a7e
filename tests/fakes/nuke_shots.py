"""Small shots for the tests of the Nuke plugin: plates and results as EXR files, and nodes that read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
from fakes.nuke_host import exr
from fakes.nuke_host.images import RGB, Picture

SIZE = (32, 20)
OVERSCAN = (-3, -2, 35, 22)


def plate(
    seed: int, box: Tuple[int, int, int, int] = OVERSCAN, alpha: bool = True, aspect: float = 1.0
) -> Picture:
    """A premultiplied picture with overscan, values above 1 and below 0, soft edges, and a layer of its own."""
    rng = np.random.default_rng(seed + 1000)
    shape = (box[3] - box[1], box[2] - box[0])
    channels: Dict[str, Any] = {name: rng.gamma(1.0, 0.6, shape).astype(np.float16) for name in RGB}
    if alpha:
        columns = np.linspace(-0.5, 1.5, shape[1])
        channels["rgba.alpha"] = np.broadcast_to(np.clip(columns, 0, 1), shape).astype(np.float16)
        channels.update({name: channels[name] * channels["rgba.alpha"] for name in RGB})
    channels["rgba.red"][0, -6:-2] = [64, -0.1, 0, 2.5]
    channels["depth.Z"] = rng.gamma(2, 50, shape).astype(np.float32)
    return Picture(
        SIZE, box, {name: np.asarray(plane, np.float32) for name, plane in channels.items()}, aspect
    )


def field(seed: int, of: Picture) -> Picture:
    """A result of a plate: its picture, and a lighting field that is 0 where its alpha is, and in one column more."""
    rng = np.random.default_rng(seed)
    shape = of.channels["rgba.red"].shape
    alpha = of.channels.get("rgba.alpha", np.ones(shape, np.float32))
    stops = {
        f"harmovid.{name}": rng.normal(0, 0.7, shape).astype(np.float32) for name in ("red", "green", "blue")
    }
    for plane in stops.values():
        plane[alpha <= 0] = 0
        plane[:, -1] = 0
    return Picture(of.size, of.box, {**of.channels, **stops}, of.aspect)


def save(folder: Path, name: str, frames: Dict[int, Picture], half: bool = True) -> str:
    """Write a sequence and return its pattern. A lighting field is kept in 32 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame, image in frames.items():
        lit = any(channel.startswith("harmovid.") for channel in image.channels)
        path = str(folder / f"{name}.{frame:04d}.exr")
        exr.save(path, image, tuple(image.channels), half and not lit, "Zip (1 scanline)", {})
    return f"{folder.as_posix()}/{name}.%04d.exr"


def reader(nuke: Any, pattern: str, first: int, last: int, name: str = "") -> Any:
    """Make a Read of a sequence, as an artist has it: named colour handling off."""
    node = nuke.nodes.Read()
    node["file"].setValue(pattern)
    for knob, value in (
        ("first", first),
        ("last", last),
        ("origfirst", first),
        ("origlast", last),
        ("raw", True),
    ):
        node[knob].setValue(value)
    if name:
        node.setName(name)
    return node


def show_result(group: Any, pattern: str, first: int, last: int, alpha: Optional[bool] = None) -> None:
    """Set a Group to a result that is there in full, as the plugin's readback does."""
    read = group.node("Result")
    read["file"].setValue(pattern)
    for knob, value in (("first", first), ("last", last), ("origfirst", first), ("origlast", last)):
        read[knob].setValue(value)
    group["has_result"].setValue(True)
    group["present"].setValue(1.0)
    if alpha is not None:
        group["has_alpha"].setValue(alpha)
