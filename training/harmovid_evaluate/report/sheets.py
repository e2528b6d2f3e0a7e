"""Contact sheets: a clip's versions as rows of labelled frames, PNG.

save_sheet(path, title, {"composite as it is": pictures, ...})
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Mapping

from harmovid.storage.atomic import replacing
from PIL import Image, ImageDraw, ImageFont

from harmovid_evaluate.report.films import Bytes

COLUMNS, TILE_PX, GAP, MARGIN, LABEL = 5, 320, 6, 24, 28
PAPER, INK, FAINT = (38, 38, 38), (222, 222, 222), (150, 150, 150)


def chosen(count: int) -> List[int]:
    """Return up to `COLUMNS` neighbouring frames from the middle, because flicker shows between neighbours."""
    first = max((count - COLUMNS) // 2, 0)
    return list(range(first, min(first + COLUMNS, count)))


def save_sheet(path: Path, title: str, versions: Mapping[str, Bytes]) -> None:
    """Write the sheet of versions `(T, h, w, 3)`, through a temporary name."""
    clips = list(versions.values())
    picked = chosen(len(clips[0]))
    height = max(round(TILE_PX * clips[0].shape[1] / clips[0].shape[2]), 1)
    width = 2 * MARGIN + len(picked) * (TILE_PX + GAP) - GAP
    sheet = Image.new("RGB", (width, 70 + len(clips) * (height + LABEL) + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 22), title, INK, ImageFont.load_default(24))
    for row, (name, clip) in enumerate(versions.items()):
        top = 66 + row * (height + LABEL)
        pen.text((MARGIN, top + 2), name, INK, ImageFont.load_default(16))
        for column, index in enumerate(picked):
            left = MARGIN + column * (TILE_PX + GAP)
            tile = Image.fromarray(clip[index]).resize((TILE_PX, height), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left, top + LABEL - 4))
            if row == 0:
                font = ImageFont.load_default(13)
                pen.text((left + TILE_PX, top + 6), f"frame {index}", FAINT, font, anchor="ra")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        sheet.save(part, format="PNG")
