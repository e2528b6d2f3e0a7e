"""Stops as a picture: false colour from blue (darker) over white (unchanged) to red (brighter), with its scale below.

    write_stops(path, stops_between(plate, result))

For viewing; the exact values are in the field channels and in the reports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO

from harmovid.errors import FrameMismatch, OutputError
from harmovid.pixels import exr
from harmovid.pixels.field import LUMA, Float32
from harmovid.storage.atomic import replacing

Bytes = npt.NDArray[np.uint8]

PREVIEW_LINES = 270
"""Larger pictures are reduced to at most this height, by an integer factor."""
DARK_LINEAR = 2.0**-9
"""Light is clamped to at least this, since the ratio of two blacks is meaningless."""
SCALES_STOPS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Possible ends of the scale; the smallest that covers nearly all of the picture is used."""
COVERED_PERCENT = 99.0
ROOM = 1.02
"""Tolerance for the rounding of half floats, so that a change of half a stop fits a scale of half a stop."""

BAR_LINES, MARGIN = 10, 6
COLOURS = np.array(
    ((25, 60, 160), (110, 170, 230), (250, 250, 250), (235, 150, 110), (165, 20, 35)), np.float64
)
"""Evenly spaced over the scale; sRGB codes."""

GLYPHS = {
    "0": (7, 5, 5, 5, 7), "1": (2, 6, 2, 2, 7), "2": (7, 1, 7, 4, 7), "4": (5, 5, 7, 1, 1), "5": (7, 4, 7, 1, 7),
    "-": (0, 0, 7, 0, 0), "+": (0, 2, 7, 2, 0), ".": (0, 0, 0, 0, 2),
}  # fmt: skip
"""Characters of the scale, five lines of three bits each, so that no font file is needed."""
GLYPH_SIZE = 2


def stops_between(plate: exr.ExrFrame, result: exr.ExrFrame) -> Float32:
    """Return by how many stops the luma of `result` is above that of `plate`, `(H, W)`; 0 where either is NaN.

    Raises:
        FrameMismatch: their data windows differ.
        FrameRefused: one of them has no R, G, B.
    """
    if plate.data_window != result.data_window:
        raise FrameMismatch(f"the data windows {plate.data_window} and {result.data_window} differ.")
    before, after = (_luma_stops(exr.layer_rgb(frame)[1]) for frame in (plate, result))
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        change: Float32 = np.nan_to_num(after - before, nan=0.0, posinf=0.0, neginf=0.0)
    return change


def _luma_stops(rgb: Float32) -> Float32:
    # NaN stays NaN through the maximum and becomes "no change" at the end.
    with np.errstate(invalid="ignore"):
        stops: Float32 = np.log2(np.maximum(rgb @ np.array(LUMA, np.float32), np.float32(DARK_LINEAR)))
    return stops


def scale_of(stops: Float32) -> float:
    """Return the end of the scale for a picture, in stops."""
    needed = float(np.percentile(np.abs(stops), COVERED_PERCENT))
    return next((end for end in SCALES_STOPS if end * ROOM >= needed), SCALES_STOPS[-1])


def false_colour(stops: npt.NDArray[Any], end: float) -> Bytes:
    """Return `(..., 3)` sRGB codes of stops from -end to +end; values beyond have the colour of the end."""
    place = (np.clip(stops / end, -1, 1) + 1) / 2 * (len(COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(COLOURS)), COLOURS[:, c]) for c in range(3)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)


def picture_of(stops: Float32) -> Bytes:
    """Return `(h, w, 3)` sRGB codes: the stops in false colour, and below them the scale with its end values."""
    small = _reduced(np.asarray(stops, np.float32))
    end = scale_of(small)
    width = max(small.shape[1], 96)
    shown = np.full((small.shape[0], width, 3), 255, np.uint8)
    shown[:, : small.shape[1]] = false_colour(small, end)
    bar = np.repeat(false_colour(np.linspace(-end, end, width), end)[None], BAR_LINES, axis=0)
    text = np.full((5 * GLYPH_SIZE + 2 * MARGIN, width, 3), 255, np.uint8)
    for words, share in ((f"-{end:g}", 0.0), ("0", 0.5), (f"+{end:g}", 1.0)):
        written = _written(words)
        left = round(MARGIN + share * (width - 2 * MARGIN - written.shape[1]))
        text[MARGIN:-MARGIN, left : left + written.shape[1]][written] = 40
    gap = np.full((MARGIN, width, 3), 255, np.uint8)
    return np.concatenate([shown, gap, bar, text])


def _reduced(stops: Float32) -> Float32:
    factor = min(-(-stops.shape[0] // PREVIEW_LINES), *stops.shape)
    rows, columns = stops.shape[0] // factor, stops.shape[1] // factor
    blocks = stops[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def _written(words: str) -> npt.NDArray[np.bool_]:
    """Return the pixels of a number's digits, `(lines, columns)`."""
    signs = [
        np.array([[line >> (2 - column) & 1 for column in range(3)] + [0] for line in GLYPHS[sign]], bool)
        for sign in words
    ]
    return np.kron(np.concatenate(signs, axis=1), np.ones((GLYPH_SIZE, GLYPH_SIZE), bool))


def write_stops(path: str, stops: Float32) -> None:
    """Write `picture_of(stops)` as PNG atomically.

    Raises:
        OutputError: it cannot be written.
    """
    codes = np.ascontiguousarray(picture_of(stops))
    image = OpenImageIO.ImageBuf(codes)
    image.specmod().attribute("oiio:ColorSpace", "sRGB")
    try:
        with replacing(path, durable=False, keep_suffix=True) as temporary:
            if not image.write(temporary):
                raise OutputError(
                    f"{path} cannot be written: {image.geterror().strip()}", fix="Check the folder."
                )
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", fix="Check the folder.") from error
