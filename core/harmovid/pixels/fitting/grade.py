"""The global part of a lighting field as files for grading tools: ASC CDL, 3D LUT, Nuke Grade; fixed or per frame.

    cdl = fit_cdl(field)                                   # cdl.max_residual_stops is its largest error
    write_cdl(path, cdl, "shot010")                        # .cdl, one correction
    write_ccc(path, {"shot010.1001": cdl, ...})            # .ccc, a correction per frame
    write_cube(path, field, primaries=REC709)              # .cube, 33 x 33 x 33; a file per frame for a range
    write_nk(path, {1001: fit_nuke_grade(field), ...})     # .nk, one animated Grade node for Nuke

A **CDL** applies to the plate's own scene-linear light, without clamping (see `cdl.py`). It is exact if the
curve is a gain and a power per channel; otherwise it is fitted, and the file states the residual.

A **Grade node** (`nuke_grade.py`) applies to the same light and is exact for gains.

A **cube** takes and gives ACEScct with its AP1 primaries (S-2016-001): convert the plate to ACEScct, apply,
convert back. Codes from 0 to 1 hold light up to 222; like every LUT it clamps values beyond that.

Grids and gain maps vary over the picture, so none of these files contains them.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Mapping
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from harmovid.errors import OutputError
from harmovid.pixels.apply.fast import apply_field
from harmovid.pixels.colour.acescct import acescct_decode, acescct_encode
from harmovid.pixels.colour.primaries import AP1, Primaries, rgb_to_rgb
from harmovid.pixels.field import LightingField
from harmovid.pixels.field.exr_channels import global_part
from harmovid.pixels.fitting.cdl import Cdl, Triple, fit_cdl
from harmovid.pixels.fitting.nuke_grade import NukeGrade, fit_nuke_grade, nk_text
from harmovid.storage import atomic

__all__ = [
    "CUBE_SIZE", "Cdl", "NukeGrade", "cube_text", "fit_cdl", "fit_nuke_grade",
    "write_ccc", "write_cdl", "write_cube", "write_nk",
]  # fmt: skip

CUBE_SIZE = 33
"""Samples per axis: a size that Resolve and most monitors accept."""

_NAMESPACE = "urn:ASC:CDL:v1.01"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def write_cdl(path: Path, cdl: Cdl, name: str) -> None:
    """Write one correction as a ColorDecisionList (.cdl).

    Args:
        path: replaced atomically, by renaming.
        cdl: the correction.
        name: the correction's id, for instance the shot's name.

    Raises:
        OutputError: the file cannot be written.
    """
    inner = _correction(cdl, name, "    ")
    decision = f"  <ColorDecision>\n{inner}  </ColorDecision>\n"
    _save(path, f'{_HEAD}<ColorDecisionList xmlns="{_NAMESPACE}">\n{decision}</ColorDecisionList>\n')


def write_ccc(path: Path, corrections: Mapping[str, Cdl]) -> None:
    """Write many corrections as a ColorCorrectionCollection (.ccc), for instance one per frame.

    Args:
        path: replaced atomically, by renaming.
        corrections: by id, in the order for the file.

    Raises:
        OutputError: the file cannot be written.
    """
    inner = "".join(_correction(cdl, name, "  ") for name, cdl in corrections.items())
    root = "ColorCorrectionCollection"
    _save(path, f'{_HEAD}<{root} xmlns="{_NAMESPACE}">\n{inner}</{root}>\n')


def write_cube(path: Path, field: LightingField, *, primaries: Primaries) -> None:
    """Write the field's curves as a 3D LUT (.cube); see `cube_text`. Raises `OutputError`."""
    _save(path, cube_text(field, primaries=primaries))


def write_nk(path: Path, grades: Mapping[int, NukeGrade]) -> None:
    """Write one Grade node, animated over the frames, as a Nuke script (.nk); see `nk_text`. Raises `OutputError`."""
    _save(path, nk_text(grades))


def cube_text(field: LightingField, *, primaries: Primaries) -> str:
    """Return the field's curves as the text of a 3D LUT, ACEScct (AP1) in and out.

    Args:
        field: its curves are applied in order.
        primaries: of the plate's scene-linear light, in which the curves were fitted.
    """
    axis = acescct_decode(np.linspace(0, 1, CUBE_SIZE))
    # Red changes fastest in the file.
    light = np.stack(np.meshgrid(axis, axis, axis, indexing="ij")[::-1], axis=-1).reshape(-1, 1, 3)
    plate = (light @ rgb_to_rgb(AP1, primaries).T).astype(np.float32)
    relit, _ = apply_field(plate, global_part(field), origin=(0, 0))
    codes = acescct_encode(relit.astype(np.float64) @ rgb_to_rgb(primaries, AP1).T)
    head: List[str] = [
        'TITLE "HarmoVid, global part"',
        "# Input and output: ACEScct (AMPAS S-2016-001), AP1 primaries",
        f"LUT_3D_SIZE {CUBE_SIZE}",
    ]
    rows = [f"{red:.7f} {green:.7f} {blue:.7f}" for red, green, blue in codes.reshape(-1, 3).tolist()]
    return "\n".join([*head, *rows, ""])


def _correction(cdl: Cdl, name: str, indent: str) -> str:
    """Return one ColorCorrection element."""
    lost = f"worst {cdl.max_residual_stops:.4f}, mean {cdl.mean_residual_stops:.4f} stops"
    note = escape(f"HarmoVid, for scene-linear light, unclamped; off the exact curve by {lost}")
    lines = [
        f"<ColorCorrection id={quoteattr(name)}>",
        "  <SOPNode>",
        f"    <Description>{note}</Description>",
        f"    <Slope>{_triple(cdl.slope)}</Slope>",
        f"    <Offset>{_triple(cdl.offset)}</Offset>",
        f"    <Power>{_triple(cdl.power)}</Power>",
        "  </SOPNode>",
        f"  <SATNode><Saturation>{cdl.saturation:.9g}</Saturation></SATNode>",
        "</ColorCorrection>",
    ]
    return "".join(f"{indent}{line}\n" for line in lines)


def _triple(numbers: Triple) -> str:
    return " ".join(f"{number:.9g}" for number in numbers)


def _save(path: Path, text: str) -> None:
    """Write a text file atomically."""
    try:
        atomic.write_whole(str(path), text.encode("utf-8"))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.", fix="Check the folder.") from error
