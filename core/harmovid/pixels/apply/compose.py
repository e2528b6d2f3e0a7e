"""The compositing function C(F, B, M): a foreground over a background through a soft matte.

    done = compose(Layer(fg_planes, fg_window), Layer(bg_planes, bg_window), matte, premultiplied=True)

    premultiplied    C = F + (1 - M) B      F is already multiplied by M
    unassociated     C = M F + (1 - M) B

Where M is 1 or more the result is bit-identical to F, NaN payloads included. Where M is 0, below 0 or NaN it is
bit-identical to B, with one exception: a premultiplied foreground may hold light there without covering anything (glow,
flame, reflection), and that light is added, as OpenEXR defines "over" for associated colour. Where F and M are 0, B is
unchanged. Where M is 0, NaN and infinity in F are not added; where M is NaN, nothing is.

Both layers have their own data window in one common display window; outside its window a foreground has matte 0
and a background is 0. All channels are treated alike, so alpha is composited by passing it as another
channel of a premultiplied pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from harmovid.errors import InputError

Plane = npt.NDArray[Any]
Window = Tuple[int, int, int, int]

_HALF_SIZE, _HALF_INFINITY = 0x7FFF, 0x7C00

TILE_ROWS = 64
"""Rows processed at once, which limits the memory beyond input and output."""


@dataclass(frozen=True)
class Layer:
    """Some channels, `(H, W)` half or float32 each, and their data window `(x0, y0, x1, y1)`.

    x1 and y1 are exclusive; coordinates are pixels of the common display window.
    """

    planes: Sequence[Plane]
    window: Window

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.window
        for plane in self.planes:
            if plane.shape != (y1 - y0, x1 - x0):
                raise InputError(f"a channel of {plane.shape} does not fill the data window {self.window}.")
            if plane.dtype not in (np.dtype(np.float16), np.dtype(np.float32)):
                raise InputError(
                    f"a channel of type {plane.dtype} cannot be composed.", fix="Use half or float32."
                )


@dataclass(frozen=True)
class Composite:
    """The result: channels over the union of both windows.

    A channel is float32 if it is in either layer, else half. `clamped_values` counts results beyond the range of half.
    """

    planes: Tuple[Plane, ...]
    window: Window
    clamped_values: int


def compose(foreground: Layer, background: Layer, matte: Plane, *, premultiplied: bool) -> Composite:
    """Return the foreground over the background.

    Args:
        foreground, background: the same number of channels in the same order, scene-linear, same primaries.
        matte: `(H, W)` of the foreground's window, 0 to 1.
        premultiplied: whether the foreground's channels are already multiplied by the matte.

    Raises:
        InputError: channels and matte do not match in number or shape.
    """
    if len(foreground.planes) != len(background.planes):
        raise InputError(
            f"the foreground has {len(foreground.planes)} channels, the background {len(background.planes)}."
        )
    x0, y0, x1, y1 = foreground.window
    if matte.shape != (y1 - y0, x1 - x0):
        raise InputError(
            f"a matte of {matte.shape} does not fill the foreground's window {foreground.window}."
        )
    window = union(foreground.window, background.window)
    planes: List[Plane] = []
    clamped = 0
    for front, back in zip(foreground.planes, background.planes):
        plane = np.zeros((window[3] - window[1], window[2] - window[0]), np.result_type(front, back))
        with np.errstate(invalid="ignore"):
            _inside(plane, window, background.window)[...] = back
            clamped += _over(front, _inside(plane, window, foreground.window), matte, premultiplied)
        planes.append(plane)
    return Composite(tuple(planes), window, clamped)


def union(first: Window, second: Window) -> Window:
    """Return the smallest window that contains both; an empty window adds nothing."""
    filled = [window for window in (first, second) if window[2] > window[0] and window[3] > window[1]]
    if not filled:
        return first
    lows, highs = [window[:2] for window in filled], [window[2:] for window in filled]
    return (
        min(x for x, _ in lows),
        min(y for _, y in lows),
        max(x for x, _ in highs),
        max(y for _, y in highs),
    )


def _inside(plane: Plane, window: Window, part: Window) -> Plane:
    """Return the view of `plane` (which fills `window`) that `part` covers."""
    if part[2] <= part[0] or part[3] <= part[1]:
        return plane[:0, :0]
    return plane[part[1] - window[1] : part[3] - window[1], part[0] - window[0] : part[2] - window[0]]


def uncovered_light(planes: Sequence[Plane], matte: Plane) -> npt.NDArray[np.bool_]:
    """Return where a premultiplied foreground adds light without covering anything, `(H, W)`.

    Args:
        planes: its channels, `(H, W)` each.
        matte: `(H, W)` of the same window.
    """
    found: npt.NDArray[np.bool_] = np.logical_or.reduce([_uncovered_light(plane, matte) for plane in planes])
    return found


def _uncovered_light(front: Plane, cover: Plane) -> npt.NDArray[np.bool_]:
    if front.dtype != np.float16:
        light: npt.NDArray[np.bool_] = (front != 0) & np.isfinite(front)
    else:
        # The same, on the bits of halves, which numpy compares many times faster.
        size = np.ascontiguousarray(front).view(np.uint16) & np.uint16(_HALF_SIZE)
        light = (size != 0) & (size < _HALF_INFINITY)
    return np.asarray(light & (cover <= 0))


def _over(front: Plane, below: Plane, matte: Plane, premultiplied: bool) -> int:
    """Put `front` over `below` in place; return how many values had to be clamped."""
    clamped = 0
    largest = float(np.finfo(below.dtype).max)
    for start in range(0, below.shape[0], TILE_ROWS):
        rows = slice(start, start + TILE_ROWS)
        cover, target = matte[rows], below[rows]
        np.copyto(target, front[rows], where=cover >= 1)
        soft = (cover > 0) & (cover < 1)
        if premultiplied:
            soft |= _uncovered_light(front[rows], cover)
        if not soft.any():
            continue
        share = np.maximum(cover[soft].astype(np.float32), 0)
        light = front[rows][soft].astype(np.float32)
        mixed = (light if premultiplied else light * share) + (1 - share) * target[soft].astype(np.float32)
        clamped += int(np.count_nonzero(np.isfinite(mixed) & (np.abs(mixed) > largest)))
        # NaN and infinity of a layer are kept; only values that overflowed here are clamped.
        target[soft] = np.where(np.isfinite(mixed), np.clip(mixed, -largest, largest), mixed)
    return clamped
