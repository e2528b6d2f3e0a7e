"""Previews of a few frames as PNG: the change of the picture, and the lighting field, in stops.

Needs the pixel libraries; without them there are no previews, and a remark says why.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from harmovid.cli.check_files import has_pixel_libraries
from harmovid.cli.curves import CORRECTED, FAILED, FrameCurve
from harmovid.errors import FrameError
from harmovid.job_files import JobFiles

MOST_CHANGED = 3
"""Number of frames with the largest corrections that are shown, in addition to the first and the middle one."""


@dataclass(frozen=True)
class Preview:
    """One picture in the diagnostics' folder, and what it shows."""

    name: str
    caption: str


def write_previews(folder: str, job: JobFiles, rows: Sequence[FrameCurve]) -> Tuple[List[Preview], str]:
    """Write the previews of a handful of frames.

    Returns:
        what was written, and a remark why something was not; it may be empty.

    Raises:
        OutputError: a picture cannot be written.
    """
    if not has_pixel_libraries():
        return [], "Previews need the pixel libraries: pip install 'harmovid[pixels]'."
    if job.plan.colorspace:
        # Otherwise stored values are not linear light, and their ratio cannot be shown in stops.
        return [], "There are no previews of plates in a colour space that the job names."
    previews: List[Preview] = []
    remarks = []
    for frame in chosen(rows):
        try:
            previews += _of_frame(folder, job, frame)
        except FrameError as error:
            remarks.append(f"Frame {frame} has no preview: {error.message}")
    if previews and not job.spec.output.field_layers:
        remarks.append("With --field the lighting field itself is shown, too.")
    return previews, " ".join(remarks)


def chosen(rows: Sequence[FrameCurve]) -> List[int]:
    """Return the frames to show, of those with a result: the ones changed most, the first, and the middle one."""
    there = [row for row in rows if row.decision != FAILED]
    if not there:
        return []
    changed = sorted((row for row in there if row.decision == CORRECTED), key=lambda row: -row.change)
    picked = [*changed[:MOST_CHANGED], there[0], there[len(there) // 2]]
    return sorted({row.frame for row in picked})


def _of_frame(folder: str, job: JobFiles, frame: int) -> List[Preview]:
    """Write the previews of one frame: the difference, and the field if the result carries it."""
    from harmovid.pixels import exr, preview
    from harmovid.pixels.field.exr_channels import FIELD_CHANNELS, read_stops

    result = exr.read(job.plan.out.path(frame))
    plate = exr.read(job.plan.layers[job.engine.target].path(frame))
    made = []
    change = preview.stops_between(plate, result)
    name = f"difference.{frame}.png"
    preview.write_stops(os.path.join(folder, name), change)
    made.append(
        Preview(name, f"frame {frame}: result against plate, stops of luma (blue darker, red brighter)")
    )
    if all(channel in result.channels for channel in FIELD_CHANNELS):
        name = f"field.{frame}.png"
        preview.write_stops(os.path.join(folder, name), read_stops(result).mean(axis=-1))
        made.append(Preview(name, f"frame {frame}: the lighting field, mean of the channels, stops"))
    return made
