"""`harmovid grade`: export the global part of lighting fields, read from the results, as CDL, 3D LUT or Nuke node.

Needs the pixel libraries, but no server: results carry the curves in their headers.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from harmovid.cli import exits
from harmovid.cli.console import Console, ok_result
from harmovid.errors import FrameError, FrameRefused, InputError, OutputError
from harmovid.file_plan import input_pattern
from harmovid.frames import FramePattern

if TYPE_CHECKING:
    from harmovid.pixels.field import LightingField

KINDS = (".cdl", ".ccc", ".cube", ".nk")
# File types that hold many grades.
MANY = (".ccc", ".nk")
# A grade that differs from its curve by more than this is reported: about the smallest visible change.
NOTICEABLE_STOPS = 0.05


def run(args: argparse.Namespace, console: Console) -> int:
    """Write the grades of `args.results` to `args.out`.

    Raises:
        InputError: the pixel libraries are missing, or results and output do not fit together.
        FrameError: a result carries no field.
        OutputError: the output already exists, or cannot be written.
    """
    try:
        from harmovid.pixels.fitting import grade  # noqa: F401 (only to find out)
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed.", fix="Run: pip install 'harmovid[pixels]'"
        ) from error
    out = FramePattern.parse(args.out)
    kind = os.path.splitext(args.out)[1].lower()
    if kind not in KINDS:
        raise InputError(f"{args.out} has no known kind.", fix=f"It must end in {', '.join(KINDS)}.")
    results = _results(args.results)
    _check_places(kind, out, [frame for _, _, frame in results])
    fields = [(name, frame, *_field(path, frame)) for name, path, frame in results]
    targets = sorted({out.path(frame) for _, frame, _, _ in fields})
    existing = [target for target in targets if os.path.exists(target)]
    if existing and not args.overwrite:
        raise OutputError(f"{existing[0]} is there already.", fix="Add --overwrite, or name another file.")
    losses = _write(kind, out, fields, args.colorspace)
    worst = max(losses.values(), default=0.0)
    console.text(f"{len(fields)} grade{'s' if len(fields) > 1 else ''} written to {args.out}")
    if worst > NOTICEABLE_STOPS:
        console.note(
            f"warning: a {kind} file cannot hold the whole correction; the largest error is {worst:.3f} stops"
        )
    console.result(ok_result(out=args.out, files=targets, grades=len(fields), max_residual_stops=losses))
    return exits.OK


def _check_places(kind: str, out: FramePattern, frames: List[int]) -> None:
    """Refuse an output that cannot hold the grades: too few files, or a file type for one grade."""
    if len(frames) > 1 and out.is_single and kind not in MANY:
        raise InputError(
            f"a {kind} file holds one grade, but there are {len(frames)} results.",
            fix=f"Name one result, write grade.####{kind} for one file each, or a .ccc or .nk for all.",
        )
    if kind == ".nk" and not out.is_single:
        raise InputError("a .nk holds one node, animated over all frames.", fix="Write grade.nk.")
    if (kind == ".nk" or not out.is_single) and len(set(frames)) < len(frames):
        raise InputError("two results have the same frame number.", fix="Export each shot by itself.")


def _results(texts: List[str]) -> List[Tuple[str, str, int]]:
    """Return name, path and frame number of every result, in the order given."""
    found = []
    for text in texts:
        pattern = input_pattern(text)
        for frame in pattern.expand():
            path = pattern.path(frame)
            found.append((Path(path).stem, path, frame))
    return found


def _field(path: str, frame: int) -> Tuple[LightingField, Any]:
    """Return the global part that a result carries, and the chromaticities that its header states."""
    from harmovid.pixels import exr
    from harmovid.pixels.field.exr_channels import GRADE_ATTRIBUTE, grade_from_json

    try:
        for part in exr.read_header(path).parts:
            text = part.get(GRADE_ATTRIBUTE)
            if isinstance(text, str):
                return grade_from_json(text), part.chromaticities
    except FrameError as error:
        error.frame = frame
        raise
    raise FrameRefused(
        f"{path} carries no lighting field.",
        fix="Name a result of deflicker or harmonize; the output proxy has none.",
        frame=frame,
    )


def _write(
    kind: str, out: FramePattern, fields: List[Tuple[str, int, LightingField, Any]], colorspace: str
) -> Dict[str, float]:
    """Write the files; return the largest error of each correction in stops (nothing for LUTs)."""
    from harmovid.pixels.colour.spaces import space_of
    from harmovid.pixels.fitting import grade

    if kind == ".cube":
        for _, frame, field, chromaticities in fields:
            primaries = space_of(colorspace, chromaticities).primaries
            grade.write_cube(Path(out.path(frame)), field, primaries=primaries)
        return {}
    if kind == ".nk":
        nodes = {frame: grade.fit_nuke_grade(field) for _, frame, field, _ in fields}
        grade.write_nk(Path(out.path(0)), nodes)
        return {name: round(nodes[frame].max_residual_stops, 5) for name, frame, _, _ in fields}
    grades = {name: (frame, grade.fit_cdl(field)) for name, frame, field, _ in fields}
    if kind == ".ccc" and out.is_single:
        grade.write_ccc(Path(out.path(0)), {name: cdl for name, (_, cdl) in grades.items()})
    for name, (frame, cdl) in grades.items():
        if kind == ".cdl":
            grade.write_cdl(Path(out.path(frame)), cdl, name)
        elif not out.is_single:
            grade.write_ccc(Path(out.path(frame)), {name: cdl})
    return {name: round(cdl.max_residual_stops, 5) for name, (_, cdl) in grades.items()}
