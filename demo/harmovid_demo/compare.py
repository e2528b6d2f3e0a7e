"""Comparison of inputs, results and, where it is known, the truth: measures, and small pictures for display.

One pass over the frames, two in memory at a time. For the contact sheet and the wipe a picture of at most
`PICTURE_WIDTH` pixels is kept of the first `MOST_PICTURES` frames.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Callable, Mapping, Sequence

import cv2
import numpy as np
from harmovid.frames import FramePattern
from harmovid.pixels import exr

from harmovid_demo.jit import Floats, Image
from harmovid_demo.metrics import NOWHERE, Distance, Flicker, block_levels, distance
from harmovid_demo.view import Bytes, to_bytes

THREADS = 2
PICTURE_WIDTH = 960
MOST_PICTURES = 240
SOLID = 1.0 / 16  # alpha below which unpremultiplied colour is too inexact to compare


@dataclass
class Version:
    """One version of a clip: its label, its measures, its pictures `(h, w, 3)` 8 bit."""

    label: str
    flicker: Flicker = field(default_factory=Flicker)
    error: Distance = NOWHERE
    pictures: list[Bytes] = field(default_factory=list)


@dataclass
class Comparison:
    """Versions of one clip, the input first; the last one is the truth where `has_truth`."""

    title: str
    frames: Sequence[int]
    versions: list[Version]
    has_truth: bool


@dataclass(frozen=True)
class Shown:
    """One frame over its display window: colour `(h, w, 3)` float32 as stored, alpha `(h, w)` or None."""

    colour: Image
    alpha: Image | None


def read_shown(path: str) -> Shown:
    """Read a frame's beauty and alpha over its display window, 0 where its data window does not reach."""
    frame = exr.read(path)
    _, colour = exr.layer_rgb(frame)
    source, target = frame.data_window, frame.display_window
    alpha = exr.moved(exr.channel_plane(frame, "A"), source, target) if "A" in frame.channels else None
    return Shown(exr.moved(colour, source, target), alpha)


@dataclass(frozen=True)
class _Seen:
    """The values of one frame of one version: levels, distance to the truth, and a small picture."""

    levels: Floats
    error: Distance
    picture: Bytes


def _small(picture: Image) -> Bytes:
    height, width = picture.shape[:2]
    if width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, max(round(height * PICTURE_WIDTH / width), 1))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    return to_bytes(picture)


def _collect(
    title: str,
    frames: Sequence[int],
    labels: Sequence[str],
    look: Callable[[int], list[_Seen]],
    has_truth: bool,
) -> Comparison:
    """Read every frame, two at a time, and add up the values."""
    versions = [Version(label) for label in labels]
    with ThreadPoolExecutor(THREADS) as pool:
        for seen in pool.map(look, frames):
            for version, one in zip(versions, seen):
                version.flicker.add(one.levels)
                version.error += one.error
                if len(version.pictures) < MOST_PICTURES:
                    version.pictures.append(one.picture)
    return Comparison(title, list(frames), versions, has_truth)


def compare_plates(
    title: str, frames: Sequence[int], patterns: Mapping[str, str], has_truth: bool
) -> Comparison:
    """Compare versions of a plate.

    Args:
        title: of the comparison.
        frames: frame numbers, in order.
        patterns: file pattern of each version by its label: before, after, the truth where it is known.
        has_truth: whether the last version is the truth.
    """
    places = [FramePattern.parse(pattern) for pattern in patterns.values()]

    def look(frame: int) -> list[_Seen]:
        shown = [read_shown(place.path(frame)).colour for place in places]
        return [
            _Seen(
                block_levels(picture),
                distance(picture, shown[-1]) if has_truth and picture is not shown[-1] else NOWHERE,
                _small(picture),
            )
            for picture in shown
        ]

    return _collect(title, frames, list(patterns), look, has_truth)


def compare_foregrounds(
    title: str, frames: Sequence[int], patterns: Mapping[str, str], background: str, has_truth: bool
) -> Comparison:
    """Compare versions of a premultiplied foreground over one background; arguments as for `compare_plates`.

    Errors are measured on the unpremultiplied foreground alone, weighted by its alpha. Flicker is measured on
    the comp, and the pictures show it.
    """
    places = [FramePattern.parse(pattern) for pattern in patterns.values()]
    behind = FramePattern.parse(background)

    def look(frame: int) -> list[_Seen]:
        plate = read_shown(behind.path(frame)).colour
        shown = [read_shown(place.path(frame)) for place in places]
        seen = []
        for foreground in shown:
            error = NOWHERE
            if has_truth and foreground is not shown[-1] and foreground.alpha is not None:
                error = _solid_distance(foreground, shown[-1])
            comp = _over(foreground, plate)
            seen.append(_Seen(block_levels(comp), error, _small(comp)))
        return seen

    return _collect(title, frames, list(patterns), look, has_truth)


def _solid_distance(shown: Shown, truth: Shown) -> Distance:
    """Distance of unpremultiplied colours, weighted by the alpha, where that is solid enough to divide by."""
    if shown.alpha is None:
        return distance(shown.colour, truth.colour)
    weight = np.where(shown.alpha >= SOLID, shown.alpha, np.float32(0))
    rows, cols = np.flatnonzero(weight.any(axis=1)), np.flatnonzero(weight.any(axis=0))
    if not len(rows):
        return NOWHERE
    y, x = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    cover = np.maximum(shown.alpha[y, x], np.float32(SOLID))[..., None]
    ours, theirs = ((one.colour[y, x] / cover).astype(np.float32, copy=False) for one in (shown, truth))
    return distance(ours, theirs, weight[y, x])


def _over(shown: Shown, plate: Image) -> Image:
    if shown.alpha is None:
        return shown.colour
    comp: Image = shown.colour + plate * (1 - shown.alpha[..., None])
    return comp


def table(comparison: Comparison) -> list[str]:
    """Return the comparison as lines of text, one measure a line."""
    rows: list[tuple[str, Callable[[Version], float], str, bool]] = [
        ("flicker of the frame", lambda v: v.flicker.whole, "stops", False),
        ("flicker of its parts", lambda v: v.flicker.local, "stops", False),
        ("distance to the truth", lambda v: v.error.rmse_stops, "stops", True),
        ("  after one steady gain", lambda v: v.error.steady_stops, "stops", True),
        ("PSNR to the truth", lambda v: v.error.psnr_db, "dB", True),
    ]
    lines = [f"{'':26}" + "".join(f"{version.label:>16}" for version in comparison.versions)]
    for name, measure, unit, of_truth in rows:
        if of_truth and not comparison.has_truth:
            continue
        cells = []
        for version in comparison.versions:
            is_truth = comparison.has_truth and version is comparison.versions[-1]
            value = "" if of_truth and is_truth else f"{measure(version):.{1 if unit == 'dB' else 3}f}"
            cells.append(f"{value:>16}")
        lines.append(f"{name:26}{''.join(cells)}  {unit}")
    return lines


def figures(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Return the measures as plain numbers, by version."""
    out: dict[str, dict[str, float]] = {}
    for version in comparison.versions:
        numbers = {"flicker_stops": version.flicker.whole, "local_flicker_stops": version.flicker.local}
        if comparison.has_truth and version is not comparison.versions[-1]:
            numbers["error_stops"] = version.error.rmse_stops
            numbers["steady_error_stops"] = version.error.steady_stops
            numbers["psnr_db"] = version.error.psnr_db
        out[version.label] = {name: round(value, 4) for name, value in numbers.items()}
    return out
