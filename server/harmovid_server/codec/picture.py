"""One frame's layers as decoded, and what they mean together: which pixels are relit, by which alpha and
mask.

    layers = load(paths, plan)               # {layer: ExrFrame}, judged against each other
    picture = Picture.of(layers, plan)
    picture.rgb, picture.alpha, picture.gate

Both measuring and finishing look at a frame through this module, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import FrameError, FrameMismatch, FrameRefused
from harmovid.pixels import exr

from harmovid_server.codec.plan import Plan

Plane = npt.NDArray[Any]
RGB = Tuple[Plane, Plane, Plane]
Frames = Mapping[str, exr.ExrFrame]
Box = Tuple[int, int, int, int]


def load(paths: Mapping[str, Path], plan: Plan) -> Dict[str, exr.ExrFrame]:
    """Decode the layers in `paths`, which include the target; their formats have to agree with its.

    Raises:
        FrameError: naming the layer, for a file that is missing, damaged, refused, or of another format.
    """
    frames: Dict[str, exr.ExrFrame] = {}
    for layer in sorted(paths, key=lambda name: name != plan.target):
        try:
            frames[layer] = exr.read(paths[layer])
            _check_format(frames[layer], frames[plan.target], plan.target)
        except FrameError as error:
            error.layer = layer
            raise
    return frames


def _check_format(frame: exr.ExrFrame, target: exr.ExrFrame, target_name: str) -> None:
    if frame.display_window != target.display_window:
        raise FrameMismatch(
            f"its display window is {size_text(frame.display_window)}, that of {target_name} "
            f"{size_text(target.display_window)}.",
            fix="Render all inputs in one format.",
        )


def size_text(box: Sequence[int]) -> str:
    """Return a window as people say it: "1920 x 1080", with its place where that is not 0, 0."""
    place = "" if box[0] == box[1] == 0 else f" at {box[0]}, {box[1]}"
    return f"{box[2] - box[0]} x {box[3] - box[1]}{place}"


def plane(frame: exr.ExrFrame, name: str, part: Optional[int] = None) -> Plane:
    """Return one channel `(H, W)` in its own type, half or float32, not copied.

    Raises:
        FrameRefused: it is subsampled or of unsigned integers.
    """
    source = frame.parts[frame.main if part is None else part]
    pixels = source.channels[name]
    if pixels.shape != source.header.shape or pixels.dtype == np.uint32:
        raise FrameRefused(
            f"its channel {name} is subsampled or holds whole numbers.", fix="Write it as half or float."
        )
    return pixels


def colour_planes(frame: exr.ExrFrame) -> Tuple[RGB, Box]:
    """Return the three planes of a frame's beauty, in their own types, and their data window.

    Raises:
        FrameRefused: it has none of half or float.
    """
    layer = exr.find_layer(frame.headers)
    red, green, blue = (plane(frame, name, layer.part) for name in layer.rgb)
    return (red, green, blue), frame.parts[layer.part].header.data_window


def matte_plane(frame: exr.ExrFrame, window: Box) -> Plane:
    """Return the matte channel of a matte's file as it lies in `window`; 0 beyond its own data window."""
    return exr.moved(plane(frame, exr.find_matte(frame.headers)), frame.data_window, window)


@dataclass(frozen=True)
class Picture:
    """The target of one frame with what belongs to it, all in the target's data window.

    Attributes:
        layer: which channels of which part.
        rgb: its three planes `(H, W)`, half or float32, as in the file.
        window: data window of that part.
        alpha: plane by which the colours are multiplied or beside which they mean nothing; None where every
            pixel counts.
        divide: the colours are multiplied by `alpha`.
        matte: the foreground's matte, where the engine works on one.
        gate: pixels where this is 0 are not relit; beyond `alpha` and the mask.
    """

    layer: exr.Layer
    rgb: RGB
    window: Box
    alpha: Optional[Plane]
    divide: bool
    matte: Optional[Plane]
    gate: Optional[Plane]

    @classmethod
    def of(cls, frames: Frames, plan: Plan) -> Picture:
        """Look at a frame.

        A plate that is no foreground may carry an alpha channel of zeros (a scan written as RGBA): that alpha
        says nothing and is not used.

        Raises:
            FrameRefused: no R, G, B of half or float, or a foreground without any matte.
        """
        frame = frames[plan.target]
        layer = exr.find_layer(frame.headers)
        rgb, window = colour_planes(frame)
        own = plane(frame, layer.alpha, layer.part) if layer.alpha else None
        given = matte_plane(frames["matte"], window) if "matte" in frames else None
        if not plan.wants_matte:
            used = own if plan.premultiplied and own is not None and _any(own) else None
            return cls(layer, rgb, window, used, used is not None, None, None)
        matte = own if given is None else given
        if matte is None:
            raise FrameRefused(
                f"{plan.target} has no alpha, and no matte was given.",
                fix="Give a matte, or write the alpha.",
            )
        if plan.premultiplied and own is not None:
            return cls(layer, rgb, window, own, True, matte, given)
        return cls(layer, rgb, window, matte, plan.premultiplied, matte, None)


def _any(alpha: npt.NDArray[Any]) -> bool:
    """Return whether an alpha holds anything but zeros; row by row, as most are answered by the first."""
    return any(bool(row.any()) for row in alpha)
