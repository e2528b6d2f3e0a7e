"""The network's own picture in place of the target's pixels, for the output "proxy".

    shown = with_own_picture(frames, plan, small)       # a Relit, as if the target had been relit to this picture
    shown.linear                                        # over a background (`put_over`), or in the plate by its mask

The picture is enlarged from proxy size to the display window. Outside the display window, which the network has not
seen, and where the matte or the mask is 0, pixels stay bit-identical.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
from harmovid.pixels import exr

from harmovid_server.codec.picture import RGB, Frames, Picture, Plane
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.relight import Relit, change_mask
from harmovid_server.codec.working import linear_planes, space_in, stored_planes

Float32 = npt.NDArray[np.float32]


def with_own_picture(frames: Frames, plan: Plan, small: Float32) -> Relit:
    """Return the target with the network's picture as its light.

    Args:
        frames: decoded inputs of one frame.
        small: `(h, w, 3)` scene-linear in the target's primaries, unassociated, of the display window.

    Raises:
        FrameError: a layer lacks channels.
        ColourError: a colour space that the configuration does not know.
    """
    picture = Picture.of(frames, plan)
    space = space_in(frames, plan, plan.target)
    display = frames[plan.target].parts[picture.layer.part].header.display_window
    large = cv2.resize(
        np.ascontiguousarray(small, np.float32), (display[2] - display[0], display[3] - display[1]),
        interpolation=cv2.INTER_LINEAR,
    )  # fmt: skip
    seen = exr.moved(np.ones(large.shape[:2], np.float32), display, picture.window)
    red, green, blue = (
        exr.moved(np.ascontiguousarray(large[..., channel]), display, picture.window) for channel in range(3)
    )
    shown: RGB = (red, green, blue)
    if plan.is_over_background:
        # The picture is unassociated, and put over the background by the matte alone.
        matte = None if picture.matte is None else (picture.matte * seen).astype(picture.matte.dtype)
        alone = replace(picture, alpha=None, divide=False, matte=matte, gate=None)
        return Relit(alone, space, shown, shown, None, _counts(seen if matte is None else matte))
    linear = linear_planes(picture.rgb, space, None)
    mask = change_mask(frames, plan, picture)
    weight = seen if mask is None else seen * mask
    mixed: RGB = tuple(_mixed(old, new, weight) for old, new in zip(linear, shown))  # type: ignore[assignment]
    return Relit(
        picture, space, stored_planes(mixed, linear, picture.rgb, space, None), mixed, None, _counts(weight)
    )


def _mixed(old: Plane, new: Plane, weight: Float32) -> Plane:
    """Return a plane of both in the type of `old`, bit-identical to it where the weight is 0."""
    with np.errstate(invalid="ignore"):
        mixed = np.where(weight < 1, old.astype(np.float32) * (1 - weight) + new * weight, new)
    if old.dtype == np.float16:
        mixed = exr.to_half(mixed.astype(np.float32))[0]
    return np.where(weight > 0, mixed, old)


def _counts(weight: Plane) -> dict[str, int]:
    return {"changed_pixels": int(np.count_nonzero(weight))}
