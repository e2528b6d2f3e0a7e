"""The contact sheet: every comparison as labelled frames, its flicker trace and its figures, as one PNG."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Sequence

import numpy as np
from harmovid.storage import atomic
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from harmovid_demo.compare import Comparison, Version, table
from harmovid_demo.view import Bytes

WIDTH, MARGIN, GAP = 1640, 28, 6  # pixels
COLUMNS = 5
TRACE_HEIGHT = 150
SLICES = 12  # frames in a picture of flicker
FLICKERS = 0.03  # stops of roughness above which a person sees flicker
PAPER, INK, FAINT = (24, 25, 28), (226, 226, 222), (128, 130, 134)
LINES = ((235, 110, 80), (95, 200, 235), (150, 220, 120))  # before, after, truth


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _telling(comparison: Comparison) -> int:
    """Return the index of the frame whose level changed most from before to after."""
    before, after = comparison.versions[0], comparison.versions[1]
    change = np.abs(before.flicker.trace - after.flicker.trace)[: len(before.pictures)]
    return int(np.argmax(change))


def _picked(comparison: Comparison) -> list[int]:
    """Return up to `COLUMNS` indices: neighbours where the clip flickers, else spread over its length."""
    count = len(comparison.versions[0].pictures)
    if comparison.versions[0].flicker.whole > FLICKERS:
        first = min(max(_telling(comparison) - COLUMNS // 2, 0), max(count - COLUMNS, 0))
        return list(range(first, min(first + COLUMNS, count)))
    return sorted({round(k * (count - 1) / (COLUMNS - 1)) for k in range(COLUMNS)})


def _rows(comparison: Comparison) -> Pictures.Image:
    """One row of frames per version, labelled."""
    picked = _picked(comparison)
    height, width = comparison.versions[0].pictures[0].shape[:2]
    tile_w = (WIDTH - 2 * MARGIN - GAP * (COLUMNS - 1)) // COLUMNS
    tile_h = max(round(tile_w * height / width), 1)
    sheet = Pictures.new("RGB", (WIDTH, len(comparison.versions) * (tile_h + 30)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for row, version in enumerate(comparison.versions):
        top = row * (tile_h + 30)
        pen.text((MARGIN, top + 4), version.label, INK, _font(18))
        for column, index in enumerate(picked):
            tile = Pictures.fromarray(version.pictures[index]).resize(
                (tile_w, tile_h), Pictures.Resampling.LANCZOS
            )
            left = MARGIN + column * (tile_w + GAP)
            sheet.paste(tile, (left, top + 28))
            pen.text((left + tile_w - 44, top + 8), str(comparison.frames[index]), FAINT, _font(14))
    return sheet


def _large(comparison: Comparison) -> Pictures.Image:
    """The frame that changed most, in every version, side by side, large."""
    count = len(comparison.versions)
    width = (WIDTH - 2 * MARGIN - GAP * (count - 1)) // count
    telling = _telling(comparison)
    source = comparison.versions[0].pictures[telling]
    height = max(round(width * source.shape[0] / source.shape[1]), 1)
    sheet = Pictures.new("RGB", (WIDTH, height + 34), PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, version in enumerate(comparison.versions):
        left = MARGIN + column * (width + GAP)
        tile = Pictures.fromarray(version.pictures[telling]).resize(
            (width, height), Pictures.Resampling.LANCZOS
        )
        sheet.paste(tile, (left, 28))
        pen.text((left, 4), version.label, INK, _font(18))
    return sheet


def _trace(versions: Sequence[Version]) -> Pictures.Image:
    """The level of every frame in stops, one line per version, all about the same middle."""
    sheet = Pictures.new("RGB", (WIDTH, TRACE_HEIGHT + 34), PAPER)
    pen = ImageDraw.Draw(sheet)
    traces = [version.flicker.trace - np.median(version.flicker.trace) for version in versions]
    reach = max(0.25, *(float(np.abs(trace).max()) for trace in traces))
    box = (MARGIN, 26, WIDTH - MARGIN, 26 + TRACE_HEIGHT)
    pen.rectangle(box, outline=(60, 62, 66))
    pen.text((MARGIN, 4), f"level of every frame, +-{reach:.2f} stops", FAINT, _font(14))
    for trace, version, colour in zip(traces, versions, LINES):
        x = np.linspace(box[0] + 4, box[2] - 4, len(trace))
        y = (box[1] + box[3]) / 2 - trace / reach * (TRACE_HEIGHT / 2 - 4)
        pen.line([(float(a), float(b)) for a, b in zip(x, y)], fill=colour, width=3, joint="curve")
        at = box[2] - 170 * (len(versions) - versions.index(version))
        pen.text((at, 4), version.label, colour, _font(14))
    return sheet


def _words(lines: Sequence[str]) -> Pictures.Image:
    """Figures as a table: the cells of `table` are 16 characters wide; each is drawn flush right."""
    sheet = Pictures.new("RGB", (WIDTH, 24 * len(lines) + 16), PAPER)
    pen = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        y = 8 + 24 * row
        pen.text((MARGIN, y), line[:26].rstrip(), FAINT, _font(16))
        cells = [line[26 + 16 * k : 26 + 16 * (k + 1)].strip() for k in range((len(line) - 26 + 15) // 16)]
        for column, cell in enumerate(cells):
            is_unit = row > 0 and column == len(cells) - 1
            x = MARGIN + 400 + 190 * column
            pen.text((x - 170 if is_unit else x, y), cell, INK, _font(16), anchor="la" if is_unit else "ra")
    return sheet


def _heading(text: str) -> Pictures.Image:
    sheet = Pictures.new("RGB", (WIDTH, 64), PAPER)
    ImageDraw.Draw(sheet).text((MARGIN, 22), text, INK, _font(28))
    return sheet


def draw_sheet(comparisons: Sequence[Comparison]) -> Bytes:
    """Return the contact sheet `(h, WIDTH, 3)`, 8 bit."""
    parts = []
    for comparison in comparisons:
        parts += [_heading(comparison.title), _large(comparison), _rows(comparison)]
        if comparison.versions[0].flicker.whole > FLICKERS:
            parts.append(_trace(comparison.versions))
        parts.append(_words(table(comparison)))
    height = sum(part.height for part in parts) + MARGIN
    sheet = Pictures.new("RGB", (WIDTH, height), PAPER)
    at = 0
    for part in parts:
        sheet.paste(part, (0, at))
        at += part.height
    return np.asarray(sheet)


def _slices(comparison: Comparison, version: Version) -> Bytes:
    """One picture of a flickering clip: upright slices of neighbouring frames, so that flicker shows as bands."""
    first = min(max(_telling(comparison) - SLICES // 2, 0), max(len(version.pictures) - SLICES, 0))
    pictures = version.pictures[first : first + SLICES]
    width = pictures[0].shape[1]
    edges = [round(k * width / len(pictures)) for k in range(len(pictures) + 1)]
    return np.concatenate([p[:, a:b] for p, a, b in zip(pictures, edges, edges[1:])], axis=1)


def draw_pairs(comparisons: Sequence[Comparison]) -> Bytes:
    """Return before and after side by side, one row per comparison, `(h, WIDTH, 3)` 8 bit: the picture at a page's top.

    A clip that flickers is shown as `_slices` of neighbouring frames, other clips by the frame that changed most.
    """
    width = (WIDTH - GAP) // 2
    rows = []
    for comparison in comparisons:
        flickers = comparison.versions[0].flicker.whole > FLICKERS
        telling = _telling(comparison)
        row = None
        for side, version in enumerate(comparison.versions[:2]):
            picture = _slices(comparison, version) if flickers else version.pictures[telling]
            height = round(width * picture.shape[0] / picture.shape[1])
            row = row or Pictures.new("RGB", (WIDTH, height + GAP), PAPER)
            tile = Pictures.fromarray(picture).resize((width, height), Pictures.Resampling.LANCZOS)
            row.paste(tile, (side * (width + GAP), 0))
            words = version.label + (f", {SLICES} neighbouring frames" if flickers else "")
            ImageDraw.Draw(row).text(
                (side * (width + GAP) + 14, height - 14), words, INK, _font(20), anchor="ls",
                stroke_width=2, stroke_fill=(0, 0, 0),
            )  # fmt: skip
        rows.append(np.asarray(row))
    return np.concatenate(rows, axis=0)[:-GAP]


def save_png(picture: Bytes, path: Path) -> None:
    """Write a PNG atomically."""
    encoded = io.BytesIO()
    Pictures.fromarray(picture).save(encoded, format="PNG", compress_level=6)
    atomic.write_whole(str(path), encoded.getbuffer())
