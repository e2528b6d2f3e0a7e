"""The decoded layers of one frame, and which pixels are changed, with which alpha and mask.

    layers = load(paths, plan)               # {layer: ExrFrame}, checked against each other
    picture = Picture.of(layers, plan)
    picture.rgb, picture.alpha, picture.gate

Measuring and finishing both use this module, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, TypeVar

import numpy.typing as npt
from harmovid.errors import FrameError, FrameRefused
from harmovid.pixels import exr

from harmovid_server.codec.plan import Plan

Plane = npt.NDArray[Any]
RGB = Tuple[Plane, Plane, Plane]
Frames = Mapping[str, exr.ExrFrame]
Box = Tuple[int, int, int, int]
Read = TypeVar("Read")


def load(paths: Mapping[str, Path], plan: Plan) -> Dict[str, exr.ExrFrame]:
    """Decode the inputs in `paths`, which include the target, after checking their headers together.

    Raises:
        FrameError: a file is missing, damaged, refused, or of another format; the error names the input.
    """
    order = sorted(paths, key=lambda name: name != plan.target)
    plan.rules.judge({name: _named(name, exr.read_header, paths[name]) for name in order})
    return {name: _named(name, exr.read, paths[name]) for name in order}


def _named(name: str, read: Callable[[Path], Read], path: Path) -> Read:
    """Return `read(path)`; an error of the file names the input."""
    try:
        return read(path)
    except FrameError as error:
        error.layer = name
        raise


def colour_planes(frame: exr.ExrFrame, plan: Plan, name: str) -> Tuple[RGB, Box]:
    """Return the three planes of an image input's picture, in their own types, and their data window."""
    return layer_planes(frame, plan.rules.layer(frame.headers, name))


def layer_planes(frame: exr.ExrFrame, layer: exr.Layer) -> Tuple[RGB, Box]:
    """Return the three planes of a layer, in their own types, and their data window."""
    part = frame.parts[layer.part]
    red, green, blue = (part.channels[channel] for channel in layer.rgb)
    return (red, green, blue), part.header.data_window


def matte_plane(frame: exr.ExrFrame, plan: Plan, name: str, window: Optional[Box] = None) -> Plane:
    """Return a matte's channel for `window` (None: its own data window), 0 outside its data window."""
    found = plan.rules.matte(frame.headers, name)
    pixels = exr.matte_plane(frame, found)[0]
    return pixels if window is None else exr.moved(pixels, frame.parts[found.part].header.data_window, window)


@dataclass(frozen=True)
class Picture:
    """The target of one frame with its alpha and matte, all in the target's data window.

    Attributes:
        layer: which channels of which part.
        rgb: its three planes `(H, W)`, half or float32, as in the file.
        window: data window of that part.
        alpha: plane by which the colours are multiplied, or which marks the pixels that count; None if every pixel
            counts.
        divide: the colours are multiplied by `alpha`.
        matte: the foreground's matte, if the engine works on a foreground.
        gate: pixels where this is 0 are not changed, in addition to `alpha` and the mask.
    """

    layer: exr.Layer
    rgb: RGB
    window: Box
    alpha: Optional[Plane]
    divide: bool
    matte: Optional[Plane]
    gate: Optional[Plane]

    @classmethod
    def of(cls, frames: Frames, plan: Plan, view: Optional[exr.Layer] = None) -> Picture:
        """Return the picture of a frame.

        The alpha of a plate that is not a foreground is ignored, in every frame: fire and glows have alpha 0, and scans
        are written as RGBA.

        Args:
            frames: its decoded inputs.
            plan: the job's.
            view: the picture of another view of the target; None is the one that is measured.

        Raises:
            FrameRefused: there is no such picture, or a foreground has no matte.
        """
        frame = frames[plan.target]
        layer = view or plan.rules.layer(frame.headers, plan.target)
        rgb, window = layer_planes(frame, layer)
        own = frame.parts[layer.part].channels[layer.alpha] if layer.alpha else None
        given = matte_plane(frames["matte"], plan, "matte", window) if "matte" in frames else None
        if not plan.wants_matte:
            return cls(layer, rgb, window, None, False, None, None)
        matte = own if given is None else given
        if matte is None:
            raise FrameRefused(
                f"{plan.target} has no alpha, and no matte was given.",
                fix="Give a matte, or write the alpha.",
            )
        if plan.premultiplied and own is not None:
            return cls(layer, rgb, window, own, True, matte, given)
        return cls(layer, rgb, window, matte, plan.premultiplied, matte, None)
