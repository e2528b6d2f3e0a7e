"""Two small pictures of a finished frame, before and after, for the dashboard.

    size = write_previews(folder, 1001, frames, plan, relit)

Reduced, with the sRGB curve, clipped to 0..1, in the primaries that the pixels have: for viewing, not for judging
colour. A composite's "before" is the original foreground over the same background. Jobs do not depend on them: previews
that cannot be written are left out.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Tuple

import cv2
import numpy as np
from harmovid.pixels.colour.srgb import srgb_encode

from harmovid_server.codec.composite import put_over
from harmovid_server.codec.picture import RGB, Box, Frames, Picture, layer_planes
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.reduce import area_means, proxy_size
from harmovid_server.codec.relight import Relit
from harmovid_server.codec.working import linear_planes, space_in
from harmovid_server.spool import PART, preview_path

LINES = 216
QUALITY = 85
"""JPEG quality: gives 8 to 25 KB for a picture of 384 by 216."""

Planes = Tuple[RGB, Box]


def write_previews(history: Path, number: int, job: str, frames: Frames, plan: Plan, relit: Relit) -> int:
    """Write both pictures of a frame.

    Args:
        history: the server's history folder; the job's folder in it must exist.
        frames: the decoded inputs. relit: the target after relighting.

    Returns:
        the bytes written; 0 if there is no space on disk or in memory.
    """
    part = frames[plan.target].parts[relit.picture.layer.part]
    display = part.header.display_window
    total = 0
    with contextlib.suppress(OSError, MemoryError):
        for side, (planes, window) in zip(("before", "after"), _pictures(frames, plan, relit)):
            data = encoded(planes, window, display)
            path = preview_path(history, job, number, side)
            unfinished = path.with_name(path.name + PART)
            unfinished.write_bytes(data)
            unfinished.replace(path)
            total += len(data)
    return total


def _pictures(frames: Frames, plan: Plan, relit: Relit) -> Tuple[Planes, Planes]:
    """Return the planes before and after, as linear light, and their data windows."""
    picture = Picture.of(frames, plan)
    linear = linear_planes(picture.rgb, relit.space, picture.alpha if picture.divide else None)
    if not plan.is_over_background:
        return (linear, picture.window), (relit.linear, picture.window)
    before = replace(relit, picture=picture, stored=picture.rgb, linear=linear)
    return _composite(frames, plan, before), _composite(frames, plan, relit)


def _composite(frames: Frames, plan: Plan, relit: Relit) -> Planes:
    over = put_over(frames, plan, relit)
    layer = plan.rules.layer(frames["bg"].headers, "bg")
    planes, window = layer_planes(over.frame, layer)
    return linear_planes(planes, space_in(frames, plan, "bg"), None), window


def encoded(planes: RGB, window: Box, display: Box) -> bytes:
    """Return linear planes as a JPEG of at most `LINES` lines of the display window."""
    small = area_means(list(planes), window, display, proxy_size(display, LINES))
    light = np.clip(small.means * small.coverage[..., None], 0, 1)
    codes = np.round(srgb_encode(light) * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", codes[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return bytes(data)
