"""The relit foreground over the background, as a file of the background: its windows, types, channels,
metadata.

    over = put_over(frames, plan, relit)
    over.frame, over.part, over.window

Where matte and foreground are 0 the background's pixels are bit-identical to the file's; so are all its other
channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from harmovid.errors import FrameRefused
from harmovid.job import BACKGROUND
from harmovid.pixels import exr
from harmovid.pixels.apply.compose import Layer, compose, uncovered_light
from harmovid.pixels.colour.spaces import convert_primaries

from harmovid_server.codec.picture import RGB, Box, Frames, Picture, Plane, colour_planes
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.relight import Relit
from harmovid_server.codec.working import linear_planes, space_in, stored_planes


@dataclass(frozen=True)
class Composite:
    """The background's file with the foreground in it.

    Attributes:
        frame: the complete frame.
        part, window: where the picture is in it.
        clamped_values: results beyond the range of the background's pixel type.
        added_light_pixels: pixels outside the matte where light of the foreground was added.
        left_out_light_pixels: such pixels whose light was left out, because a separate matte excludes them although
            the foreground's own alpha does not.
    """

    frame: exr.ExrFrame
    part: int
    window: Box
    clamped_values: int
    added_light_pixels: int = 0
    left_out_light_pixels: int = 0


def put_over(frames: Frames, plan: Plan, relit: Relit) -> Composite:
    """Return C(F, B, M) of the relit target, the layer "bg", and the target's matte.

    Raises:
        FrameRefused: the background's channels cannot be enlarged beyond its data window.
    """
    background = frames[BACKGROUND]
    layer = plan.rules.layer(background.headers, BACKGROUND)
    stored, window = colour_planes(background, plan, BACKGROUND)
    space = space_in(frames, plan, BACKGROUND)
    linear = linear_planes(stored, space, None)
    front, multiplied = _front(relit, space.primaries)
    matte = relit.picture.matte
    if matte is None:
        raise FrameRefused(f"{plan.target} has no matte to be put over a background with.")
    fronts: List[Plane] = list(front)
    backs: List[Plane] = list(linear)
    if layer.alpha is not None:
        fronts.append(matte if multiplied else np.ones_like(matte))
        backs.append(background.parts[layer.part].channels[layer.alpha])
    done = compose(Layer(fronts, relit.picture.window), Layer(backs, window), matte, premultiplied=multiplied)
    lit = _uncovered(front, matte, relit.picture)
    covered = exr.moved((matte > 0) | (lit & multiplied), relit.picture.window, done.window)
    red, green, blue = done.planes[:3]
    before = _moved(stored, window, done.window)
    colours = stored_planes((red, green, blue), _moved(linear, window, done.window), before, space, None)
    changes = dict(zip(layer.rgb, _kept(colours, before, covered)))
    if layer.alpha is not None:
        (alpha,) = _kept(done.planes[3:], [exr.moved(backs[3], window, done.window)], covered)
        changes[layer.alpha] = alpha
    frame = exr.with_data_window(background, done.window, layer.part)
    frame, clamped = exr.with_channels(frame, changes, layer.part)
    count = int(np.count_nonzero(lit))
    return Composite(
        frame,
        layer.part,
        done.window,
        done.clamped_values + sum(clamped.values()),
        added_light_pixels=count if multiplied else 0,
        left_out_light_pixels=0 if multiplied else count,
    )


def _uncovered(front: RGB, matte: Plane, picture: Picture) -> npt.NDArray[np.bool_]:
    """Return where a premultiplied foreground holds light outside its own alpha and outside the matte."""
    if not picture.divide or picture.alpha is None:
        return np.zeros(matte.shape, bool)
    return uncovered_light(front, matte) & (picture.alpha <= 0)


def _front(relit: Relit, primaries: Sequence[float]) -> Tuple[RGB, bool]:
    """Return the foreground's linear planes in the background's primaries, and whether they are multiplied by M.

    If a separate matte is given, colours that are multiplied by the foreground's own alpha are divided by it
    first.
    """
    picture = relit.picture
    planes, multiplied = relit.linear, picture.divide
    foreign = picture.gate is not None and picture.alpha is not None
    if not foreign and tuple(primaries) == tuple(relit.space.primaries):
        return planes, multiplied
    with np.errstate(invalid="ignore"):
        colours = np.stack(planes, axis=-1).astype(np.float32)
    if foreign and picture.alpha is not None:
        colours /= np.where(picture.alpha > 0, picture.alpha, 1).astype(np.float32)[..., None]
        multiplied = False
    colours = convert_primaries(colours, relit.space.primaries, tuple(primaries))  # type: ignore[arg-type]
    red, green, blue = (np.ascontiguousarray(colours[..., channel]) for channel in range(3))
    return (red, green, blue), multiplied


def _moved(planes: RGB, source: Box, target: Box) -> RGB:
    red, green, blue = (exr.moved(each, source, target) for each in planes)
    return red, green, blue


def _kept(new: Sequence[Plane], old: Sequence[Plane], covered: npt.NDArray[np.bool_]) -> List[Plane]:
    """Return `new` in the types of `old`; uncovered pixels are bit-identical to `old`, NaN payloads included."""
    result = []
    for fresh, before in zip(new, old):
        narrow = fresh.dtype == np.float32 and before.dtype == np.float16
        result.append(np.where(covered, exr.to_half(fresh)[0] if narrow else fresh, before))
    return result
