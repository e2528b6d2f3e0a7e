"""Finish one frame: apply the field, composite if requested, encode, rename into `out/`.

    done = finish(frames, plan, field, path)
    done.size, done.crc, done.report

Everything else stays bit-identical: other channels, AOVs, attributes, windows, pixel types. With the null field, or
strength 0, the target's channels do, too. If a file's compression would change pixels that were not edited (DWA, B44,
PXR24 for floats), the result therefore has ZIP compression, and the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
import numpy.typing as npt
from harmovid.errors import OutputError, SpoolFull
from harmovid.pixels import exr
from harmovid.pixels.field import LightingField
from harmovid.pixels.field.exr_channels import GRADE_ATTRIBUTE, grade_to_json, with_field

from harmovid_server.codec.composite import put_over
from harmovid_server.codec.own_picture import with_own_picture
from harmovid_server.codec.picture import Frames
from harmovid_server.codec.plan import Plan
from harmovid_server.codec.relight import Relit, relight
from harmovid_server.spool import DISK_FULL, PART
from harmovid_server.stored_sums import write_summed

ENGINE_ATTRIBUTE = "harmovid/engine"
STRENGTH_ATTRIBUTE = "harmovid/strength"
OUTPUT_ATTRIBUTE = "harmovid/output"
"""Only in results that are no change of the plate's own pixels."""

LOSSLESS = "zip"

Float32 = npt.NDArray[np.float32]


@dataclass
class Finished:
    """A result on disk: size in bytes, CRC-32 of the file, the report, and the pixels."""

    size: int
    crc: int
    report: Dict[str, Any] = field(default_factory=dict)
    relit: Optional[Relit] = None


def finish(
    frames: Frames, plan: Plan, light: LightingField, target: Path, picture: Optional[Float32] = None
) -> Finished:
    """Make and write the result of one frame.

    Args:
        frames: decoded layers, at least `plan.finish_layers`.
        light: the engine's answer.
        target: the result's final name; its folder must exist.
        picture: `(h, w, 3)` the network's own, for the output "proxy"; None for the others.

    Raises:
        FrameError: a layer lacks channels.
        ColourError: a colour space that the configuration does not know.
        SpoolFull, OutputError: the result cannot be written.
    """
    relit = relight(frames, plan, light) if picture is None else with_own_picture(frames, plan, picture)
    report: Dict[str, Any] = dict(relit.counts)
    if plan.is_over_background:
        over = put_over(frames, plan, relit)
        report["clamped_values"] = report.get("clamped_values", 0) + over.clamped_values
        report["added_light_pixels"] = over.added_light_pixels
        report["left_out_light_pixels"] = over.left_out_light_pixels
        frame, part, window = over.frame, over.part, over.window
    else:
        part, window = relit.picture.layer.part, relit.picture.window
        frame = _relit_in(frames[plan.target], relit)
        # None for the output "proxy": the network has seen one view only.
        for view in plan.rules.companions(frame.headers).values():
            other = relight(frames, plan, light, view)
            frame = _relit_in(frame, other)
            for name, count in other.counts.items():
                report[name] = report.get(name, 0) + count
    if relit.stops is not None:
        stops = exr.moved(relit.stops, relit.picture.window, window)
        frame = with_field(frame, stops, light.scaled(plan.strength), part)
    data = exr.write(exr.with_attributes(_lossless(frame, report), _attributes(plan, light, picture), part))
    return Finished(len(data), _save(data, target), report, relit)


def _relit_in(frame: exr.ExrFrame, relit: Relit) -> exr.ExrFrame:
    """Return the frame with the changed picture in it; the frame itself if no channel has changed."""
    layer, new, old = relit.picture.layer, relit.stored, relit.picture.rgb
    changes = {name: fresh for name, fresh, before in zip(layer.rgb, new, old) if fresh is not before}
    return exr.with_channels(frame, changes, layer.part)[0] if changes else frame


def _attributes(plan: Plan, light: LightingField, picture: Optional[Float32]) -> Dict[str, exr.Attribute]:
    """Return the attributes about the processing; the curves in them can be exported as a grade."""
    engine = exr.Attribute.of("string", plan.engine)
    if picture is not None:
        rows, columns = picture.shape[:2]
        said = f"proxy: the network's own picture of {columns}x{rows} pixels, enlarged"
        return {ENGINE_ATTRIBUTE: engine, OUTPUT_ATTRIBUTE: exr.Attribute.of("string", said)}
    return {
        ENGINE_ATTRIBUTE: engine,
        STRENGTH_ATTRIBUTE: exr.Attribute.of("float", plan.strength),
        GRADE_ATTRIBUTE: exr.Attribute.of("string", grade_to_json(light.scaled(plan.strength))),
    }


def _lossless(frame: exr.ExrFrame, report: Dict[str, Any]) -> exr.ExrFrame:
    """Return the frame with lossless compression in parts that have a lossy one."""
    zipped = exr.Attribute.of("compression", exr.COMPRESSIONS.index(LOSSLESS))
    for index, part in enumerate(frame.parts):
        floats = any(np.dtype(channel.dtype) == np.float32 for channel in part.header.channels.values())
        if part.header.lossy or (part.header.compression == "pxr24" and floats):
            report["compression"] = f"{LOSSLESS} instead of {part.header.compression}"
            frame = exr.with_attributes(frame, {"compression": zipped}, index)
    return frame


def _save(data: bytes, target: Path) -> int:
    """Write a file under a temporary name and rename it; return its checksum.

    Raises:
        SpoolFull: there is no space. OutputError: it cannot be written for another reason.
    """
    unfinished = target.with_name(target.name + PART)
    try:
        crc = write_summed(unfinished, data)
        unfinished.replace(target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        if error.errno in DISK_FULL:
            raise SpoolFull(f"the spool cannot be written: {error.strerror}.") from error
        raise OutputError(f"the result cannot be written into the spool: {error.strerror}.") from error
    return crc
